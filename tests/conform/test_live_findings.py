"""What a run tells of a broken law: once, with what shows it, and beside all else that is broken."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from adapter.conform.live.case import Answer
from adapter.conform.report import quoted
from tests.conform.defects import BOTH, DONE, NEW, OLD, STREAM, deltas, events, miscounts, plain, streams, without
from tests.conform.live import Defect, broken, judged


@pytest.mark.parametrize("dialect", BOTH)
def test_results_are_sent_back_for_calls_that_wait_for_them(dialect: str) -> None:
    told: list[str] = []
    judged(Defect(), dialect, tell=told.append)
    calls = ["a call that must be", "a call that must be, streamed", "two calls at once"]
    if dialect == "responses":
        calls += ["a call of a custom tool, streamed", "a call in a namespace, streamed"]
    assert [line for line in told if "results" in line] == [f"ok    {name}, then results" for name in calls]


@pytest.mark.parametrize("dialect", BOTH)
def test_a_model_that_calls_nothing_where_it_need_not_gets_no_results(dialect: str) -> None:
    told: list[str] = []
    shy = Defect(hears=lambda body: body if "tool_choice" in body else without("tools")(body))
    assert judged(shy, dialect, tell=told.append).findings == []
    assert not any("two calls at once, then" in line for line in told)


def _leaves_out_nulls(told: Any) -> None:
    for choice in told["choices"]:
        for key in [key for key, value in choice.items() if value is None]:
            del choice[key]


def test_a_stream_that_leaves_out_what_clients_read_as_null_breaks_no_law() -> None:
    """LiteLLM's chunks have a finish_reason only at the end."""
    assert judged(events(_leaves_out_nulls), "chat").findings == []


def _nulls_for_what_was_said(delta: dict[str, Any]) -> None:
    for call in delta.get("tool_calls") or ():
        if "id" not in call:
            call["id"] = call["function"]["name"] = None


def test_nulls_in_later_fragments_of_a_call_break_no_law() -> None:
    """SGLang repeats the id and the name of a call so; the SDKs pass them over."""
    assert judged(deltas(_nulls_for_what_was_said), "chat").findings == []


def test_what_every_event_of_a_stream_breaks_is_one_finding() -> None:
    """LiteLLM's Responses streams have no event lines."""
    nameless = streams(lambda raw: b"\n".join(line for line in raw.split(b"\n") if not line.startswith(b"event:")))
    (found,) = [told for law, case, told in judged(nameless, "responses").findings if case == "a stream"]
    assert found.startswith("sse.event_missing at event[0]: no event line for response.created (and later ones): «{")


def test_what_breaks_the_grammar_is_shown_with_its_event() -> None:
    """A ping that Chat has no name for."""
    ping = streams(lambda raw: raw.replace(b"\n\n", b'\n\nevent: ping\ndata: {"type": "ping"}\n\n', 1))
    told = [line.strip() for line in judged(ping, "chat").text().splitlines() if "malformed" in line]
    cases = "a stop sequence, streamed; two choices, streamed; a stream; 9 more"
    event = '«{"type": "ping"}»'
    assert told == [f"is-grammatical · {cases}: malformed at chunk[1]: a chunk without a list of choices: {event}"]


def test_a_failure_inside_a_stream_is_shown_and_told_once() -> None:
    """Whatever was said before it."""
    failure = b'data: {"error": {"message": "CUDA is out of memory"}}\n\n'
    fails = streams(lambda raw: b"\n\n".join(raw.split(b"\n\n")[:3]) + b"\n\n" + failure)
    report = judged(fails, "chat", examples=20)
    told = [line for line in report.text().splitlines() if " · " in line]
    assert len(told) == 1
    assert told[0].endswith('expected [DONE]; the last in it: «data: {"error": {"message": "CUDA is out of memory"}}»')


def test_whatever_ends_a_stream_too_early_is_named_too() -> None:
    """Events without blank lines between them: no client sees one."""
    found = judged(streams(lambda raw: raw.replace(b"\n\n", b"\n")), "responses").findings
    assert ("is-grammatical", "a stream", "empty at end: no events") in found


def test_nobody_goes_on_from_a_stream_that_adds_up_to_nothing() -> None:
    """Where its calls were is known to nobody."""
    report = judged(events(lambda chunk: chunk.update(choices=None)), "chat")
    assert broken(report) == {"is-grammatical"}
    assert not any("then results" in case for _, case, _ in report.findings)


def test_the_request_that_shows_a_fault_is_shown() -> None:
    report = judged(Defect(hears=without("stop")), "chat")
    method, path, body = report.asked["a stop sequence"]
    assert (method, path, json.loads(body)["stop"]) == ("POST", "/chat/completions", "l")
    assert f"asked a stop sequence: POST /chat/completions {body}" in report.text().splitlines()
    told = json.loads(report.json())["requests"]["a stop sequence"]
    assert told == {"method": method, "path": path, "body": body}


