"""Stop words, wherever they fall."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import UpstreamTruncated
from adapter.hub.events import (
    Annotated,
    Delta,
    DeltaKind,
    Deltas,
    Event,
    Failed,
    Finished,
    ItemClosed,
    ItemOpened,
    PartClosed,
    PartOpened,
    Started,
    Usage,
    singly,
)
from adapter.hub.fold import fold
from adapter.hub.grammar import check_hub
from adapter.hub.stop import StopScanner

STARTED = Started("resp_1", "m", 0)
USAGE = {
    "input_tokens": 1,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 1,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 2,
}


def token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -1.0, "bytes": [], "top_logprobs": []}


def part(text: str, *, logprobs: bool = False) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": [token(c) for c in text if logprobs]}


def message(index: int, *parts: list[str], logprobs: bool = False) -> list[Event]:
    """A message whose parts come in these deltas; with one token a character where logprobs are wanted."""
    item = {"id": f"msg_{index}", "type": "message", "role": "assistant", "content": [], "status": "in_progress"}
    events: list[Event] = [ItemOpened(index, item)]
    for k, deltas in enumerate(parts):
        events.append(PartOpened(index, k, part("")))
        for text in deltas:
            entries = [token(c) for c in text] if logprobs else None
            events.append(Delta(index, k, DeltaKind.TEXT, text, entries or None))
        events.append(PartClosed(index, k, part("".join(deltas), logprobs=logprobs)))
    whole = item | {
        "content": [part("".join(deltas), logprobs=logprobs) for deltas in parts],
        "status": "completed",
    }
    return [*events, ItemClosed(index, whole)]


def answer(*items: list[Event]) -> list[Event]:
    return [STARTED, *(event for item in items for event in item), Usage(USAGE), Finished("completed")]


def texts(events: list[Event]) -> list[list[str]]:
    assert check_hub(events) == []
    return [[p["text"] for p in item["content"]] for item in fold(events).output]


def test_the_text_is_cut_before_a_stop_word_that_spans_deltas() -> None:
    scanner = StopScanner(["STOP"])
    events = answer(message(0, ["ab S", "T", "OP cd"]))
    out = [scanner.feed([event]) for event in events]

    assert [[e.text for e in given if isinstance(e, Delta)] for given in out[3:6]] == [["ab "], [], []]
    assert [type(event) for event in out[5]] == [PartClosed, ItemClosed, Finished]
    assert texts([event for given in out for event in given]) == [["ab "]]
    assert scanner.cut


def test_what_only_looked_like_a_stop_word_comes_out_whole() -> None:
    scanner = StopScanner(["STOP"])
    events = answer(message(0, ["a S", "TO", "x"], ["ST"]))

    assert texts(scanner.feed(events)) == [["a STOx", "ST"]]
    assert not scanner.cut
    assert scanner.feed([]) == []


def test_a_stop_word_over_the_border_of_two_parts_cuts_in_the_first() -> None:
    assert texts(StopScanner(["STOP"]).feed(answer(message(0, ["a ST"], ["OP b"])))) == [["a "]]


def test_a_stop_word_never_spans_two_messages() -> None:
    scanner = StopScanner(["STOP"])

    assert texts(scanner.feed(answer(message(0, ["ST"]), message(1, ["OP"])))) == [["ST"], ["OP"]]


def test_usage_before_the_cut_passes_and_nothing_behind_it() -> None:
    events = answer(message(0, ["STOP"]))
    out = StopScanner(["STOP"]).feed([events[0], Usage(USAGE), *events[1:]])

    assert [event for event in out if isinstance(event, Usage)] == [Usage(USAGE)]
    assert out[-1] == Finished("completed")
    assert texts(out) == [[""]]


def test_the_match_that_is_complete_first_wins() -> None:
    """As if the model had been stopped while it wrote."""
    assert texts(StopScanner(["abcd", "bc"]).feed(answer(message(0, ["xabcd"])))) == [["xa"]]
    assert texts(StopScanner(["c", "abc"]).feed(answer(message(0, ["xabcd"])))) == [["x"]]


def test_reasoning_and_arguments_are_not_scanned() -> None:
    item = {
        "id": "fc_0",
        "type": "function_call",
        "call_id": "a",
        "name": "f",
        "status": "in_progress",
        "arguments": "",
    }
    events: list[Event] = [
        ItemOpened(0, item),
        Delta(0, -1, DeltaKind.ARGUMENTS, "STOP"),
        ItemClosed(0, item | {"arguments": "STOP", "status": "completed"}),
    ]
    scanner = StopScanner(["STOP"])

    assert scanner.feed(answer(events)) == answer(events)


def test_a_refusal_is_not_scanned() -> None:
    refusal = {"type": "refusal", "refusal": "STOP"}
    opened, *_, closed = message(0, ["x"])
    assert isinstance(closed, ItemClosed)
    events = answer(
        [
            opened,
            PartOpened(0, 0, {**refusal, "refusal": ""}),
            Delta(0, 0, DeltaKind.REFUSAL, "ST"),
            Delta(0, 0, DeltaKind.REFUSAL, "OP"),
            PartClosed(0, 0, refusal),
            ItemClosed(0, {**closed.item, "content": [refusal]}),
        ]
    )

    assert StopScanner(["STOP"]).feed(events) == events


def test_a_failure_gives_out_what_was_held() -> None:
    events = answer(message(0, ["a ST"]))[:4]
    failed = Failed(UpstreamTruncated("x"))
    out = StopScanner(["STOP"]).feed([*events, failed])

    assert "".join(event.text for event in out if isinstance(event, Delta)) == "a ST"
    assert out[-1] is failed


def test_an_annotation_behind_held_text_waits_with_it() -> None:
    note = {"type": "url_citation", "url": "u", "title": "", "start_index": 0, "end_index": 1}
    events = message(0, ["a", " ST", "OP"])
    events.insert(3, Annotated(0, 0, 0, note))
    events.insert(5, Annotated(0, 0, 1, note))
    out = StopScanner(["STOP"]).feed([STARTED, *events])

    assert check_hub(out) == []
    assert fold(out).output[0]["content"][0]["annotations"] == [note]


def test_no_stop_words_change_nothing() -> None:
    events = answer(message(0, ["a"]))

    assert StopScanner(["", ""]).feed(events) == events


def by_hand(text: str, stop: list[str]) -> str:
    for end in range(len(text) + 1):
        starts = [end - len(word) for word in stop if text[:end].endswith(word)]
        if starts:
            return text[: min(starts)]
    return text


@given(
    st.text("abS", max_size=24),
    st.lists(st.text("abS", min_size=1, max_size=4), min_size=1, max_size=4),
    st.booleans(),
    st.data(),
)
def test_any_cut_into_deltas_and_reads_gives_the_same_answer(
    text: str, stop: list[str], logprobs: bool, data: st.DataObject
) -> None:
    def deltas(size: int) -> list[str]:
        cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=5)))
        return [text[a:b] for a, b in zip([0, *cuts], [*cuts, size], strict=True)]

    expected = by_hand(text, stop)
    scanner, out = StopScanner(stop), []
    events = answer(message(0, deltas(len(text)), logprobs=logprobs))
    while events:
        size = data.draw(st.integers(1, len(events)))
        out += scanner.feed(events[:size])
        events = events[size:]

    assert texts(out) == [[expected]]
    assert scanner.cut == (expected != text or any(word in text for word in stop))
    assert len(fold(out).output[0]["content"][0]["logprobs"]) == (len(expected) if logprobs else 0)


@given(st.lists(st.text("abS", max_size=5), max_size=8), st.lists(st.text("abS", min_size=1, max_size=3)), st.data())
def test_several_texts_at_once_are_cut_as_one_after_the_other(
    given_texts: list[str], stop: list[str], data: st.DataObject
) -> None:
    events = answer(message(0, given_texts))
    together: list[Event] = []
    for event in events:
        last = together[-1] if together else None
        if isinstance(event, Delta) and data.draw(st.booleans()):
            together.append(Deltas(event.index, event.part_index, event.kind, [event.text]))
        elif isinstance(event, Delta) and isinstance(last, Deltas):
            last.texts.append(event.text)
        else:
            together.append(event)
    assert list(singly(together)) == events

    assert list(singly(StopScanner(stop).feed(together))) == StopScanner(stop).feed(events)


@given(st.text("abS", max_size=12), st.integers(0, 12), st.lists(st.text("abS", min_size=1, max_size=3), min_size=1))
def test_the_border_of_a_part_changes_nothing_but_where_the_text_stands(text: str, at: int, stop: list[str]) -> None:
    out = StopScanner(stop).feed(answer(message(0, [text[:at]], [text[at:]])))

    assert "".join(texts(out)[0]) == by_hand(text, stop)


def test_an_item_that_overlaps_the_message_does_not_end_the_search() -> None:
    """An upstream closes a search call while the message is open, and half a stop word is held."""

    search = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
    opened, part_opened, first, second, *_ = message(1, ["a ST", "OP b"])
    events: list[Event] = [STARTED, ItemOpened(0, search), opened, part_opened, first, ItemClosed(0, search), second]

    out = StopScanner(["STOP"]).feed(events)

    assert check_hub(out) == []
    assert [item["type"] for item in fold(out).output] == ["web_search_call", "message"]
    assert fold(out).output[1]["content"][0]["text"] == "a "
