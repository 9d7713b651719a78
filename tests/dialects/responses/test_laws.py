"""Laws of the Responses dialect, whatever comes in."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.dialects import responses
from adapter.dialects.intake import parsed
from adapter.errors import AdapterError, BadRequest, UpstreamError
from adapter.hub.events import Event, Failed, Finished
from adapter.hub.fold import fold
from adapter.hub.grammar import check_hub, check_responses
from adapter.hub.request import Exchange
from adapter.upstream.profiles import profile
from adapter.wire.sse import Decoder, framed
from tests.corpus import Case, cases
from tests.dialects.responses import streams

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def read(events: list[Any], exchange: Exchange | None = None) -> list[Event]:
    """The hub events of a stream of JSON values."""
    reader = responses.stream_reader(exchange or Exchange.unasked("responses"))
    out = [event for one in events for event in reader.feed(None, orjson.dumps(one))]
    return out + reader.close()


def write(events: list[Event], exchange: Exchange | None = None) -> list[dict[str, Any]]:
    """The wire events of hub events."""
    writer = responses.stream_writer(exchange or Exchange.unasked("responses"))
    return [orjson.loads(data) for event in events for _, data in writer.feed(event)]


def complaints(events: list[Event]) -> list[str]:
    """What the two grammars have against hub events and what is written from them."""
    out = b"".join(framed(e["type"], orjson.dumps(e)) for e in write(events))
    return [str(v) for v in check_hub(events)] + [str(v) for v in check_responses(out)]


DEEP = b"[" * 252 + b"]" * 252
"""As deep as it may be read, and too deep to be written inside an event."""


@pytest.mark.parametrize(
    "event",
    [
        b'{"type":"response.created","response":{"id":"resp_1","odd":%b}}',
        b'{"type":"response.output_item.done","output_index":0,"item":{"type":"acme:x","id":"i","odd":%b}}',
        b'{"type":"acme:x","odd":%b}',
        b'{"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[],"odd":%b}}',
    ],
)
def test_an_event_that_cannot_be_written_again_is_a_failure(event: bytes) -> None:
    reader = responses.stream_reader(Exchange.unasked("responses"))
    begun = reader.feed(None, b'{"type":"response.output_text.delta","output_index":0,"delta":"h"}')
    events = begun + reader.feed(None, event % DEEP) + reader.close()

    assert complaints(events) == []
    assert isinstance(events[-1], Failed)
    with pytest.raises(UpstreamError):
        parsed(event % DEEP)


@settings(max_examples=60)
@given(streams.answers())
def test_a_grammatical_stream_comes_out_equal(events: list[dict[str, Any]]) -> None:
    out = write(read(events))

    assert streams.comparable(out) == streams.comparable(events)


MENDED = (
    "streams/responses/a_tool_call_with_empty_arguments.sse",  # empty arguments become an empty object
    "streams/responses/xai_citations_without_title_and_indices.sse",  # an id without its prefix gets it
)
IN_ORDER = [
    case
    for case in cases("streams")
    if case.dialect == "responses" and not case.fault and case.name not in MENDED and not check_responses(case.data)
]


@pytest.mark.parametrize("case", IN_ORDER, ids=lambda case: case.name)
def test_what_a_real_server_streams_in_order_loses_nothing(case: Case) -> None:
    """Keys may be added (defaults that the server left out), none is lost or changed."""

    sent = [orjson.loads(data) for _, data in Decoder().feed(case.data) if data != b"[DONE]"]

    for before, after in zip(streams.comparable(sent), streams.comparable(write(read(sent))), strict=True):
        assert lost(before, after, before["type"]) == []


def test_the_corpus_has_streams_in_order() -> None:
    assert len(IN_ORDER) > 20


def lost(before: Any, after: Any, path: str) -> list[str]:
    """Where `after` lacks something of `before`, or says it differently."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [found for key in before for found in lost(before[key], after.get(key, ...), f"{path}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            found for k, pair in enumerate(zip(before, after, strict=True)) for found in lost(*pair, f"{path}[{k}]")
        ]
    return [] if before == after else [path]


@settings(max_examples=60)
@given(streams.answers())
def test_a_stream_says_what_the_plain_reply_says(events: list[dict[str, Any]]) -> None:
    exchange = Exchange.unasked("responses")
    final = events[-1]["response"]
    if final["status"] == "failed":
        return

    streamed = responses.write_reply([fold(read(events))], exchange)
    replied = responses.write_reply([fold(responses.read_reply(final, exchange)[0])], exchange)

    assert streamed == replied


@settings(max_examples=150)
@given(streams.answers(), st.randoms(use_true_random=False))
def test_whatever_a_broken_upstream_streams_the_grammar_holds(events: list[dict[str, Any]], chance: Any) -> None:
    read_events = read(streams.damaged(events, chance))

    assert complaints(read_events) == []
    assert sum(isinstance(event, (Finished, Failed)) for event in read_events) == 1


@settings(max_examples=150)
@given(st.lists(streams.nonsense(), max_size=12))
def test_nonsense_never_raises_and_the_grammar_holds(events: list[Any]) -> None:
    assert complaints(read(events)) == []


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"", b"[DONE]", b"{}", b"[]", b'{"type":3}']), max_size=6))
def test_bytes_that_are_no_events_never_raise(data: list[bytes]) -> None:
    reader = responses.stream_reader(Exchange.unasked("chat"))
    events = [event for one in data for event in reader.feed(None, one)] + reader.close()

    assert check_hub(events) == []


@settings(max_examples=150)
@given(streams.requests() | st.dictionaries(st.text(max_size=6), JSON, max_size=4))
def test_arbitrary_requests_raise_only_our_errors_and_are_not_changed(body: dict[str, Any]) -> None:
    before = copy.deepcopy(body)
    for name in ("generic", "openai", "vllm"):
        try:
            responses.write_request(responses.read_request(body), profile(name))
        except BadRequest as refused:
            assert refused.message
    assert body == before


@settings(max_examples=100)
@given(JSON | streams.replies(JSON))
def test_arbitrary_replies_raise_only_upstream_errors(body: Any) -> None:
    exchange = Exchange.unasked("responses")
    try:
        events, _ = responses.read_reply(body, exchange)
    except AdapterError as refused:
        assert isinstance(refused, UpstreamError) or refused.http_status >= 400
        return
    assert check_hub(events) == []
    responses.write_reply([fold(events)], exchange)