def test_what_all_answers_break_alike_is_told_once() -> None:
    report = judged(plain(lambda told: told.pop("model")), "chat")
    assert len(report.findings) > 5
    cases = f"a tiny {NEW}; a tiny {OLD}; a plain answer; {len(report.findings) - 3} more"
    told = [line.strip() for line in report.text().splitlines() if " · " in line]
    assert told == [f"has-the-shape · {cases}: model is missing"]
    assert report.remarks == [("the limit of all other questions", NEW)], "another fault is none of the limit"


def test_a_stream_that_breaks_the_grammar_and_adds_up_is_judged_for_what_it_says() -> None:
    """A server without event lines may also count wrongly: one run shows both."""

    def wrong(body: dict[str, Any], told: Any) -> Any:
        if isinstance(told.get("response"), dict):
            miscounts(told["response"])
        return told

    def nameless(body: dict[str, Any], answer: Answer) -> Answer:
        return replace(answer, raw=re.sub(rb"event: .*\n", b"", answer.raw))

    report = judged(Defect(says=wrong, answers=nameless), "responses")
    assert broken(report) == {"is-grammatical", "usage-adds-up"}


def _miscounts(body: dict[str, Any], told: Any) -> Any:
    miscounts(told)
    return told


def test_a_stream_without_its_done_is_judged_for_what_it_says() -> None:
    """The server of transformers sends no [DONE]; that its usage is wrong is seen all the same."""
    report = judged(
        Defect(
            says=_miscounts,
            answers=lambda body, it: replace(it, raw=it.raw.removesuffix(DONE)),
        ),
        "chat",
    )
    assert {law for law, case, _ in report.findings if case == "a stream with usage"} == {"ends-once", "usage-adds-up"}


def test_an_answer_without_a_field_is_judged_for_the_others() -> None:
    """vLLM's responses have no `error`; that they end as they say is seen all the same."""

    def change(told: Any) -> None:
        del told["error"]
        told["incomplete_details"] = {"reason": "max_output_tokens"}

    report = judged(plain(change), "responses")
    assert broken(report) == {"has-the-shape", "ends-as-it-says"}


@pytest.mark.parametrize("error", [b'{"error": {"message": "CUDA is out of memory"}}\n', b"CUDA is out of memory"])
@pytest.mark.parametrize("dialect", BOTH)
def test_an_error_that_nobody_frames_is_shown(dialect: str, error: bytes) -> None:
    """Whose lines are no fields of an event: no client sees them."""
    fails = streams(lambda raw: b"\n\n".join(raw.split(b"\n\n")[:3]) + b"\n\n" + error)
    (told, *_) = [text for law, _, text in judged(fails, dialect).findings if law == "ends-once"]
    assert told.startswith("it ends with nothing, expected ")
    assert told.endswith(f"; the last in it: {quoted(error)}")


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        (lambda raw: b"", "the body is empty"),
        (lambda raw: b"\xef\xbb\xbf" + raw, "the body is no JSON, since a byte order mark stands before it"),
        (lambda raw: raw.replace(b'"usage"', b'"x": NaN, "usage"'), '"x": NaN, "usage"'),
        (lambda raw: raw + b"x", "}x»"),
        (lambda raw: b"[%b]" % raw, "the body is no JSON object: «[{"),
    ],
    ids=["empty", "BOM", "NaN", "trailing", "list"],
)
def test_a_body_that_is_no_json_is_shown_where_it_is_none(spoilt: Any, told: str) -> None:
    """Its beginning looks as good as any."""
    server = Defect(answers=lambda _, it: it if it.media_type == STREAM else replace(it, raw=spoilt(it.raw)))
    (found, *_) = [text for law, _, text in judged(server, "responses").findings if law == "is-json"]
    assert told in found
    assert len(found) < 300


def test_of_what_has_no_type_none_is_told() -> None:
    """An error in a stream of Responses, as Chat says it."""
    failure = b'data: {"error": {"message": "CUDA is out of memory"}}\n\n'
    fails = streams(lambda raw: b"\n\n".join(raw.split(b"\n\n")[:3]) + b"\n\n" + failure)
    found = [
        text for law, case, text in judged(fails, "responses").findings if (law, case) == ("is-grammatical", "a stream")
    ]
    assert [text.split(" at ")[0] for text in found] == ["sse.event_missing", "seq", "event.unknown"]
    assert found[0].startswith("sse.event_missing at event[3]: no event line: «{")


@pytest.mark.parametrize("ends", [lambda raw: raw + DONE, lambda raw: raw.removesuffix(DONE)], ids=["twice", "never"])
def test_how_often_a_stream_ends_is_told_once(ends: Any) -> None:
    """The grammar has rules of it, too."""
    assert broken(judged(streams(ends), "chat")) == {"ends-once"}
