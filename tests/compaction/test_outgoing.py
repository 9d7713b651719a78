"""Blobs on the way out come back as what they were."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapter.compaction.expand import expand
from adapter.compaction.outgoing import asks_for_sealed_reasoning, sealing_reasoning, wrapping_blobs
from adapter.hub.events import Delta, DeltaKind, Event, ItemClosed, ItemOpened
from adapter.hub.events import Item as HubItem
from tests.compaction.histories import RING, assistant, reasoning, request, user

SEALING = sealing_reasoning(RING, "t", "chat")
WRAPPING = wrapping_blobs(RING, "t", "openai")


def closed(events: list[Event]) -> HubItem:
    (event,) = events
    assert isinstance(event, ItemClosed)
    return event.item


@given(text=st.text(st.characters(exclude_categories=[]), min_size=1, max_size=40))
def test_reasoning_that_is_sealed_out_is_read_back_in_whole(text: str) -> None:
    item = closed(SEALING(ItemClosed(0, {**reasoning(text), "id": "rs_1", "status": "completed"})))

    assert item["content"] == reasoning(text)["content"]
    stripped = {key: value for key, value in item.items() if key != "content"}
    assert expand([stripped], RING, "t").items == [{**reasoning(text), "id": "rs_1"}]


def test_a_summary_is_sealed_where_there_is_no_text() -> None:
    parts = [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]
    item = closed(SEALING(ItemClosed(0, {"type": "reasoning", "summary": parts})))

    assert expand([item], RING, "t").items == [
        {"type": "reasoning", "summary": parts, "content": [{"type": "reasoning_text", "text": "a\n\nb"}]}
    ]


def test_other_events_pass_as_they_are() -> None:
    for event in (
        Delta(0, 0, DeltaKind.REASONING, "x"),
        ItemOpened(0, {"type": "reasoning", "summary": []}),
        ItemClosed(0, assistant("x")),
        ItemClosed(0, {"type": "reasoning", "summary": [], "content": None}),
        ItemClosed(0, {**reasoning("x"), "encrypted_content": "its own"}),
    ):
        assert SEALING(event) == [event]


def test_a_providers_blobs_are_wrapped_and_unwrapped_again() -> None:
    item: HubItem = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    out = WRAPPING(ItemClosed(0, item))
    (begun,) = WRAPPING(ItemOpened(0, item))

    assert isinstance(begun, ItemOpened)
    assert closed(out)["encrypted_content"] != "gAAAA"
    assert begun.item == closed(out)
    found = expand([closed(out), user("x")], RING, "t")
    assert found.items == [item, user("x")]
    assert found.preferred_origin == "openai"


def test_items_without_a_foreign_blob_are_not_wrapped() -> None:
    wrapped = closed(WRAPPING(ItemClosed(0, {"type": "compaction", "encrypted_content": "gAAAA"})))
    for event in (
        ItemClosed(0, wrapped),
        ItemOpened(0, {"type": "reasoning", "summary": [], "encrypted_content": None}),
        ItemClosed(0, {**assistant("x"), "encrypted_content": "not a blob item"}),
        Delta(0, 0, DeltaKind.TEXT, "x"),
    ):
        assert WRAPPING(event) == [event]


def test_reasoning_is_sealed_when_include_asks() -> None:
    assert asks_for_sealed_reasoning(request([], include=["reasoning.encrypted_content"]))
    assert not asks_for_sealed_reasoning(request([], include=["message.output_text.logprobs"]))
    assert not asks_for_sealed_reasoning(request([]))
    assert not asks_for_sealed_reasoning(request([], include=None))
