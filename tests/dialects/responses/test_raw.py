"""The raw lane of Responses streams: bytes pass, and there is exactly one end."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapter.dialects.responses import raw_stream
from adapter.dialects.responses.answers import ENDS
from adapter.dialects.responses.traits import countable
from adapter.errors import UpstreamTimeout
from adapter.hub.grammar import check_responses
from adapter.hub.request import ClientTraits, Exchange
from adapter.wire.sse import Decoder, SseEvent, framed
from tests.dialects.responses.streams import response

EXCHANGE = Exchange.unasked("responses")


def wire(*events: dict[str, Any]) -> bytes:
    numbered = ({"sequence_number": n, **event} for n, event in enumerate(events))
    return b"".join(framed(event["type"], orjson.dumps(event)) for event in numbered)


CREATED = {"type": "response.created", "response": response("in_progress", [])}
IN_PROGRESS = {"type": "response.in_progress", "response": response("in_progress", [])}
USAGE = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
COMPLETED = {"type": "response.completed", "response": response("completed", [], usage=USAGE)}


def told(stream: bytes) -> list[SseEvent]:
    return Decoder().feed(stream)


def test_what_codex_can_read_passes_as_it_is() -> None:
    spaced = b"".join(framed(name, data.replace(b'":', b'": ')) for name, data in told(wire(CREATED, COMPLETED)))

    assert raw_stream(Exchange.unasked("responses", client=ClientTraits.CODEX)).feed(spaced) == spaced


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("size", [1, 10_000])
def test_every_word_for_the_end_is_one(kind: str, size: int) -> None:
    """Whatever else stands in it: `response.done` is that of the Realtime API and of ChatGPT's sockets."""
    raw = wire(CREATED, {"type": kind, "response": {"id": "resp_1", "usage": USAGE}})
    lane = raw_stream(EXCHANGE)

    assert b"".join(lane.feed(raw[i : i + size]) for i in range(0, len(raw), size)) + lane.close() == raw
    assert lane.ended
    assert lane.answer.usage is not None


def test_a_stream_passes_as_it_is_and_is_known() -> None:
    raw = wire(CREATED, IN_PROGRESS, COMPLETED)
    lane = raw_stream(EXCHANGE)

    assert b"".join(lane.feed(raw[i : i + 7]) for i in range(0, len(raw), 7)) + lane.close() == raw
    assert (lane.answer.id, lane.answer.model, lane.answer.status) == ("resp_1", "m", "completed")
    assert lane.answer.usage is not None
    assert lane.answer.usage["total_tokens"] == 3
    assert lane.answered


def test_done_may_follow_the_end() -> None:
    raw = wire(CREATED, IN_PROGRESS, COMPLETED) + b"data: [DONE]\n\n"

    assert raw_stream(EXCHANGE).feed(raw) == raw


def test_a_second_end_is_cut() -> None:
    lane = raw_stream(EXCHANGE)

    assert lane.feed(wire(CREATED, COMPLETED) + wire(COMPLETED)) == wire(CREATED, COMPLETED)
    assert lane.ended


def test_a_broken_stream_gets_its_end_under_its_own_numbers() -> None:
    lane = raw_stream(EXCHANGE)
    out = lane.feed(wire(CREATED, IN_PROGRESS) + b"event: response.output") + lane.fail(UpstreamTimeout("late"))

    assert check_responses(out) == []
    assert out.count(b"event: response.failed") == 1
    assert b'"code":"upstream_timeout"' in out


@pytest.mark.parametrize("reads", [1, 2])
@pytest.mark.parametrize("silence", [b": ping\n\n", b": ping\n\n: ping\n\n", b"retry: 5\n\n"])
def test_a_stream_that_breaks_behind_comments_keeps_its_numbers(silence: bytes, reads: int) -> None:
    """Servers that wait for their model send comments, and may break off then."""
    said = wire(CREATED, IN_PROGRESS)
    for lane in (raw_stream(EXCHANGE), raw_stream(Exchange.unasked("responses", client=ClientTraits.CODEX))):
        out = lane.feed(said + silence) if reads == 1 else lane.feed(said) + lane.feed(silence)
        pings = lane.ping()
        out += lane.fail(UpstreamTimeout("late"))

        assert check_responses(out) == []
        assert out.endswith(b'"sequence_number":3}\n\n')
        assert all(data.endswith(b'"sequence_number":1}') for _, data in pings)


def test_an_error_without_a_type_is_told_as_an_event_of_this_dialect() -> None:
    """A message of a socket without a type is nothing to its client."""
    said = wire(CREATED, IN_PROGRESS)
    lane = raw_stream(EXCHANGE)
    out = lane.feed(said + b'data: {"error":{"message":"boom","type":"server_error","code":"overloaded"}}\n\n')

    assert lane.ended
    assert out.startswith(said)
    assert check_responses(out) == []
    assert [name for name, _ in Decoder().feed(out[len(said) :])] == ["error", "response.failed"]
    assert b'"message":"boom"' in out
    assert lane.answer.status == "failed"


def test_an_error_by_another_name_is_told_as_one() -> None:
    """MLflow's `response.error` is no event that an SDK raises."""
    said = wire(CREATED, IN_PROGRESS)
    lane = raw_stream(EXCHANGE)
    out = lane.feed(said + wire({"type": "response.error", "code": "server_error", "message": "boom"})) + lane.close()

    assert [name for name, _ in Decoder().feed(out[len(said) :])] == ["error", "response.failed"]
    assert b'"type":"response.error"' not in out
    assert out.count(b'"message":"boom"') == 3  # flat, nested and in the response that failed


