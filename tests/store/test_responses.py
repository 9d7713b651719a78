"""Stored responses, on both back-ends."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.errors import InvalidValue, PreviousResponseNotFound
from adapter.store.store import Store
from adapter.store.values import Order
from tests.store.conftest import Backend, Clock
from tests.store.samples import assistant, response, texts, user


async def test_what_was_saved_is_what_get_shows(store: Store) -> None:
    """The object comes back equal: order of keys, unknown keys, lone surrogates and all."""
    reply = assistant("hi \ud83d", "msg_1")
    saved = response("resp_1", reply, {"id": "x_1", "type": "of_next_year", "deep": [{"a": None}]}, vendor={"x": 1.5})

    assert await store.save_response("t", saved, input=[user("hello")], upstream="main")
    found = await store.response("t", "resp_1")

    assert found is not None
    assert saved == found.object
    assert list(saved) == list(found.object or ())
    assert (found.status, found.upstream, found.background, found.streamed) == ("completed", "main", False, False)


async def test_another_tenants_id_is_an_unknown_id(store: Store) -> None:
    """Every method answers alike for a foreign id and for one that never was."""
    await store.save_response("mine", response("resp_1", assistant("a", "msg_1")), input=[user("q")])

    for tenant, unknown in (("other", "resp_1"), ("mine", "resp_2"), ("mine", "resp\0")):
        assert await store.response(tenant, unknown) is None
        assert await store.resolve(tenant, unknown) is None
        assert await store.input_items(tenant, unknown) is None
        assert await store.events_after(tenant, unknown, -1) is None
        assert await store.kept_by(tenant, unknown) is None
        assert await store.cancel(tenant, unknown) is None
        assert not await store.delete_response(tenant, unknown)
        with pytest.raises(PreviousResponseNotFound) as refused:
            await store.save_response(tenant, response("resp_9", previous_response_id=unknown), input=[])
        assert refused.value.param == "previous_response_id"
    assert await store.find_items("other", ["msg_1"]) == {}
    assert await store.response("mine", "resp_1") is not None


async def test_two_tenants_may_use_the_same_ids(store: Store) -> None:
    for tenant in ("a", "b"):
        await store.save_response(tenant, response("resp_1", assistant(tenant, "msg_1")), input=[user(tenant)])
    await store.delete_response("a", "resp_1")

    assert texts(await store.resolve("b", "resp_1")) == ["b", "b"]
    assert list(await store.find_items("b", ["msg_1"])) == ["msg_1"]
    assert await store.find_items("a", ["msg_1"]) == {}


@pytest.mark.parametrize("id", ["../etc", "a/b", "", "x" * 1001, "nul\0", "\ud83d", "resp_1\n"])
async def test_an_id_that_cannot_be_costs_no_query(store: Store, queries: list[str], id: str) -> None:
    await store.open()
    queries.clear()

    assert await store.response("t", id) is None
    assert await store.resolve("t", id) is None
    assert await store.find_items("t", [id]) == {}
    assert await store.kept_by("t", id) is None
    assert await store.input_items("t", id) is None
    assert await store.events_after("t", id, -1) is None
    assert await store.cancel("t", id) is None
    assert not await store.delete_response("t", id)
    assert await store.conversation("t", id) is None
    assert await store.conversation_history("t", id) is None
    assert await store.conversation_items("t", id) is None
    assert await store.add_conversation_items("t", id, [user("x")]) is None
    assert await store.update_conversation("t", id, {}) is None
    assert not await store.delete_conversation("t", id)
    for conversation, item in ((id, "msg_1"), ("conv_1", id)):
        assert await store.conversation_item("t", conversation, item) is None
        assert await store.delete_conversation_item("t", conversation, item) is None
    assert await store.completion("t", id) is None
    assert await store.completion_messages("t", id) is None
    assert await store.update_completion("t", id, {}) is None
    assert not await store.delete_completion("t", id)
    assert queries == []


async def test_saving_twice_is_saving_once(store: Store) -> None:
    """The repetition of a save whose outcome was unknown."""
    for _ in range(2):
        assert await store.save_response("t", response("resp_1", assistant("a", "msg_1")), input=[user("q"), user("q")])

    assert texts(await store.resolve("t", "resp_1")) == ["q", "q", "a"]
    assert (await store.stats()).rows["items"] - 1 == 2
    found = await store.input_items("t", "resp_1")
    assert found is not None
    assert len({item["id"] for item in found.data}) == 2


async def test_the_write_ahead_row_is_finished(store: Store) -> None:
    """Saved in progress with its input before the call, finished with its output after it."""
    await store.save_response(
        "t", response("resp_1", assistant("par", "msg_1"), status="in_progress"), input=[user("q")]
    )
    before = await store.response("t", "resp_1")
    await store.save_response("t", response("resp_1", assistant("partly", "msg_1")))
    after = await store.response("t", "resp_1")

    assert before is not None
    assert after is not None
    assert (before.status, after.status) == ("in_progress", "completed")
    assert texts(await store.resolve("t", "resp_1")) == ["q", "partly"]
    assert (await store.stats()).rows["items"] == 2, "the partial output is gone"


async def test_a_finished_response_is_not_begun_again(store: Store) -> None:
    await store.save_response("t", response("resp_1", assistant("a", "msg_1")), input=[])

    assert not await store.save_response("t", response("resp_1", status="in_progress"), input=[])
    assert not await store.save_response("t", response("resp_1", status="failed"))
    assert texts(await store.resolve("t", "resp_1")) == ["a"]


async def test_a_deleted_response_is_not_finished(store: Store) -> None:
    """DELETE while the answer is on its way: nothing of it is stored."""
    await store.save_response("t", response("resp_1", status="in_progress"), input=[user("q")])
    assert await store.delete_response("t", "resp_1")

    assert not await store.save_response("t", response("resp_1", assistant("a", "msg_1")))
    assert await store.response("t", "resp_1") is None
    assert await store.find_items("t", ["msg_1"]) == {}


async def test_deleting_removes_the_bytes(store: Store) -> None:
    await store.save_response("t", response("resp_1", assistant("a", "msg_1")), input=[user("q")])

    assert await store.delete_response("t", "resp_1")
    assert not await store.delete_response("t", "resp_1")
    rows = (await store.stats()).rows
    assert {0} == {rows[table] for table in ("responses", "items", "response_items", "events")}


async def test_input_items_are_listed_in_pages(store: Store) -> None:
    given = [user(str(n)) for n in range(5)] + [user("own", id="msg_own")]
    await store.save_response("t", response("resp_1", assistant("a", "msg_a")), input=given)

    newest = await store.input_items("t", "resp_1", limit=2)
    assert newest is not None
    assert (texts(newest.data), newest.has_more) == (["own", "4"], True)
    rest = await store.input_items("t", "resp_1", limit=4, after=newest.body()["last_id"])
    assert rest is not None
    assert (texts(rest.data), rest.has_more) == (["3", "2", "1", "0"], False)
    oldest = await store.input_items("t", "resp_1", limit=5, order="asc", after=rest.data[-1]["id"])
    assert oldest is not None
    assert texts(oldest.data) == ["1", "2", "3", "4", "own"]
    assert all(item["id"].startswith("msg_") for item in oldest.data)

    for unknown in ("msg_a", "msg\0", "é" * 2000):
        with pytest.raises(InvalidValue) as refused:
            await store.input_items("t", "resp_1", after=unknown)
        assert refused.value.param == "after"


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_the_pages_of_an_input_that_says_one_item_twice_have_an_end(store: Store, order: Order) -> None:
    """A client that goes on from a turn and sends what was said there again; nothing of it is left out, or listed again."""
    said = assistant("a", "msg_a")
    given = [user("q"), said, user("r"), said, said, user("s")]
    await store.save_response("t", response("resp_1"), input=given)

    listed: list[dict[str, Any]] = []
    after = None
    for _ in given:
        page = await store.input_items("t", "resp_1", limit=1, order=order, after=after)
        assert page is not None
        listed += page.data
        after = listed[-1]["id"]

    assert not page.has_more
    assert texts(listed if order == "asc" else listed[::-1]) == ["q", "a", "r", "a", "a", "s"]
    assert len({item["id"] for item in listed}) == len(given)
    assert await store.resolve("t", "resp_1") == given


async def test_an_empty_page_has_string_ids(store: Store) -> None:
    await store.save_response("t", response("resp_1"), input=[])
    found = await store.input_items("t", "resp_1")

    assert found is not None
    assert found.body() == {"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": False}


async def test_items_without_ids_stay_without_in_history(store: Store) -> None:
    """Ids that neither client nor upstream made never go to an upstream, yet a listed id can be referenced."""
    await store.save_response("t", response("resp_1"), input=[user("q")])
    listed = await store.input_items("t", "resp_1")

    assert listed is not None
    minted = listed.data[0]["id"]
    assert [user("q")] == await store.resolve("t", "resp_1")
    assert {minted: user("q")} == await store.find_items("t", [minted])


async def test_an_id_that_comes_again_with_other_content_changes_no_history(store: Store) -> None:
    await store.save_response("t", response("resp_1", assistant("true", "msg_1")), input=[])
    await store.save_response("t", response("resp_2"), input=[assistant("forged", "msg_1")])

    assert texts(await store.resolve("t", "resp_1")) == ["true"]
    assert texts(await store.resolve("t", "resp_2")) == ["forged"]
    assert texts(list((await store.find_items("t", ["msg_1"])).values())) == ["forged"]


async def test_references_find_many_items_at_once(store: Store, queries: list[str]) -> None:
    replies = [assistant(str(n), f"msg_{n}") for n in range(40)]
    await store.save_response("t", response("resp_1", *replies), input=[])
    queries.clear()

    found = await store.find_items("t", [*(f"msg_{n}" for n in range(40)), "msg_none", "bad id"])

    assert {reply["id"]: reply for reply in replies} == found
    assert len(queries) == 1


async def test_an_expired_response_is_gone_at_once(backend: Backend, clock: Clock) -> None:
    store = backend.store(ttl=60)
    await store.save_response("t", response("resp_1"), input=[user("q")])
    clock.time += 59
    assert await store.response("t", "resp_1") is not None
    clock.time += 1
    assert await store.response("t", "resp_1") is None
    assert await store.resolve("t", "resp_1") is None
    assert not await store.delete_response("t", "resp_1")


async def test_a_response_that_its_upstream_keeps(store: Store) -> None:
    await store.save_origin("t", "resp_1", "openai")
    await store.save_origin("t", "resp_1", "openai")
    found = await store.response("t", "resp_1")

    assert await store.kept_by("t", "resp_1") == "openai"
    assert found is not None
    assert (found.object, found.upstream) == (None, "openai")
    assert await store.resolve("t", "resp_1") is None
    assert await store.delete_response("t", "resp_1")
    assert await store.kept_by("t", "resp_1") is None


async def test_too_deep_for_the_serialiser_is_the_clients_fault(store: Store) -> None:
    deep: list[object] = []
    for _ in range(3000):
        deep = [deep]
    with pytest.raises(InvalidValue):
        await store.save_response("t", response("resp_1"), input=[user("q", deep=deep)])
    assert await store.response("t", "resp_1") is None
