"""A turn that is ended from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Message

from adapter.server.http.outlet import Outlet
from adapter.server.turn import Outcome, Turn


async def _receive() -> Message:
    raise NotImplementedError


async def _send(message: Message) -> None:
    pass


async def _ends(work: Callable[[Turn], None], *, answered: bool = False) -> tuple[bool, Outcome | None]:
    """Whether a turn with which that is done is cancelled, and by whom."""
    turns: list[Turn] = []

    async def run() -> None:
        turns.append(Turn("chat", {"headers": []}, _receive, Outlet(_send)))
        if answered:
            await turns[0].outlet.whole(200, [], b"{}")
        work(turns[0])
        await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
    return task.cancelled(), turns[0].cut_by


async def test_who_cuts_a_turn_first_is_who_ended_it() -> None:
    def twice(turn: Turn) -> None:
        turn.cut(Outcome.CLIENT_GONE)
        turn.cut(Outcome.SHUT_DOWN)

    assert await _ends(twice) == (True, Outcome.CLIENT_GONE)


async def test_a_turn_whose_client_has_its_answer_is_not_cut() -> None:
    """It may still be storing it."""
    assert await _ends(lambda turn: turn.cut(Outcome.CLIENT_GONE), answered=True) == (False, None)
