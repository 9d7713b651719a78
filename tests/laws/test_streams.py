"""Laws of streams, over the public face: any answer, any cut, any damage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapter import translate
from adapter.conform import laws, strategies
from adapter.conform.laws import Name
from adapter.conform.speaking import (
    Spoken,
    chat_completion,
    chat_stream,
    hub_events,
    response,
    responses_events,
    responses_stream,
)
from adapter.dialects.intake import Intake
from adapter.dialects.registry import DIALECTS
from adapter.errors import AdapterError
from adapter.hub.events import Event, Finished, Started, singly
from adapter.hub.fold import fold
from adapter.hub.grammar import check_hub
from adapter.hub.request import Exchange
from adapter.wire.jsonio import dumps
from tests.corpus import Case, cases

WAYS: list[tuple[Name, Name]] = [(a, b) for a in ("chat", "responses") for b in ("chat", "responses")]  # type: ignore[misc]
ways = pytest.mark.parametrize(("source", "target"), WAYS)


def raw_of(spoken: Spoken, source: Name) -> bytes:
    """The answer as an upstream of that dialect streams it."""
    return chat_stream(spoken) if source == "chat" else responses_stream(spoken)


def reply_of(spoken: Spoken, source: Name) -> dict[str, Any]:
    """The answer as an upstream of that dialect replies."""
    return chat_completion(spoken) if source == "chat" else response(spoken)


@ways
@given(spoken=strategies.spoken(), data=st.data())
def test_any_byte_split_gives_the_same_events(source: Name, target: Name, spoken: Spoken, data: st.DataObject) -> None:
    """Reads may end anywhere: in a character, a line, an event."""

    parts = data.draw(strategies.splits(raw_of(spoken, source)))
    assert laws.any_cut_gives_the_same(translate, parts, source, target) == []


@ways
@given(data=st.data())
def test_the_folded_stream_equals_the_plain_reply(source: Name, target: Name, data: st.DataObject) -> None:
    """To the client it is one answer, however it comes. (A plain Chat message has no order but that of its kinds.)"""

    spoken = data.draw(strategies.spoken(chat=source == "chat"))
    raw, reply = raw_of(spoken, source), reply_of(spoken, source)
    assert laws.stream_says_what_the_reply_says(translate, raw, reply, source, target) == []


@ways
@given(spoken=strategies.spoken(), data=st.data())
def test_every_emitted_stream_is_grammatical_whatever_happened_to_the_upstream(
    source: Name, target: Name, spoken: Spoken, data: st.DataObject
) -> None:
    """Cut, doubled, swapped, overwritten: grammatical, and over exactly once."""

    raw = data.draw(strategies.damaged(raw_of(spoken, source)))
    assert laws.output_is_grammatical(translate, raw, source, target) == []


@ways
@given(
    raw=st.binary(max_size=60) | st.sampled_from([b"data: {}\n\n", b"data: [DONE]\n\n", b"event: error\ndata: {}\n\n"])
)
@example(raw=b"")
def test_every_emitted_stream_is_grammatical_whatever_the_bytes(source: Name, target: Name, raw: bytes) -> None:
    """Not even SSE."""

    assert laws.output_is_grammatical(translate, raw, source, target) == []


@ways
@given(data=st.data())
def test_every_recorded_stream_survives_damage(source: Name, target: Name, data: st.DataObject) -> None:
    """The real servers' streams of the corpus, damaged. What a tool of the server's says passes as it is, with its damage."""

    case = data.draw(st.sampled_from(of(source)))
    raw = data.draw(strategies.damaged(case.data))
    found = laws.output_is_grammatical(translate, raw, source, target)
    assert [one for one in found if not OF_HOSTED.match(one)] == []


OF_HOSTED = re.compile(r"str\.\w+ at .* response\.(code_interpreter|mcp)_call")


def of(source: Name) -> list[Case]:
    """The streams of one dialect."""
    return [case for case in cases("streams") if case.dialect == source]


@ways
@given(data=st.data())
def test_every_recorded_stream_may_be_cut_anywhere(source: Name, target: Name, data: st.DataObject) -> None:
    """The same for cuts, CR, BOM and comments included."""

    parts = data.draw(strategies.splits(data.draw(st.sampled_from(of(source))).data))
    assert laws.any_cut_gives_the_same(translate, parts, source, target) == []


@ways
@given(
    events=st.lists(
        strategies.wrong(["type", "choices", "delta", "item", "output_index", "error", "usage"]), max_size=4
    )
)
def test_events_of_any_shape_end_in_one_failure_or_one_answer(source: Name, target: Name, events: list[Any]) -> None:
    """The right words with anything behind them."""

    raw = b"".join(b"data: " + dumps(event) + b"\n\n" for event in events)
    assert laws.output_is_grammatical(translate, raw, source, target) == []


@given(spoken=strategies.spoken())
def test_a_grammatical_responses_stream_comes_out_equal(spoken: Spoken) -> None:
    """Up to numbering, obfuscation and the echo of a request that nobody has."""

    events = responses_events(spoken)
    assert laws.responses_stream_comes_out_equal(translate, events, responses_stream(spoken)) == []


@given(spoken=strategies.spoken())
def test_a_responses_stream_is_read_into_the_very_events_that_say_it(spoken: Spoken) -> None:
    """The hub's alphabet is the stream, letter for letter."""

    intake = Intake(DIALECTS["responses"], Exchange.unasked("responses"))
    events = intake.feed(responses_stream(spoken)) + intake.close()
    assert [bare(event) for event in singly(events)] == hub_events(spoken)


