"""A plain reply is read at once: to the same answer as when every event of it is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapter.conform import strategies
from adapter.conform.speaking import chat_completion, response
from adapter.dialects.chat.plain import plain_items
from adapter.dialects.intake import parsed, read_whole
from adapter.dialects.registry import DIALECTS
from adapter.dialects.responses.plain import closed_items
from adapter.errors import AdapterError
from adapter.hub.events import Delta, ItemClosed, Usage
from adapter.hub.fold import fold, unfolded
from adapter.hub.request import DialectName, Exchange, Request
from adapter.wire.jsonio import dumps, loads
from tests.bench import payloads
from tests.corpus import cases
from tests.dialects.chat.making import exchange
from tests.dialects.chat.test_answer_laws import choices, plain, rarely_wrong, some_of, whole_messages
from tests.dialects.responses import streams
from tests.dialects.responses.test_laws import JSON
from tests.laws.test_streams import mutated

FAST = settings(deadline=None, max_examples=150)
ASKED = [exchange(), exchange("chat"), exchange(reasoning={"summary": "auto"}), Exchange.unasked("responses")]
asked = st.sampled_from(ASKED)


def read(dialect: DialectName, body: Any, asked: Exchange, *, told: bool, sent: int = 40) -> str:
    """What the answer comes to, and what its client gets, key for key in their order; or how it is refused."""
    try:
        answer, events, anomalies = read_whole(DIALECTS[dialect], asked, body, clock=lambda: 7, sent=sent, told=told)
    except AdapterError as refused:
        return f"{type(refused)} {refused.message} {refused.code} {refused.param}"
    assert fold(events or unfolded(answer)) == answer
    given = DIALECTS[asked.request.dialect].write_reply([answer], asked)
    error, answer.error = answer.error, None
    return f"{answer} {anomalies} {type(error)} {error} {given}"


def same(dialect: DialectName, body: Any, asked: Exchange) -> None:
    assert read(dialect, body, asked, told=False) == read(dialect, body, asked, told=True)


calls = st.lists(
    some_of(
        id=st.sampled_from(["a", "b", "c" * 65, ""]),
        type=st.sampled_from(["function", "custom"]),
        function=some_of(
            name=st.sampled_from(["f", "g", "patch", "mcp__files__read", "agents__send", "run", "later", "é"]),
            arguments=st.sampled_from(["", " ", "{}", '{"é":1}', "\ud83d"]),
        ),
    ),
    max_size=3,
)
called = st.fixed_dictionaries(
    {},
    optional={
        "content": st.sampled_from([None, "", "text", "é", "a\ud83d"]),
        "reasoning": st.sampled_from([None, "", "why", "é"]),
        "reasoning_content": st.sampled_from([None, "", "why", "é"]),
        "refusal": st.sampled_from([None, "", "no"]),
        "tool_calls": calls,
    },
)
finishes = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "odd", None])


@FAST
@given(
    st.fixed_dictionaries(
        {"choices": st.lists(plain | choices, min_size=1, max_size=2)},
        optional={"usage": rarely_wrong(st.just({"prompt_tokens": 3, "completion_tokens": 4})), "id": st.just("x")},
    ),
    asked,
)
def test_any_chat_reply(body: Any, asked: Exchange) -> None:
    same("chat", body, asked)


@FAST
@given(whole_messages | called, finishes, asked)
@example({"tool_calls": [{"id": "a", "function": {"name": "later", "arguments": "{}"}}]}, "tool_calls", ASKED[0])
def test_a_whole_chat_message(message: dict[str, Any], finish: str | None, asked: Exchange) -> None:
    choice = {"index": 0, "message": message, "finish_reason": finish}

    same("chat", {"id": "chatcmpl-1", "model": "m", "created": 5, "choices": [choice]}, asked)


@FAST
@given(JSON | streams.replies(JSON), asked)
def test_any_response(body: Any, asked: Exchange) -> None:
    same("responses", body, asked)


@FAST
@given(streams.answers(), asked)
def test_a_whole_response(events: list[dict[str, Any]], asked: Exchange) -> None:
    same("responses", events[-1]["response"], asked)


ids = st.sampled_from(["", "i1", "i2", None, 4, "c" * 65])
statuses = st.sampled_from(["completed", "incomplete", "in_progress", None, "odd"])
parts = st.lists(
    some_of(
        type=st.sampled_from(["output_text", "refusal", "summary_text", "reasoning_text", "text"]),
        text=st.sampled_from(["", "é", "\ud83d"]),
        refusal=st.just("no"),
        annotations=st.just([]),
        logprobs=st.just([]) | st.just([{"token": "a", "logprob": -1}]),
    ),
    max_size=2,
)
items = some_of(
    id=ids,
    status=statuses,
    role=st.just("assistant"),
    call_id=ids,
    name=st.sampled_from(["f", "", None]),
    arguments=st.sampled_from(["", " ", "{}", None, {"a": 1}, "\ud83d"]),
    input=st.sampled_from(["", "x", None]),
    content=parts | st.just("text"),
    summary=parts,
    result=st.just("x"),
).flatmap(
    lambda item: st.sampled_from(
        ["message", "function_call", "custom_tool_call", "reasoning", "tool_search_call", "web_search_call", "new"]
    ).map(lambda kind: {"type": kind, **item})
)


@FAST
@given(st.lists(items, max_size=3), statuses, asked)
@example([{"type": "message", "id": "a", "status": "incomplete", "content": "x"}], "completed", ASKED[0])
@example([{"type": "tool_search_call", "id": "a"}], "completed", ASKED[0])
def test_items_of_all_kinds(output: list[Any], status: str | None, asked: Exchange) -> None:
    same("responses", {"id": "resp_1", "output": output, "status": status, "usage": None}, asked)


@pytest.mark.parametrize("dialect", ["chat", "responses"])
@FAST
@given(data=st.data(), spoken=strategies.spoken())
def test_a_reply_with_one_wrong_place(dialect: DialectName, data: st.DataObject, spoken: Any) -> None:
    reply = chat_completion(spoken) if dialect == "chat" else response(spoken)

    same(dialect, reply, ASKED[0])
    same(dialect, data.draw(st.sampled_from(list(mutated(reply)))), data.draw(asked))


@pytest.mark.parametrize("case", cases("replies"), ids=lambda case: case.name)
def test_every_recorded_reply(case: Any) -> None:
    try:
        body = loads(case.data)
    except ValueError:
        return
    for one in ASKED:
        same(case.dialect, body, one)


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_what_servers_send_takes_the_short_way(dialect: DialectName) -> None:
    body = loads(payloads.plain(dialect))

    if dialect == "chat":
        assert plain_items(body["choices"][0]["message"], ASKED[0], "t", "completed") is not None
    else:
        assert closed_items(body["output"], "completed") is not None
    answer, events, _ = read_whole(DIALECTS[dialect], ASKED[0], body)
    assert events == []
    assert [type(event).__name__ for event in unfolded(answer)] == ["Started", "ItemClosed", "Usage", "Finished"]


def test_stop_words_need_every_event() -> None:
    """The scanner cuts deltas, so it gets them whether or not anybody streams."""

    asked = Exchange(request=Request({"model": "m", "input": []}), stop=("STOP",))
    message = {"role": "assistant", "content": "before STOP after"}
    body = dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}})
    answer, events, anomalies = read_whole(DIALECTS["chat"], asked, parsed(body), sent=8)

    (closed,) = [event.item for event in events if isinstance(event, ItemClosed)]
    assert closed["content"][0]["text"] == "before "
    assert any(isinstance(event, Delta) for event in events)
    assert isinstance(events[-2], Usage)
    assert events[-2].usage["input_tokens"] == 2
    assert fold(events) == answer
    assert [anomaly.kind for anomaly in anomalies] == ["usage_estimated"]
