"""Conversations, on both back-ends."""

from __future__ import annotations

import asyncio

import pytest

from adapter.errors import InvalidValue
from adapter.store.store import Store
from tests.store.conftest import Backend, Clock
from tests.store.samples import assistant, response, texts, user


async def test_create_read_update_delete(store: Store, clock: Clock) -> None:
    made = await store.create_conversation("t", "conv_1", metadata={"topic": "a"}, items=[user("hi")])

    assert {
        "id": "conv_1",
        "object": "conversation",
        "created_at": int(clock.time),
        "metadata": {"topic": "a"},
    } == made
    assert made == await store.conversation("t", "conv_1")
    assert made | {"metadata": {"b": "c"}} == await store.update_conversation("t", "conv_1", {"b": "c"})
    assert made | {"metadata": {}} == await store.update_conversation("t", "conv_1", None)
    assert await store.delete_conversation("t", "conv_1")
    assert not await store.delete_conversation("t", "conv_1")
    assert {0} == set((await store.stats()).rows.values())


async def test_unknown_and_foreign_are_alike(store: Store) -> None:
    await store.create_conversation("mine", "conv_1", items=[user("hi", id="msg_1")])

    for tenant, name in (("other", "conv_1"), ("mine", "conv_2")):
        assert await store.conversation(tenant, name) is None
        assert await store.update_conversation(tenant, name, {}) is None
        assert not await store.delete_conversation(tenant, name)
        assert await store.add_conversation_items(tenant, name, [user("x")]) is None
        assert await store.conversation_items(tenant, name) is None
        assert await store.conversation_item(tenant, name, "msg_1") is None
        assert await store.delete_conversation_item(tenant, name, "msg_1") is None
        assert await store.conversation_history(tenant, name) is None
    assert texts(await store.conversation_history("mine", "conv_1")) == ["hi"]


async def test_items_are_added_listed_found_and_removed(store: Store) -> None:
    await store.create_conversation("t", "conv_1")
    first = await store.add_conversation_items("t", "conv_1", [user("a"), user("a")])
    second = await store.add_conversation_items("t", "conv_1", [user("a"), user("b")])
    assert first is not None
    assert second is not None
    ids = [item["id"] for item in first + second]
    assert len(set(ids)) == 4, "equal items are different entries"

    page = await store.conversation_items("t", "conv_1", limit=2, order="asc", after=ids[0])
    assert page is not None
    assert (ids[1:3], True) == ([item["id"] for item in page.data], page.has_more)
    page = await store.conversation_items("t", "conv_1")
    assert page is not None
    assert ids[::-1] == [item["id"] for item in page.data]
    assert second[1] == await store.conversation_item("t", "conv_1", ids[3])
    kept = await store.delete_conversation_item("t", "conv_1", ids[1])
    assert kept is not None
    assert kept["id"] == "conv_1"
    assert await store.conversation_item("t", "conv_1", ids[1]) is None
    assert await store.delete_conversation_item("t", "conv_1", ids[1]) is None
    assert texts(await store.conversation_history("t", "conv_1")) == ["a", "a", "b"]
    with pytest.raises(InvalidValue):
        await store.conversation_items("t", "conv_1", after=ids[1])


async def test_an_empty_conversation_is_not_an_unknown_one(store: Store) -> None:
    await store.create_conversation("t", "conv_1")
    page = await store.conversation_items("t", "conv_1")

    assert page is not None
    assert page.data == []
    assert await store.conversation_history("t", "conv_1") == []
    assert await store.add_conversation_items("t", "conv_1", []) == []


@pytest.mark.parametrize(
    "metadata", [{str(n): "x" for n in range(17)}, {"k" * 65: "x"}, {"k": "x" * 513}, {"k": 1}, {"k": None}]
)
async def test_metadata_out_of_bounds_is_refused(store: Store, metadata: dict[str, object]) -> None:
    with pytest.raises(InvalidValue) as refused:
        await store.create_conversation("t", "conv_1", metadata=metadata)
    assert str(refused.value.param).startswith("metadata")


async def test_metadata_that_fills_its_bounds_is_taken(store: Store) -> None:
    metadata = {f"{n:064}": "x" * 512 for n in range(16)}
    made = await store.create_conversation("t", "conv_1", metadata=metadata)
    assert made["metadata"] == metadata


async def test_more_than_twenty_items_are_refused(store: Store) -> None:
    await store.create_conversation("t", "conv_1", items=[user(str(n)) for n in range(20)])
    with pytest.raises(InvalidValue) as refused:
        await store.add_conversation_items("t", "conv_1", [user(str(n)) for n in range(21)])
    assert refused.value.param == "items"


