"""Stored chat completions, on both back-ends."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.errors import InvalidValue
from adapter.store.store import Store
from tests.store.conftest import Backend, Clock


def completion(id: str, model: str = "small") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    return {"id": id, "object": "chat.completion", "created": 1_800_000_000, "model": model, "choices": [choice]}


ASKED = [
    {"role": "system", "content": "be"},
    {"role": "user", "content": "hello \0 \ud83d"},
    {"role": "user", "content": "you"},
]


async def test_what_was_saved_is_what_get_shows(store: Store) -> None:
    for _ in range(2):
        await store.save_completion("t", completion("chatcmpl-1"), ASKED, metadata={"k": "v"})

    assert completion("chatcmpl-1") | {"metadata": {"k": "v"}} == await store.completion("t", "chatcmpl-1")
    page = await store.completion_messages("t", "chatcmpl-1")
    assert page is not None
    assert [m | {"id": f"chatcmpl-1-{n}"} for n, m in enumerate(ASKED)] == page.data


async def test_unknown_and_foreign_are_alike(store: Store) -> None:
    await store.save_completion("mine", completion("chatcmpl-1"), ASKED)

    for tenant, name in (("other", "chatcmpl-1"), ("mine", "chatcmpl-2")):
        assert await store.completion(tenant, name) is None
        assert await store.completion_messages(tenant, name) is None
        assert await store.update_completion(tenant, name, {"k": "v"}) is None
        assert not await store.delete_completion(tenant, name)
    assert (await store.completions("other")).data == []
    assert await store.completion("mine", "chatcmpl-1") is not None


async def test_messages_are_paged(store: Store) -> None:
    for name in ("chatcmpl-0", "chatcmpl-1", "chatcmpl-2"):
        await store.save_completion("t", completion(name), ASKED)
    page = await store.completion_messages("t", "chatcmpl-1", limit=1, after="chatcmpl-1-0")
    assert page is not None
    assert ([m["id"] for m in page.data], page.has_more) == (["chatcmpl-1-1"], True)
    page = await store.completion_messages("t", "chatcmpl-1", order="desc", after="chatcmpl-1-1")
    assert page is not None
    assert ([m["id"] for m in page.data], page.has_more) == (["chatcmpl-1-0"], False)
    with pytest.raises(InvalidValue):
        await store.completion_messages("t", "chatcmpl-1", after="chatcmpl-1-3")


async def test_the_list_is_filtered_and_paged(store: Store, clock: Clock) -> None:
    """In the order of storing, also when the clock steps back."""
    for n in range(6):
        clock.time -= 10
        labels = {"even": str(n % 2 == 0), "odd\0key": "\ud83d"}
        await store.save_completion("t", completion(f"c{n}", f"m{n % 3}"), [], metadata=labels)

    async def ids(**how: Any) -> list[str]:
        return [found["id"] for found in (await store.completions("t", **how)).data]

    assert await ids() == ["c0", "c1", "c2", "c3", "c4", "c5"]
    assert await ids(order="desc", limit=2) == ["c5", "c4"]
    assert await ids(order="desc", limit=3, after="c4") == ["c3", "c2", "c1"]
    assert await ids(model="m1") == ["c1", "c4"]
    assert await ids(metadata={"even": "True", "odd\0key": "\ud83d"}) == ["c0", "c2", "c4"]
    assert await ids(metadata={"even": "True"}, model="m1", after="c0") == ["c4"]
    assert await ids(metadata={"even": "True", "other": "x"}) == []
    assert (await store.completions("t", limit=5)).has_more
    assert not (await store.completions("t", limit=6)).has_more
    with pytest.raises(InvalidValue):
        await ids(after="c9")


async def test_metadata_is_replaced(store: Store) -> None:
    await store.save_completion("t", completion("c1"), [], metadata={"a": "1"})
    changed = await store.update_completion("t", "c1", {"b": "2"})

    assert changed is not None
    assert changed["metadata"] == {"b": "2"}
    assert (await store.completions("t", metadata={"a": "1"})).data == []
    assert [changed] == (await store.completions("t", metadata={"b": "2"})).data


async def test_deleting_and_expiring(backend: Backend, clock: Clock) -> None:
    store = backend.store(ttl=60)
    for n in range(3):
        await store.save_completion("t", completion(f"c{n}"), ASKED, metadata={"a": "1"})
    assert await store.delete_completion("t", "c0")
    assert not await store.delete_completion("t", "c0")
    clock.time += 60
    assert await store.completion("t", "c1") is None
    assert (await store.completions("t")).data == []
    assert (await store.purge_expired()).completions == 2
    assert {0} == set((await store.stats()).rows.values())
