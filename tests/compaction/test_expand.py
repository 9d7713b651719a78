"""Blobs in a history become what they stand for."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.compaction.anatomy import is_summary, summary_message
from adapter.compaction.expand import expand
from adapter.compaction.outgoing import wrapped_item
from adapter.compaction.payload import ContextPayload, SummaryPayload, seal_compaction, seal_reasoning
from adapter.compaction.sealing import KeyRing, Kind
from adapter.errors import InvalidEncryptedContent, InvalidValue
from adapter.hub.events import Item
from tests.compaction.histories import RING, assistant, call, developer, output, reasoning, user


def ours(text: str = "S", **facts: Any) -> Item:
    return {
        "type": "compaction",
        "id": "cmp_1",
        "encrypted_content": seal_compaction(SummaryPayload(text), RING, "t"),
        **facts,
    }


def carrying(*items: Item) -> Item:
    return {"type": "compaction", "encrypted_content": seal_compaction(ContextPayload(list(items)), RING, "t")}


def theirs(origin: str = "openai", blob: str = "gAAAA", type: str = "compaction") -> Item:
    return wrapped_item({"type": type, "id": "cmp_x", "encrypted_content": blob}, RING, "t", origin)


def expanded(*items: Item) -> list[Item]:
    return expand(items, RING, "t").items


def test_a_history_without_blobs_is_left_alone() -> None:
    for items in ([user("a"), assistant("b")], [user("a"), reasoning("c")]):
        assert expanded(*items) == items


def test_our_summary_takes_its_place_behind_what_was_retained() -> None:
    assert expanded(developer("d"), user("a"), ours("facts"), user("b")) == [
        developer("d"),
        user("a"),
        summary_message("facts"),
        user("b"),
    ]


@pytest.mark.parametrize("type_", ["compaction", "compaction_summary", "context_compaction"])
def test_codex_spellings_are_taken(type_: str) -> None:
    assert expanded(ours("facts", type=type_)) == [summary_message("facts")]


def test_what_the_summary_replaced_goes_even_if_the_client_sends_it_again() -> None:
    assert expanded(user("a"), reasoning("r"), assistant("x"), call("1"), output("1"), ours(), user("b")) == [
        user("a"),
        summary_message("S"),
        user("b"),
    ]


def test_of_two_compactions_the_newest_counts_and_what_is_before_it_is_dropped() -> None:
    items = [developer("d"), user("a"), ours("old"), user("b"), assistant("c"), ours("new"), user("e")]

    assert expanded(*items) == [developer("d"), summary_message("new"), user("e")]


def test_an_older_blob_that_cannot_be_opened_does_no_harm() -> None:
    assert expanded({"type": "compaction", "encrypted_content": "foreign"}, ours("new")) == [summary_message("new")]


def test_an_open_exchange_that_is_answered_now_comes_behind_the_summary() -> None:
    assert expanded(user("a"), reasoning("r"), call("1"), ours(), output("1")) == [
        user("a"),
        summary_message("S"),
        reasoning("r"),
        call("1"),
        output("1"),
    ]


def test_an_open_exchange_that_is_never_answered_goes() -> None:
    assert expanded(user("a"), call("1"), ours(), user("b")) == [user("a"), summary_message("S"), user("b")]
    assert expanded(carrying(user("a"), call("1")), user("b")) == [user("a"), user("b")]


def test_an_open_exchange_that_goes_is_named_by_its_place_or_by_what_held_it() -> None:
    for items, places in (
        ((user("a"), call("1"), user("b"), call("2"), ours(), output("1")), [3]),
        ((carrying(user("a"), call("1"), call("2")), user("b")), [0]),
        ((user("a"), call("1"), output("1"), ours(), user("b")), []),
        ((carrying(theirs(), call("1")), user("b")), [0]),
    ):
        assert expand(items, RING, "t").unanswered == places


def test_standing_still_every_open_exchange_stays() -> None:
    for held in ((user("a"), call("1"), ours()), (carrying(user("a"), summary_message("S"), call("1")),)):
        found = expand([*held, assistant("x")], RING, "t", going_on=False)

        assert found.items == [user("a"), summary_message("S"), call("1"), assistant("x")]
        assert found.unanswered == []


def test_a_call_that_runs_beside_the_conversation_stays_until_it_is_answered() -> None:
    running = {**call("1"), "async": True}

    assert expanded(user("a"), running, ours(), user("b")) == [user("a"), summary_message("S"), running, user("b")]
    assert expanded(carrying(user("a"), running), user("b")) == [user("a"), running, user("b")]


def test_a_context_stands_for_everything_before_it() -> None:
    carried = [user("a"), summary_message("S"), user("b")]

    assert expanded(user("old"), assistant("x"), carrying(*carried), assistant("c")) == [*carried, assistant("c")]
    assert expanded(carrying(*carried), assistant("c")) == [*carried, assistant("c")]


def test_instructions_that_the_client_sends_win_over_carried_ones() -> None:
    carried = [developer("old"), user("a"), summary_message("S")]

    assert expanded(developer("new"), user("a"), carrying(*carried)) == [
        developer("new"),
        user("a"),
        summary_message("S"),
    ]
    assert expanded(carrying(*carried)) == carried


def test_a_providers_blob_goes_back_to_it_with_everything_around_it() -> None:
    found = expand([user("a"), ours(), user("b"), theirs(), user("c")], RING, "t")

    assert found.origin == found.preferred_origin == "openai"
    assert found.items == [
        user("a"),
        user("b"),
        {"type": "compaction", "id": "cmp_x", "encrypted_content": "gAAAA"},
        user("c"),
    ]


def test_outputs_whose_calls_an_older_compaction_held_go_with_it() -> None:
    """A client that keeps its whole history would never be answered again."""
    held = [carrying(user("a"), call("1")), output("1"), user("b"), call("2")]

    native = {"type": "compaction", "encrypted_content": "gAAAA"}
    for blob in (theirs(blob="gAAAA"), native):
        found = expand([*held, blob, output("2"), user("c")], RING, "t", native=True).items
        told = [item for item in found if item["type"] != "compaction"]
        assert told == [user("b"), call("2"), output("2"), user("c")]


@pytest.mark.parametrize("blob", ["gAAAA", None, KeyRing([bytes(32)]).seal(b"x", kind=Kind.SUMMARY, tenant="t")])
def test_a_single_upstream_judges_what_nobody_here_has_sealed_and_gets_nothing_that_was_sealed_here(blob: Any) -> None:
    foreign = {"type": "compaction", "encrypted_content": blob}
    found = expand([user("a"), foreign, user("b")], RING, "t", native=True)

    assert found.items == [user("a"), foreign, user("b")]
    assert found.wrapped_again(found.items, RING, "t") == found.items
    assert expand([user("a"), ours()], RING, "t", native=True).items == [user("a"), summary_message("S")]


def test_a_single_upstream_judges_its_reasoning_also_behind_a_context_that_holds_its_compaction() -> None:
    sealed = KeyRing([bytes(32)]).seal(b"x", kind=Kind.REASONING, tenant="t")  # by an adapter behind this one
    thought: Item = {"type": "reasoning", "summary": [], "encrypted_content": sealed}

    found = expand([carrying(user("a"), theirs()), thought, user("b")], RING, "t", native=True)

    assert found.items[2:] == [thought, user("b")]


def test_codex_bare_marker_stands_for_nothing() -> None:
    marker: Item = {"type": "context_compaction"}

    assert expanded(user("a"), marker, user("b")) == [user("a"), marker, user("b")]


@pytest.mark.parametrize(
    "blob",
    [
        "gAAAAABforeign",
        "",
        None,
        seal_compaction(SummaryPayload("S"), RING, "other tenant"),
        seal_compaction(SummaryPayload("S"), RING, "t")[:-2],
        seal_reasoning("S", RING, "t", "chat"),
        RING.seal(b"not json", kind=Kind.SUMMARY, tenant="t"),
        RING.seal(b'{"items":[1]}', kind=Kind.SUMMARY, tenant="t"),
        RING.seal(b'{"future":1}', kind=Kind.SUMMARY, tenant="t"),
    ],
)
def test_any_other_blob_is_refused_with_its_place(blob: Any) -> None:
    with pytest.raises(InvalidEncryptedContent) as refused:
        expanded(user("a"), {"type": "compaction", "encrypted_content": blob}, user("b"))
    assert refused.value.param == "input[1].encrypted_content"


def test_a_context_too_deep_to_write_is_the_clients_fault() -> None:
    deep: list[Any] = []
    for _ in range(2_000):
        deep = [deep]

    with pytest.raises(InvalidValue):
        carrying({"type": "message", "role": "user", "content": deep})


# --------------------------------------------------------------------------------------------------------- reasoning


def sealed_reasoning(text: str, origin: str = "chat") -> Item:
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "encrypted_content": seal_reasoning(text, RING, "t", origin),
    }


def test_our_sealed_reasoning_becomes_text_again() -> None:
    found = expand([user("a"), sealed_reasoning("because \ud83d"), call("1"), output("1")], RING, "t")

    assert found.items[1] == {**reasoning("because \ud83d"), "id": "rs_1"}
    assert found.origin is None
    assert found.preferred_origin is None


def test_a_providers_reasoning_goes_to_its_origin_and_nowhere_else() -> None:
    spoken = {**theirs(type="reasoning"), "summary": [{"type": "summary_text", "text": "s"}]}
    found = expand([theirs(type="reasoning"), spoken, user("a")], RING, "t")

    assert found.origin is None
    assert found.preferred_origin == "openai"
    assert [item.get("encrypted_content") for item in found.for_upstream("openai")] == ["gAAAA", "gAAAA", None]
    assert found.for_upstream("other") == [{"type": "reasoning", "summary": spoken["summary"]}, user("a")]


def test_reasoning_blobs_that_were_never_ours_go_on_untouched() -> None:
    item: Item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAAB"}

    assert expanded(item, ours(), item) == [summary_message("S"), item]
    assert expanded(item) == [item]


@pytest.mark.parametrize(
    "blob", [seal_compaction(SummaryPayload("S"), RING, "t"), seal_reasoning("x", RING, "u", "o"), "adapter:9:x"]
)
def test_forged_reasoning_is_refused_with_its_place(blob: str) -> None:
    with pytest.raises(InvalidEncryptedContent) as refused:
        expanded(user("a"), ours(), user("b"), {"type": "reasoning", "summary": [], "encrypted_content": blob})
    assert refused.value.param == "input[3].encrypted_content"


def test_reasoning_inside_an_open_exchange_is_opened_under_its_own_place() -> None:
    broken: Item = {"type": "reasoning", "summary": [], "encrypted_content": "adapter:1:broken"}

    with pytest.raises(InvalidEncryptedContent) as refused:
        expanded(user("a"), broken, call("1"), ours(), output("1"))
    assert refused.value.param == "input[1].encrypted_content"


def test_provider_reasoning_is_wrapped_again_before_it_leaves() -> None:
    wrapped = theirs(type="reasoning")
    found = expand([user("a"), wrapped], RING, "t")

    assert found.wrapped_again(found.items, RING, "t") == [user("a"), wrapped]


def test_a_providers_compaction_is_wrapped_again_before_it_leaves() -> None:
    found = expand([theirs(), user("a")], RING, "t")

    assert found.wrapped_again(found.items, RING, "t") == [theirs(), user("a")]


def test_a_context_that_was_wrapped_again_still_knows_the_origin_of_its_reasoning() -> None:
    found = expand([user("a"), theirs(type="reasoning"), call("1")], RING, "t")

    back = expand([carrying(*found.wrapped_again(found.items, RING, "t")), output("1")], RING, "t")

    assert back.items == [*found.items, output("1")]
    assert back.preferred_origin == "openai"


def test_a_summary_that_was_expanded_is_known_as_one() -> None:
    assert [is_summary(item) for item in expanded(user("a"), ours(), user("b"))] == [False, True, False]
