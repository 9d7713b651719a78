"""Two tenants that use the same ids at the same time live as if each were alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from adapter.store.store import Store
from adapter.store.values import LoggedEvent
from tests.store.samples import assistant, response, user


async def _found(store: Store, tenant: str, ids: list[str]) -> list[Any]:
    """Items that were stored at once come in any order."""
    return sorted((await store.find_items(tenant, ids)).items())


async def life(store: Store, tenant: str) -> AsyncIterator[Any]:
    """All that one can do, step by step: what each step returned."""
    given = [user(f"{tenant} asks", id="msg_1"), user("the same words", id="msg_2")]
    yield await store.save_response(tenant, response("resp_1", status="in_progress"), input=given)
    ended = response("resp_1", assistant(f"{tenant} hears", "msg_3"), status="failed", of=tenant)
    for _ in range(2):
        yield await store.save_response(tenant, ended)
        yield await store.response(tenant, "resp_1")
    yield await store.input_items(tenant, "resp_1")
    yield await store.input_items(tenant, "resp_1", after="msg_2")
    child = response("resp_2", assistant("the same answer", "msg_5"), previous_response_id="resp_1")
    yield await store.save_response(tenant, child, input=[user("the same words", id="msg_4")])
    yield await store.response(tenant, "resp_2")
    yield await store.resolve(tenant, "resp_2")
    yield await store.save_origin(tenant, "resp_3", f"{tenant} keeps")
    yield await store.kept_by(tenant, "resp_3")
    yield await _found(store, tenant, ["msg_1", "msg_2", "msg_3", "msg_5"])

    for name in ("resp_4", "resp_5"):
        queued = response(name, status="queued", background=True)
        yield await store.save_response(tenant, queued, input=given, request={"who": tenant}, streamed=True)
    cancelled = await store.claim("worker", lease=30, only=(tenant, "resp_4"))
    assert cancelled is not None
    yield cancelled.request, cancelled.attempt, cancelled.last_sequence
    begun = [LoggedEvent(0, "response.created", tenant.encode()), LoggedEvent(1, "of_it", b"{}")]
    yield await store.append_events(cancelled, begun, lease=30)
    yield await store.events_after(tenant, "resp_4", 0)
    yield await store.cancel(tenant, "resp_4")
    yield await store.append_events(cancelled, [LoggedEvent(2, "late", b"{}")], lease=30)
    yield await store.events_after(tenant, "resp_4", -1)
    given_back = await store.claim("worker", lease=30, only=(tenant, "resp_5"))
    assert given_back is not None
    yield await store.append_events(given_back, begun, lease=30)
    yield await store.requeue(given_back)
    job = await store.claim("worker", lease=30, only=(tenant, "resp_5"))
    assert job is not None
    yield job.attempt, job.last_sequence
    end = response("resp_5", assistant(f"{tenant} ends", "msg_6"), background=True)
    yield await store.save_response(tenant, end, job=job, events=[LoggedEvent(2, "end", b"{}")], streamed=True)
    yield await store.response(tenant, "resp_5")
    yield await store.events_after(tenant, "resp_5", -1)

    yield await store.create_conversation(tenant, "conv_1", metadata={"of": tenant}, items=given)
    yield await store.add_conversation_items(tenant, "conv_1", [user(f"{tenant} adds", id="msg_7")])
    turn = response("resp_6", assistant(f"{tenant} goes on", "msg_8"), conversation={"id": "conv_1"})
    asked = [user("the same words", id="msg_9")]
    yield await store.save_response(tenant, turn | {"status": "in_progress", "output": []}, input=asked)
    yield await store.save_response(tenant, turn)
    yield await store.conversation_history(tenant, "conv_1")
    yield await store.conversation_items(tenant, "conv_1", limit=2, after="msg_8")
    yield await store.delete_conversation_item(tenant, "conv_1", "msg_7")
    yield await store.conversation_item(tenant, "conv_1", "msg_2")
    yield await store.update_conversation(tenant, "conv_1", {"for": tenant})
    yield await store.conversation(tenant, "conv_1")

    for name in ("chat_1", "chat_2"):
        made = {"id": name, "model": "small", "says": tenant}
        yield await store.save_completion(tenant, made, [user(f"{tenant} asks")] * 2, asked="s", metadata={"of": name})
    yield await store.completions(tenant, limit=1, after="chat_1", model="s")
    yield await store.completions(tenant, metadata={"of": "chat_2"})
    yield await store.update_completion(tenant, "chat_1", {"for": tenant})
    yield await store.completion(tenant, "chat_1")
    yield await store.completion_messages(tenant, "chat_1", limit=1)

    for name in ("resp_1", "resp_2", "resp_3", "resp_4", "resp_5", "resp_6"):
        yield await store.delete_response(tenant, name)
        yield await store.resolve(tenant, "resp_2")
        yield await _found(store, tenant, [f"msg_{number}" for number in range(1, 10)])
    yield await store.conversation_history(tenant, "conv_1")
    yield await store.delete_conversation(tenant, "conv_1")
    yield await store.conversation_history(tenant, "conv_1")
    yield await _found(store, tenant, [f"msg_{number}" for number in range(1, 10)])
    for name in ("chat_1", "chat_2"):
        yield await store.delete_completion(tenant, name)
        yield await store.completions(tenant)
        yield await store.completion_messages(tenant, "chat_2")


def seen(result: Any, tenant: str) -> str:
    """Whose it is left out."""
    return repr(result).replace(tenant, "somebody")


async def test_two_tenants_with_the_same_ids_live_as_if_each_were_alone(store: Store) -> None:
    alone = [seen(result, "carol") async for result in life(store, "carol")]
    lives = {name: life(store, name) for name in ("bob", "alice")}  # the one goes first whose rows come last
    for step, expected in enumerate(alone):
        for name, steps in lives.items():
            assert (step, name, expected) == (step, name, seen(await anext(steps), name))
    assert {table: rows for table, rows in (await store.stats()).rows.items() if rows} == {}
