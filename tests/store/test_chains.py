"""Chains of responses: length, forks, what deletion and expiry leave, what a turn costs."""

from __future__ import annotations

import pytest

from adapter.errors import BadRequest
from adapter.store.store import Store
from tests.store.conftest import Backend, Clock
from tests.store.samples import assistant, response, texts, user


async def grow(store: Store, turns: int, name: str = "resp", after: str | None = None) -> str:
    """A chain of `turns` responses; the last one's id."""
    for n in range(turns):
        reply = response(f"{name}_{n}", assistant(f"a{n}", f"msg_{name}_{n}"), previous_response_id=after)
        assert await store.save_response("t", reply, input=[user(f"q{n}")])
        after = f"{name}_{n}"
    assert after is not None
    return after


async def test_a_chain_of_any_length_is_one_query(store: Store, queries: list[str]) -> None:
    end = await grow(store, 120)
    queries.clear()

    history = texts(await store.resolve("t", end))

    assert [f"{who}{n}" for n in range(120) for who in "qa"] == history
    assert len(queries) == 1


async def test_a_turn_writes_its_own_items_only(store: Store) -> None:
    """Rows grow linearly: no turn copies the ones before it."""
    await grow(store, 50)
    rows = (await store.stats()).rows

    assert (rows["responses"], rows["items"], rows["response_items"]) == (50, 100, 100)


async def test_a_turn_costs_the_same_at_any_depth(store: Store, queries: list[str]) -> None:
    await grow(store, 1)
    queries.clear()
    await grow(store, 1, "early", after="resp_0")
    early = len(queries)
    end = await grow(store, 60, "deep", after="early_0")
    queries.clear()
    await grow(store, 1, "late", after=end)

    assert early == len(queries)
    assert early <= 6


async def test_a_client_that_sends_everything_again_stores_items_once(store: Store) -> None:
    """No previous_response_id, the whole history in every request."""
    history = []
    for n in range(20):
        history.append(user(f"q{n}"))
        reply = assistant(f"a{n}", f"msg_{n}")
        await store.save_response("t", response(f"resp_{n}", reply), input=history)
        history.append(reply)

    assert (await store.stats()).rows["items"] == 40
    assert texts(history) == texts(await store.resolve("t", "resp_19"))


async def test_forks_share_their_trunk(store: Store) -> None:
    trunk = await grow(store, 3)
    left = await grow(store, 2, "left", after=trunk)
    right = await grow(store, 1, "right", after=trunk)

    assert texts(await store.resolve("t", left)) == ["q0", "a0", "q1", "a1", "q2", "a2", "q0", "a0", "q1", "a1"]
    assert texts(await store.resolve("t", right)) == ["q0", "a0", "q1", "a1", "q2", "a2", "q0", "a0"]
    assert (await store.stats()).rows["items"] == 11, "both forks begin with the same words"


async def test_equal_messages_in_one_chain_have_their_own_ids(store: Store) -> None:
    await store.save_response("t", response("resp_1"), input=[user("again")])
    await store.save_response("t", response("resp_2", previous_response_id="resp_1"), input=[user("again")])
    pages = [await store.input_items("t", name) for name in ("resp_1", "resp_2")]

    assert len({page.data[0]["id"] for page in pages if page is not None}) == 2


async def test_an_empty_turn_has_an_empty_history(store: Store) -> None:
    """Which is not the same as none."""
    await store.save_response("t", response("resp_1"), input=[])
    assert await store.resolve("t", "resp_1") == []


async def test_a_deleted_ancestor_is_gone_and_its_descendants_go_on(store: Store) -> None:
    end = await grow(store, 3)
    assert await store.delete_response("t", "resp_1")

    assert await store.response("t", "resp_1") is None
    assert await store.resolve("t", "resp_1") is None
    assert await store.input_items("t", "resp_1") is None
    assert texts(await store.resolve("t", end)) == ["q0", "a0", "q1", "a1", "q2", "a2"]


async def test_the_last_descendant_takes_the_deleted_with_it(store: Store) -> None:
    await grow(store, 40)
    for n in range(39):
        assert await store.delete_response("t", f"resp_{n}")
    assert (await store.stats()).rows["responses"] == 40
    assert await store.delete_response("t", "resp_39")

    rows = (await store.stats()).rows
    assert (rows["responses"], rows["items"], rows["response_items"]) == (0, 0, 0)