async def test_a_turn_is_appended_once(store: Store) -> None:
    """Input and output join the conversation with the end of the turn, and a repeated save adds nothing."""
    await store.create_conversation("t", "conv_1", items=[user("before")])
    named = {"conversation": {"id": "conv_1"}}
    await store.save_response("t", response("resp_1", status="in_progress", **named), input=[user("q")])
    assert texts(await store.conversation_history("t", "conv_1")) == ["before"]
    for _ in range(2):
        assert await store.save_response("t", response("resp_1", assistant("a", "msg_1"), **named))
    await store.save_response("t", response("resp_2", assistant("b", "msg_2"), **named), input=[user("q")])

    assert texts(await store.conversation_history("t", "conv_1")) == ["before", "q", "a", "q", "b"]


async def test_nothing_said_is_lost_because_its_id_is_taken(store: Store) -> None:
    """Some servers number the items of every answer alike, and some clients theirs."""
    await store.create_conversation("t", "conv_1")
    named = {"conversation": {"id": "conv_1"}}
    for n, said in enumerate(["a", "a", "b"]):
        reply = assistant(said, "msg_1")
        for _ in range(2):
            assert await store.save_response(
                "t", response(f"resp_{n}", reply, reply, **named), input=[user(f"q{n}", id="msg_2")]
            )
    added = await store.add_conversation_items("t", "conv_1", [user("last", id="msg_2")])

    said = ["q0", "a", "a", "q1", "a", "a", "q2", "b", "b", "last"]
    assert texts(await store.conversation_history("t", "conv_1")) == said
    page = await store.conversation_items("t", "conv_1", order="asc")
    assert page is not None
    assert texts(page.data) == said
    ids = [item["id"] for item in page.data]
    assert len(set(ids)) == 10
    assert added is not None
    assert added[0]["id"] == ids[-1]
    assert texts(list((await store.find_items("t", ids[-2:])).values())) == ["b", "last"]
    assert texts([item for one in ids if (item := await store.conversation_item("t", "conv_1", one))]) == said


async def test_what_a_client_says_again_word_for_word_under_its_id_is_the_same(store: Store) -> None:
    """It refers to what was said, as with item references."""
    await store.create_conversation("t", "conv_1", items=[user("a", id="msg_1")])
    await store.add_conversation_items("t", "conv_1", [user("a", id="msg_1"), user("b", id="msg_2")])
    turn = response("resp_1", assistant("c", "msg_3"), conversation={"id": "conv_1"})
    await store.save_response("t", turn, input=[user("b", id="msg_2"), user("q")])

    assert texts(await store.conversation_history("t", "conv_1")) == ["a", "b", "q", "c"]


async def test_a_failed_turn_leaves_the_conversation_alone(store: Store) -> None:
    await store.create_conversation("t", "conv_1")
    failed = response("resp_1", status="failed", conversation={"id": "conv_1"})
    await store.save_response("t", failed, input=[user("q")])

    assert await store.conversation_history("t", "conv_1") == []


async def test_a_turn_that_was_cut_short_is_in_the_conversation(store: Store) -> None:
    await store.create_conversation("t", "conv_1")
    cut = response("resp_1", assistant("a", "msg_1"), status="incomplete", conversation={"id": "conv_1"})
    await store.save_response("t", cut, input=[user("q")])

    assert texts(await store.conversation_history("t", "conv_1")) == ["q", "a"]


async def test_responses_and_conversations_share_items_and_let_go_apart(store: Store) -> None:
    await store.create_conversation("t", "conv_1")
    turn = response("resp_1", assistant("a", "msg_1"), conversation={"id": "conv_1"})
    await store.save_response("t", turn, input=[user("q")])
    assert (await store.stats()).rows["items"] == 2
    await store.delete_response("t", "resp_1")
    assert texts(await store.conversation_history("t", "conv_1")) == ["q", "a"]
    await store.delete_conversation("t", "conv_1")
    assert (await store.stats()).rows["items"] == 0


async def test_a_turn_whose_conversation_was_deleted_is_stored_all_the_same(store: Store) -> None:
    turn = response("resp_1", assistant("a", "msg_1"), conversation={"id": "conv_none"})
    assert await store.save_response("t", turn, input=[user("q")])
    assert await store.response("t", "resp_1") is not None


async def test_replicas_add_to_one_conversation_at_once(backend: Backend) -> None:
    """Nothing is lost, each call's items stay together and in order."""
    stores = [backend.store(), backend.store()]
    await stores[0].create_conversation("t", "conv_1")
    await asyncio.gather(
        *(stores[n % 2].add_conversation_items("t", "conv_1", [user(f"{n}a"), user(f"{n}b")]) for n in range(20))
    )
    said = texts(await stores[0].conversation_history("t", "conv_1"))

    assert said is not None
    assert len(set(said)) == 40
    assert all(said[k][:-1] == said[k + 1][:-1] and said[k].endswith("a") for k in range(0, 40, 2))
