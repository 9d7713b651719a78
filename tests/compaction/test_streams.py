"""A compaction inside a stream."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.compaction.shapes import Facts, compaction_item
from adapter.compaction.streams import preceded, triggered
from adapter.compaction.updates import update_items
from adapter.errors import UpstreamTruncated
from adapter.hub.events import (
    Annotated,
    Delta,
    DeltaKind,
    Event,
    Failed,
    Finished,
    Item,
    ItemClosed,
    ItemOpened,
    Opaque,
    PartClosed,
    PartOpened,
    Started,
    Usage,
)
from adapter.hub.fold import fold
from adapter.hub.grammar import check_hub
from tests.compaction.histories import usage

TEXT = {"type": "output_text", "text": "hi", "annotations": []}
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [TEXT]}
SETTINGS: list[Item] = [{"type": "configuration_update", "reasoning": {"effort": "high"}}]
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
ANSWER: list[Event] = [
    Started("resp_1", "m", 7),
    ItemOpened(0, {**SEARCH, "status": "in_progress"}),
    Opaque({"type": "response.web_search_call.searching", "output_index": 0, "item_id": "ws_1"}),
    ItemClosed(0, SEARCH),
    ItemOpened(1, {**MESSAGE, "status": "in_progress", "content": []}),
    PartOpened(1, 0, {**TEXT, "text": ""}),
    Delta(1, 0, DeltaKind.TEXT, "hi"),
    Annotated(1, 0, 0, {"type": "url_citation"}),
    PartClosed(1, 0, {**TEXT, "annotations": [{"type": "url_citation"}]}),
    ItemClosed(1, {**MESSAGE, "content": [{**TEXT, "annotations": [{"type": "url_citation"}]}]}),
    Usage(usage(10, 2)),
    Finished("completed"),
]


def test_a_trigger_is_answered_by_exactly_one_compaction_item_and_its_usage() -> None:
    events = triggered(Facts(token="t", model="m", created_at=7, usage=usage(5, 1)), "sealed", SETTINGS)
    answer = fold(events)

    assert check_hub(events) == []
    assert answer.output == [compaction_item("sealed", "t"), *update_items(SETTINGS, "t")]
    assert (answer.id, answer.status, answer.usage) == ("resp_t", "completed", usage(5, 1))


@settings(max_examples=30)
@given(cut=st.integers(0, len(ANSWER)))
def test_an_answer_behind_a_compaction_stays_grammatical_wherever_it_breaks_off(cut: int) -> None:
    events = ANSWER if cut == len(ANSWER) else [*ANSWER[:cut], Failed(UpstreamTruncated("cut"))]
    transformed = preceded("sealed", SETTINGS, usage(100, 20))

    assert check_hub(ANSWER) == []
    assert check_hub([out for event in events for out in transformed(event)]) == []


@pytest.mark.parametrize("settings", [[], SETTINGS])
def test_the_compaction_comes_first_and_the_usage_includes_it(settings: list[Item]) -> None:
    transformed = preceded("sealed", settings, usage(100, 20))
    events = [out for event in ANSWER for out in transformed(event)]
    plain, answer = fold(ANSWER), fold(events)

    assert answer.output == [compaction_item("sealed", "1"), *update_items(settings, "1"), *plain.output]
    assert answer.usage == usage(110, 22)
    assert [event.event["output_index"] for event in events if isinstance(event, Opaque)] == [1 + len(settings)]
    assert ANSWER[2] == Opaque({"type": "response.web_search_call.searching", "output_index": 0, "item_id": "ws_1"})


def test_an_opaque_event_of_no_item_passes() -> None:
    event = Opaque({"type": "acme:note"})

    assert preceded("sealed", [], usage(1, 1))(event) == [event]