async def test_deleting_a_branch_spares_the_trunk(store: Store) -> None:
    trunk = await grow(store, 2)
    left = await grow(store, 1, "left", after=trunk)
    right = await grow(store, 1, "right", after=trunk)
    await store.delete_response("t", trunk)
    await store.delete_response("t", left)

    assert texts(await store.resolve("t", right)) == ["q0", "a0", "q1", "a1", "q0", "a0"]
    await store.delete_response("t", right)
    assert (await store.stats()).rows["responses"] == 1, "resp_0 was not deleted"


async def test_a_turn_finishes_on_a_previous_response_that_was_deleted_meanwhile(store: Store) -> None:
    """The write-ahead row holds the chain, so the history that the model saw stays the history."""
    await grow(store, 1)
    began = response("resp_x", status="in_progress", previous_response_id="resp_0")
    await store.save_response("t", began, input=[user("q")])
    await store.delete_response("t", "resp_0")

    assert await store.save_response("t", response("resp_x", assistant("a", "msg_x"), previous_response_id="resp_0"))
    assert texts(await store.resolve("t", "resp_x")) == ["q0", "a0", "q", "a"]


@pytest.mark.parametrize("status", ["queued", "in_progress"])
async def test_a_response_that_is_still_being_made_cannot_be_continued_yet(store: Store, status: str) -> None:
    """What was asked is there and what was answered is not: a history with a hole in it."""
    await grow(store, 1)
    began = response("resp_x", status=status, previous_response_id="resp_0")
    await store.save_response("t", began, input=[user("q")])

    with pytest.raises(BadRequest) as refused:
        await store.resolve("t", "resp_x")
    assert (refused.value.param, refused.value.code) == ("previous_response_id", "response_in_progress")
    await store.save_response("t", response("resp_x", assistant("a", "msg_x"), previous_response_id="resp_0"))
    assert texts(await store.resolve("t", "resp_x")) == ["q0", "a0", "q", "a"]


async def test_a_turn_of_a_conversation_is_continued_by_the_conversation(store: Store) -> None:
    """A chain holds no turn of it but the one it begins with."""
    await store.create_conversation("t", "conv_1", items=[user("before")])
    turn = response("resp_1", assistant("a", "msg_1"), conversation={"id": "conv_1"})
    await store.save_response("t", turn, input=[user("q")])
    await store.save_response("t", response("resp_2", previous_response_id="resp_1"), input=[user("more")])

    for name in ("resp_1", "resp_2"):
        with pytest.raises(BadRequest, match="conversation") as refused:
            await store.resolve("t", name)
        assert refused.value.param == "previous_response_id"


async def test_purging_takes_whole_expired_chains_and_spares_living_ones(backend: Backend, clock: Clock) -> None:
    store = backend.store(ttl=100)
    await grow(store, 250, "old")
    trunk = await grow(store, 3, "trunk")
    clock.time += 60
    branch = await grow(store, 2, "branch", after=trunk)
    clock.time += 60

    assert (await store.purge_expired()).responses == 250
    assert (await store.purge_expired()).responses == 0
    assert texts(await store.resolve("t", branch)) == ["q0", "a0", "q1", "a1", "q2", "a2", "q0", "a0", "q1", "a1"]
    assert await store.response("t", trunk) is None
    clock.time += 60
    assert (await store.purge_expired()).responses == 5
    assert {0} == {rows for table, rows in (await store.stats()).rows.items()}


async def test_purging_takes_a_deleted_fork_with_its_last_branches(backend: Backend, clock: Clock) -> None:
    """Also where it was to be kept longer than they are: nobody would look at it again."""
    fork = await grow(backend.store(ttl=None), 1, "fork")
    store = backend.store(ttl=100)
    for name in ("left", "right"):
        await grow(store, 1, name, after=fork)
    assert await store.delete_response("t", fork)
    clock.time += 101

    assert (await store.purge_expired()).responses == 3
    assert {0} == {rows for table, rows in (await store.stats()).rows.items()}
