"""Tasks with an owner: it waits for them as long as it may, and ends them."""

from __future__ import annotations

import asyncio

from adapter.server.tasks import Tasks


async def test_what_runs_is_waited_for_and_so_is_what_that_starts() -> None:
    tasks, done = Tasks(), []

    async def second() -> None:
        await asyncio.sleep(0)
        done.append("second")

    async def first() -> None:
        await asyncio.sleep(0)
        tasks.start(second())
        done.append("first")

    tasks.start(first())
    await tasks.finish()
    assert done == ["first", "second"]


async def test_what_has_no_end_is_waited_for_as_long_as_was_said() -> None:
    tasks = Tasks()
    endless = tasks.start(asyncio.Event().wait())
    await tasks.finish(within=0)
    assert not endless.done()
    await tasks.close()
    assert endless.cancelled()


async def test_what_is_ended_has_ended() -> None:
    tasks, ended = Tasks(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(1)

    for _ in range(2):
        tasks.start(work())
    await asyncio.sleep(0)
    await tasks.close()
    assert ended == [1, 1]