def bare(event: Event) -> Event:
    """An event without the top-level facts that ride along."""
    return replace(event, extra={}) if isinstance(event, (Started, Finished)) else event


@given(spoken=strategies.spoken(chat=True))
def test_a_chat_stream_is_read_into_the_answer_that_it_says(spoken: Spoken) -> None:
    """Items, parts, calls and usage, ids aside."""

    intake = Intake(DIALECTS["chat"], Exchange.unasked("responses"))
    events = intake.feed(chat_stream(spoken)) + intake.close()
    assert check_hub(events) == []
    answer = fold(events)
    assert [without_id(item) for item in answer.output] == [without_id(item) for item in spoken.items]
    assert (answer.status, answer.reason, answer.usage) == (spoken.status, spoken.reason, spoken.usage)


def without_id(item: dict[str, Any]) -> dict[str, Any]:
    """An item without what only its own upstream can know."""
    kept = {key: value for key, value in item.items() if key != "id"}
    if item["type"] == "reasoning":
        kept.pop("status", None)
    return kept


@ways
@given(reply=strategies.json_values | strategies.wrong(strategies.REPLY_KEYS))
def test_arbitrary_replies_raise_only_our_errors(source: Name, target: Name, reply: Any) -> None:
    """Any JSON as an upstream's answer."""

    assert laws.only_these_errors(lambda: translate.reply(reply, source, target), AdapterError) == []


def mutated(value: Any) -> Iterator[Any]:
    """`value` with one place at a time replaced by something of another type."""
    yield from (None, 5, "x", [], {})
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {k: v for k, v in value.items() if k != key}
            yield from ({**value, key: other} for other in mutated(inner))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from ([*value[:place], other, *value[place + 1 :]] for other in mutated(inner))


@ways
@given(spoken=strategies.spoken(), data=st.data())
def test_a_reply_with_one_wrong_place_raises_only_our_errors(
    source: Name, target: Name, spoken: Spoken, data: st.DataObject
) -> None:
    """Nearly right is harder than random."""

    reply = data.draw(st.sampled_from(list(mutated(reply_of(spoken, source)))))
    assert laws.only_these_errors(lambda: translate.reply(reply, source, target), AdapterError) == []
