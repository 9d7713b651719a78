"""kill -9 at random points under load: what was acknowledged is there, and nothing is half there."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from adapter.store.schema import response_items, responses
from adapter.store.store import Store
from adapter.store.values import TERMINAL
from tests.store.load import EVENTS, asked, events, run, turn
from tests.store.postgres import Server

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["adapter.store.store", "adapter.store.migrate", "aiosqlite", "asyncpg"])


def kill_once(url: str, prefix: str, delay: float) -> list[str]:
    """Load the store from another process, kill that `delay` seconds after the first acknowledgement; all of those."""
    reader, writer = FORK.Pipe(duplex=False)
    worker = FORK.Process(target=run, args=(url, prefix, writer))
    worker.start()
    writer.close()
    pid = worker.pid
    assert pid is not None
    assert reader.poll(20), "the worker acknowledges nothing"
    time.sleep(delay)
    os.kill(pid, 9)
    worker.join()
    assert worker.exitcode == -9
    said = b""
    while piece := os.read(reader.fileno(), 1 << 16):
        said += piece
    reader.close()
    worker.close()
    return said.decode().split("\n")[:-1]


async def check(url: str, names: list[str], prefix: str) -> None:
    """Every name is stored whole, and every row of this run is whole."""
    store = Store(url, ttl=None)
    try:
        await store.open()
        for name in names:
            stored = await store.response("t", name)
            assert stored is not None, f"{name} was acknowledged and is not there"
            assert stored.object is not None
            previous = stored.object["previous_response_id"]
            assert stored.object == turn(name, previous, **({"background": True} if stored.background else {}))
            history = await store.resolve("t", name)
            assert history is not None
            assert history[-5:] == asked(name) + turn(name, None)["output"]
            if stored.streamed:
                page = await store.events_after("t", name, -1)
                assert page is not None
                assert (page.events, page.ended) == (events(name), True)
        if names:
            deep = max(names, key=lambda name: int(name.rsplit("_", 1)[1]) if "_bg_" not in name else -1)
            chain = await store.resolve("t", deep)
            assert chain is not None
            assert len(chain) == 5 * (int(deep.rsplit("_", 1)[1]) + 1)
        await nothing_half_written(store, prefix)
    finally:
        await store.close()


async def nothing_half_written(store: Store, prefix: str) -> None:
    """A finished response has all its items, an unfinished one its input only; a terminal status has its last event."""
    link = response_items
    counts = [
        select(func.count())
        .where(link.c.tenant == responses.c.tenant, link.c.response_id == responses.c.id, link.c.output == side)
        .scalar_subquery()
        for side in (0, 1)
    ]
    query = select(responses.c.id, responses.c.status, responses.c.streamed, *counts)
    query = query.where(responses.c.id.startswith(prefix + "_", autoescape=True))
    rows = await store.db.read(lambda connection: connection.execute(query).all())
    for name, status, streamed, given, made in rows:
        assert (given, made) == (2, 3 if status in TERMINAL else 0), name
        if streamed and status in TERMINAL:
            page = await store.events_after("t", name, -1)
            assert page is not None
            assert len(page.events) == EVENTS


def kill_often(url: str, times: int, seed: int) -> None:
    rng = random.Random(seed)
    acknowledged = 0
    for number in range(times):
        prefix = f"r{number}"
        names = kill_once(url, prefix, rng.uniform(0, 0.12))
        asyncio.run(check(url, names, prefix))
        acknowledged += len(names)
    assert acknowledged >= 2 * times, "hardly any load"


def test_sqlite_survives_fifty_kills(tmp_path: Path) -> None:
    kill_often(f"sqlite:///{tmp_path}/store.db", 50, seed=1)


def test_postgres_survives_twenty_kills_of_its_client(postgres: Server) -> None:
    kill_often(postgres.url(postgres.new_database()), 20, seed=2)


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.02])
def test_a_kill_while_migrating_leaves_a_store_that_opens(tmp_path: Path, delay: float) -> None:
    """The schema comes in one transaction."""
    url = f"sqlite:///{tmp_path}/store.db"
    reader, writer = FORK.Pipe(duplex=False)
    worker = FORK.Process(target=run, args=(url, "r", writer))
    worker.start()
    deadline = time.monotonic() + 20
    while not (tmp_path / "store.db").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(delay)
    worker.kill()
    worker.join()
    worker.close()
    for end in (reader, writer):
        end.close()

    asyncio.run(check(url, kill_once(url, "again", 0.02), "again"))


def test_processes_that_start_at_once_share_a_new_file(tmp_path: Path) -> None:
    """Workers of one machine: every one gets its turn, none is refused."""
    url = f"sqlite:///{tmp_path}/store.db"
    pipes = [FORK.Pipe(duplex=False) for _ in range(4)]
    workers = [FORK.Process(target=run, args=(url, f"w{n}", writer)) for n, (_, writer) in enumerate(pipes)]
    for worker in workers:
        worker.start()
    spoke = [reader.poll(20) for reader, _ in pipes]
    for worker in workers:
        worker.kill()
        worker.join()
        worker.close()
    for end in (end for pipe in pipes for end in pipe):
        end.close()
    assert spoke == [True] * 4
