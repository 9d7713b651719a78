"""The process that is killed: it stores as fast as it can, and says what was acknowledged."""

from __future__ import annotations

import asyncio
import os
from multiprocessing.connection import Connection
from typing import Any

from adapter.store.store import Store
from adapter.store.values import LoggedEvent
from tests.store.samples import assistant, response, user

WRITERS = 3
EVENTS = 4


def turn(name: str, previous: str | None, **more: Any) -> dict[str, Any]:
    """The response of that name: its content follows from it, so that whoever reads it knows what to expect."""
    output = [assistant(f"{name} says {part}", f"msg_{name}_{part}") for part in range(3)]
    return response(name, *output, previous_response_id=previous, **more)


def asked(name: str) -> list[dict[str, Any]]:
    return [user(f"{name} asks {part}") for part in range(2)]


def events(name: str) -> list[LoggedEvent]:
    return [LoggedEvent(n, "event", f"{name} {n}".encode()) for n in range(EVENTS)]


def run(url: str, prefix: str, acknowledge: Connection) -> None:
    """Chains of foreground turns, and background streams, until killed."""
    asyncio.run(_run(url, prefix, acknowledge))


async def _run(url: str, prefix: str, acknowledge: Connection) -> None:
    store = Store(url, ttl=None)
    async with asyncio.TaskGroup() as group:
        for number in range(WRITERS):
            group.create_task(_chat(store, f"{prefix}_{number}", acknowledge))
        group.create_task(_stream(store, f"{prefix}_bg", acknowledge))


async def _chat(store: Store, prefix: str, acknowledge: Connection) -> None:
    previous = None
    number = 0
    while True:
        name = f"{prefix}_{number}"
        whole = turn(name, previous)
        if number % 2:
            await store.save_response("t", {**whole, "status": "in_progress", "output": []}, input=asked(name))
            await store.save_response("t", whole)
        else:
            await store.save_response("t", whole, input=asked(name))
        os.write(acknowledge.fileno(), f"{name}\n".encode())
        previous = name
        number += 1


async def _stream(store: Store, prefix: str, acknowledge: Connection) -> None:
    number = 0
    while True:
        name = f"{prefix}_{number}"
        whole = turn(name, None, background=True)
        queued = {**whole, "status": "queued", "output": []}
        await store.save_response("t", queued, input=asked(name), request={"model": "small"}, streamed=True)
        job = await store.claim("worker", lease=3600, only=("t", name))
        assert job is not None
        log = events(name)
        await store.append_events(job, log[:2], lease=3600)
        await store.save_response("t", whole, job=job, events=log[2:])
        os.write(acknowledge.fileno(), f"{name}\n".encode())
        number += 1