def test_an_error_event_is_not_repeated() -> None:
    error = {"type": "error", "code": "server_error", "message": "no", "param": None}
    lane = raw_stream(EXCHANGE)
    out = lane.feed(wire(CREATED, error)) + lane.close()

    assert check_responses(out) == []
    assert out.count(b"event: error") == 1
    assert out.count(b"event: response.failed") == 1


def test_what_is_too_deep_to_be_written_again_passes_and_is_not_repeated() -> None:
    """JSON is read deeper than it is written."""
    created = orjson.dumps(CREATED)[:-2] + b',"refusal":' + b"[" * 300 + b"]" * 300 + b"}}"
    lane = raw_stream(Exchange.unasked("responses", client=ClientTraits.CODEX))
    begun = framed("response.created", created)

    assert lane.feed(begun) == begun
    failed = orjson.loads(Decoder().feed(lane.close())[-1][1])["response"]
    assert (failed["status"], failed["id"]) == ("failed", CREATED["response"]["id"])


def test_a_stream_of_nothing_is_a_whole_failure() -> None:
    lane = raw_stream(EXCHANGE)

    assert check_responses(lane.close()) == []
    assert not lane.answered


def test_ping_reaches_codex_only_and_repeats_the_last_number() -> None:
    """The next number is the upstream's to give."""
    codex = raw_stream(Exchange.unasked("responses", client=ClientTraits.CODEX))
    other = raw_stream(EXCHANGE)
    for lane in (codex, other):
        lane.feed(wire(CREATED, IN_PROGRESS))

    assert codex.ping() == [("adapter:ping", b'{"type":"adapter:ping","sequence_number":1}')]
    assert other.ping() == []


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (USAGE, USAGE),
        (None, None),
        ({"input_tokens": 1, "output_tokens": 2}, 3),
        ({**USAGE, "input_tokens_details": {}}, 3),
        ({**USAGE, "output_tokens_details": {"reasoning_tokens": None}}, 3),
        ({"prompt_tokens": 1, "completion_tokens": 2.0}, 3),
        ({"oops": 1}, None),
        ("oops", None),
    ],
)
def test_usage_is_complete_for_codex(usage: Any, told: Any) -> None:
    """It takes a stream for broken whose usage lacks a count, and asks again."""
    stream = wire(CREATED, {**COMPLETED, "response": {**COMPLETED["response"], "usage": usage}})
    other, codex = raw_stream(EXCHANGE), raw_stream(Exchange.unasked("responses", client=ClientTraits.CODEX))

    assert other.feed(stream) == stream
    passed = codex.feed(stream)
    assert (passed == stream) is (usage == told)
    given = orjson.loads(Decoder().feed(passed)[-1][1])["response"]["usage"]
    assert countable(given)
    if told == 3:
        assert (given["input_tokens"], given["output_tokens"], given["total_tokens"]) == (1, 2, 3)


@pytest.mark.parametrize("type_first", [False, True])
def test_a_refusal_is_text_for_codex_and_passes_untouched_for_others(type_first: bool) -> None:
    """Codex drops a message with a `refusal` part without a word."""
    part = {"type": "refusal", "refusal": "I will not."}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    stream = wire(
        CREATED,
        {"type": "response.content_part.added", "sequence_number": 1, **at, "part": {**part, "refusal": ""}},
        {"type": "response.refusal.delta", "sequence_number": 2, **at, "delta": "I will not."},
        {"type": "response.refusal.done", "sequence_number": 3, **at, "refusal": "I will not."},
        {"type": "response.output_item.done", "sequence_number": 4, "output_index": 0, "item": item},
        {"type": "response.completed", "sequence_number": 5, "response": {**CREATED["response"], "output": [item]}},
    )
    if type_first:  # as OpenAI writes it, and what the lane need not look at is told by it
        stream = b"".join(
            framed(name, orjson.dumps({"type": name} | orjson.loads(data))) for name, data in told(stream)
        )
    other, codex = raw_stream(EXCHANGE), raw_stream(Exchange.unasked("responses", client=ClientTraits.CODEX))

    assert other.feed(stream) == stream
    events = [orjson.loads(data) for _, data in Decoder().feed(codex.feed(stream))]
    text = {"type": "output_text", "text": "I will not.", "annotations": [], "logprobs": []}
    assert events[1]["part"] == {**text, "text": ""}
    assert (events[2]["type"], events[2]["delta"]) == ("response.output_text.delta", "I will not.")
    assert (events[3]["type"], events[3]["text"]) == ("response.output_text.done", "I will not.")
    assert events[4]["item"]["content"] == events[5]["response"]["output"][0]["content"] == [text]


@pytest.mark.parametrize("reads", [1, 2])
@pytest.mark.parametrize("name", [b"event: error\n", b""])
def test_a_failure_behind_an_error_without_a_number_goes_on_with_the_numbers_before_it(name: bytes, reads: int) -> None:
    """Gateways put such errors together by hand."""
    begun = b'data: {"type":"response.created","sequence_number":6,"response":{"id":"resp_1"}}\n\n'
    error = name + b'data: {"type":"error","error":{"message":"x"}}\n\n'
    stream = raw_stream(Exchange.unasked("responses"))

    passed = b"".join(map(stream.feed, (begun + error,) if reads == 1 else (begun, error)))

    assert passed == begun + error
    assert b'"response.failed"' in (end := stream.close())
    assert b'"sequence_number":7' in end
