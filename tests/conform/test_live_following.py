"""What the laws of answers that follow read: each field of the objects that no model gives, and of what is told again."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from adapter.conform.live import following, laws
from adapter.conform.live.case import Answer, Case, Law
from adapter.conform.live.questions import questions
from tests.conform.defects import STREAM, where
from tests.conform.live import Holding, broken, judged

USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 0},
    "total_tokens": 6,
    "output_tokens": 1,
    "output_tokens_details": {"reasoning_tokens": 0},
}
PART = {"type": "output_text", "text": "hello", "annotations": []}
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [PART]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"}
ANSWER: dict[str, Any] = {"id": "resp_1", "status": "completed", "output": [MESSAGE, CALL], "usage": USAGE}
ITEMS = {"object": "list", "data": [MESSAGE], "first_id": "msg_1", "last_id": "msg_1", "has_more": False}


def _case(value: Any, before: Any = None, asked: Any = None) -> Case:
    dialect, answer = questions("responses")[0], Answer(200, "application/json", json.dumps(value).encode())
    first = None if before is None else _case(before, asked=asked)
    return Case(dialect, asked or {"input": "hello"}, answer, first)


SHAPED: dict[Law, tuple[dict[str, Any], list[str]]] = {
    # a law of an object: a good one, and what it may lack
    following.lists_its_input: (
        ITEMS,
        ["data.0.role", "data.0.status", "data.0.content.0.type", "data.0.content.0.annotations"],
    ),
    following.counts_its_input: ({"object": "response.input_tokens", "input_tokens": 5}, []),
    following.is_a_conversation: ({"id": "conv_1", "object": "conversation", "created_at": 1}, []),
    following.lists_its_models: ({"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "me"}]}, []),
    following.is_compacted: (
        {
            "id": "cmp_1", "object": "response.compaction", "created_at": 1, "usage": USAGE,
            "output": [MESSAGE, {"type": "compaction", "id": "cmp_2", "encrypted_content": "gAAAA"}],
        },
        ["output.0.status", "output.0.content.0.text", "output.0.content.0.annotations"],
    ),
}  # fmt: skip


def _places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, held in inner for place in ((*before, key), *_places(held, (*before, key)))]


FIELDS = [
    pytest.param(law, place, id=f"{law.__name__}-{'.'.join(map(str, place))}")
    for law, (good, _) in SHAPED.items()
    for place in _places(good)
    if isinstance(place[-1], str)
]


@pytest.mark.parametrize("law", SHAPED)
def test_a_good_object_keeps_its_law(law: Law) -> None:
    good, _ = SHAPED[law]
    before = {**good, "input_tokens": 4} if law is following.counts_its_input else ANSWER
    assert law(_case(good, before)) == []


@pytest.mark.parametrize(("law", "place"), FIELDS)
def test_an_object_has_every_field_that_it_must_have(law: Law, place: tuple[Any, ...]) -> None:
    good, may_lack = SHAPED[law]
    value = copy.deepcopy(good)
    holder = value
    for key in place[:-1]:
        holder = holder[key]
    del holder[place[-1]]
    assert bool(law(_case(value, ANSWER, asked={"input": "hello"}))) is (".".join(map(str, place)) not in may_lack), (
        value
    )


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"id": "resp_2"}, "id"),
        ({"status": "incomplete"}, "status"),
        ({"output": [{**MESSAGE, "content": [{**PART, "text": "hallo"}]}, CALL]}, "text"),
        ({"output": [MESSAGE, {**CALL, "arguments": "[]"}]}, "calls"),
        ({"output": [{**MESSAGE, "id": "msg_2"}, CALL]}, "ids of items"),
    ],
)
def test_what_is_fetched_is_what_was_answered_in_all_that_clients_go_by(changes: dict[str, Any], what: str) -> None:
    assert following.is_what_was_said(_case(ANSWER, ANSWER)) == []
    (found,) = following.is_what_was_said(_case({**ANSWER, **changes}, ANSWER))
    assert found.startswith(f"{what}: fetched ")


def test_only_what_is_counted_is_compared() -> None:
    uncounted = {**ANSWER, "usage": None}
    assert following.counts_what_is_added(_case(ANSWER)) == []
    assert following.counts_what_is_added(_case(uncounted, ANSWER)) == []
    assert following.counts_what_is_added(_case(ANSWER, uncounted)) == []
    assert following.counts_what_is_added(_case(ANSWER, ANSWER)) == ["5 input tokens, and 5 without what was added"]


# -------------------------------------------------------------------------------------------------------- whole runs


def _resumed(**changes: Any) -> Callable[[str, str, bytes], Answer]:
    """A defect in streams that are gone on from."""
    server = Holding()

    def ask(method: str, path: str, raw: bytes) -> Answer:
        answer = server(method, path, raw)
        if "starting_after" not in path:
            return answer
        return replace(answer, **{key: change(answer.raw) for key, change in changes.items()})

    return ask


def _no_end(raw: bytes) -> bytes:
    return raw[: raw.rstrip().rindex(b"\n\n") + 2]


@pytest.mark.parametrize(
    ("server", "law"),
    [
        (_resumed(fault=lambda raw: "the connection broke"), "comes-whole"),
        (_resumed(status=lambda raw: 500), "is-answered"),
        (_resumed(media_type=lambda raw: "application/json"), "is-an-event-stream"),
        (_resumed(raw=_no_end), "ends-once"),
    ],
)
def test_a_stream_that_is_gone_on_from_is_one(server: Any, law: str) -> None:
    assert broken(judged(Holding(), "responses")) == set()
    assert broken(judged(server, "responses")) == {law}


def test_a_refusal_comes_whole() -> None:
    breaks = where(
        lambda _, answer: answer.status >= 400 and b"Unknown path" not in answer.raw, fault="the connection broke"
    )
    assert broken(judged(breaks, "chat")) == {"comes-whole"}


@pytest.mark.parametrize("status", [408, 409, 429])
def test_a_refusal_is_none_that_sdks_try_again(status: int) -> None:
    again = where(lambda _, answer: answer.status == 400, status=status)
    report = judged(again, "chat")
    assert broken(report) == {"is-refused"}
    assert {told.split(":")[0] for _, _, told in report.findings} == {f"status {status}, expected another 4xx"}


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_of_an_answer_that_broke_off_nothing_else_is_told(dialect: str) -> None:
    half = where(lambda body, answer: "tools" in body, fault="the connection broke")
    report = judged(lambda *asked: (it := half(*asked)) and (replace(it, raw=it.raw[:90]) if it.fault else it), dialect)
    assert broken(report) == {"comes-whole"}


def test_a_stream_of_another_type_is_told_of_that_only() -> None:
    wrong = where(lambda _, answer: answer.media_type == STREAM, media_type="text/plain", raw=b"data: {oops\n\n")
    assert broken(judged(wrong, "chat")) == {"is-an-event-stream"}


def test_arguments_of_a_call_that_was_cut_are_nobodys() -> None:
    tool = {"type": "function", "name": "f", "strict": True, "parameters": {"properties": {"a": {"type": "string"}}}}
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    half = {**ANSWER, "output": [{**CALL, "arguments": '{"a'}]}
    assert laws.arguments_fit_their_schema(_case({**half, **cut}, asked={"input": "x", "tools": [tool]})) == []
    assert laws.arguments_fit_their_schema(_case(half, asked={"input": "x", "tools": [tool]})) != []


def test_tokens_of_what_is_not_said_are_few_unless_it_is_cut() -> None:
    """A model that thought up to its limit says nothing of it."""
    silent = {**ANSWER, "output": [], "usage": {**USAGE, "output_tokens": 20, "total_tokens": 25}}
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    few = {**silent, "usage": {**USAGE, "output_tokens": 4, "total_tokens": 9}}
    assert laws.usage_adds_up(_case(silent)) == ["20 output tokens, and nothing is said"]
    nothing = {**silent, "usage": {**USAGE, "output_tokens": 0, "total_tokens": 5}}
    assert laws.usage_adds_up(_case({**silent, **cut})) == laws.usage_adds_up(_case(few)) == []
    assert laws.usage_adds_up(_case(nothing)) == []


def test_only_an_answer_with_a_limit_and_a_count_is_cut_too_early() -> None:
    cut = {**ANSWER, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    limited = {"input": "x", "max_output_tokens": 20}
    assert laws.is_cut_at_its_limit(_case(cut, asked=limited)) == ["it is cut by its limit after 1 of 20 tokens"]
    assert laws.is_cut_at_its_limit(_case(cut)) == []
    assert laws.is_cut_at_its_limit(_case({**cut, "usage": None}, asked=limited)) == []
    assert (
        laws.keeps_its_limit(_case(ANSWER))
        == laws.keeps_its_limit(_case({**ANSWER, "usage": None}, asked=limited))
        == []
    )
    assert laws.says_that_it_is_cut(_case({**ANSWER, "usage": None}, asked=limited)) == []


F, G = ({"type": "function", "name": name, "parameters": {}} for name in "fg")
CHOSEN = {"type": "function", "name": "f"}


@pytest.mark.parametrize(
    ("field", "asked", "told", "differs"),
    [
        ("tools", [F], [F, G], False),
        ("tools", [F], [G], True),
        ("tools", [F], [{**F, "type": "custom"}], True),
        ("tools", [F], [{**F, "description": None}], False),
        ("tool_choice", CHOSEN, {**CHOSEN, "name": "g"}, True),
        ("tool_choice", CHOSEN, {**CHOSEN, "type": "custom"}, True),
        ("tool_choice", CHOSEN, "required", False),
        ("tool_choice", "required", "auto", True),
        ("text", {"format": {"type": "text"}}, {"format": {"type": "json_object"}}, True),
        ("text", {"format": {"type": "text"}}, {"format": {"type": "text"}, "verbosity": "low"}, False),
        ("instructions", "Be brief.", [{"type": "message"}], False),
        ("instructions", "Be brief.", "Be rude.", True),
        ("max_output_tokens", 20, None, False),
        ("parallel_tool_calls", None, True, False),
        ("previous_response_id", None, "resp_1", True),
        ("store", None, True, False),
        ("store", False, True, True),
        ("store", True, False, False),
        ("background", None, True, True),
        ("background", True, False, False),
    ],
)
def test_a_response_says_of_its_request_what_was_asked(field: str, asked: Any, told: Any, differs: bool) -> None:
    """In another spelling, with more beside it, or nothing at all; but nothing else."""
    found = laws.repeats_its_request(_case({**ANSWER, field: told}, asked={"input": "x", field: asked}))
    assert [text.split(" is ")[0] for text in found] == ([field] if differs else [])


def test_a_stream_that_refuses_is_not_silent() -> None:
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "id": "c", "created": 1, "model": "m"}
        for delta, finish in (({"role": "assistant", "content": ""}, None), ({"refusal": "No."}, None), ({}, "stop"))
    ]
    counted = {"prompt_tokens": 5, "completion_tokens": 20, "total_tokens": 25}
    events = [*chunks, {"choices": [], "usage": counted, "id": "c", "created": 1, "model": "m"}]
    raw = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"
    assert laws.usage_adds_up(Case(questions("chat")[0], {"stream": True}, Answer(200, STREAM, raw))) == []


def _said(text: str, **more: Any) -> dict[str, Any]:
    return {**ANSWER, "output": [{**MESSAGE, "content": [{**PART, "text": text, **more}]}]}


@pytest.mark.parametrize("odd", ["caf\ufffd", "cafÃ©"])
def test_characters_that_the_request_itself_says_are_its_own(odd: str) -> None:
    assert laws.characters_come_whole(_case(_said(f"You said: {odd}"), asked={"input": odd})) == []
    assert laws.characters_come_whole(_case(_said(odd), asked={"input": "x"})) != []


def test_as_many_other_tokens_as_were_asked_for_may_be_told() -> None:
    other = {"token": "a", "logprob": -1.0, "bytes": []}
    told = [{**other, "top_logprobs": [other] * 2}]
    for most, findings in ((2, 0), (1, 1)):
        asked = {"input": "x", "top_logprobs": most}
        assert len(laws.tells_its_logprobs(_case(_said("a", logprobs=told), asked=asked))) == findings


def test_a_stream_without_any_event_shows_what_came_instead() -> None:
    case = Case(questions("chat")[0], {}, Answer(200, STREAM, b"Internal Server Error"))
    assert laws.ends_once(case) == ["it ends with nothing, expected [DONE]; no event is in it: «Internal Server Error»"]


def test_any_object_fits_parameters_that_are_not_known() -> None:
    tool = {"type": "function", "name": "f", "strict": True, "parameters": {}}
    called = {**ANSWER, "output": [{**CALL, "arguments": '{"a": 1}'}]}
    assert laws.arguments_fit_their_schema(_case(called, asked={"input": "x", "tools": [tool]})) == []
