"""The turns of one connection: those of a lane (`stream_id`; none is one, too) come one after the other, lanes are independent.

A turn is over for the client with its terminal event, and the next may begin while the last one still lets go of its upstream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from adapter.errors import BadRequest
from adapter.server.socket.messages import Create, SocketOutlet
from adapter.server.socket.recent import LocalThread
from adapter.server.socket.steering import Steer

_MOST: Final = 32
"""Turns of a connection that run or wait."""


@dataclass(eq=False, slots=True)
class Running:
    """A turn that has begun."""

    lane: str | None
    create: Create
    thread: LocalThread
    outlet: SocketOutlet
    steers: list[Steer] = field(default_factory=list)
    """What the user said since."""

    @property
    def over(self) -> bool:
        """For the client, and nothing comes by itself behind it."""
        return self.outlet.done and not self.steers


class Lanes:
    """Begins turns when it is their time."""

    def __init__(self, begin: Callable[[str | None, Create], Running], limit: int) -> None:
        """`limit`: bytes of all the turns that wait; one alone is never longer."""
        self._begin = begin
        self._limit = limit
        self._running: dict[str | None, Running] = {}
        """The latest turn of a lane, until it has let go of all it holds."""
        self._waiting: dict[str | None, deque[Create]] = {}

    def __iter__(self) -> Iterator[Running]:
        return iter(self._running.values())

    @property
    def idle(self) -> bool:
        """The client is told nothing more of what has begun."""
        return all(running.over for running in self)

    def take(self, lane: str | None, create: Create) -> None:
        """One more turn.

        Raises:
            BadRequest: they are too many, or those that wait too long.
        """
        if sum(not running.over for running in self) + sum(map(len, self._waiting.values())) >= _MOST:
            few = f"At most {_MOST} responses may be made or wait on a connection."
            raise BadRequest(few, code="response_in_progress")
        last = self._running.get(lane)
        if lane in self._waiting or (last is not None and not last.over):
            waiting = sum(one.size for creates in self._waiting.values() for one in creates)
            if waiting + create.size > self._limit:
                long = "The responses that wait on a connection may all together be as long as one request."
                raise BadRequest(long, code="response_in_progress")
            self._waiting.setdefault(lane, deque()).append(create)
        else:
            self._running[lane] = self._begin(lane, create)

    def put_first(self, lane: str | None, create: Create) -> None:
        """The turn that comes next in its lane, in which one is running."""
        self._waiting.setdefault(lane, deque()).appendleft(create)

    def let_go(self, running: Running) -> None:
        """It holds nothing any more."""
        lane = running.lane
        if self._running.get(lane) is not running:  # the next one did not wait for that
            return
        waiting = self._waiting.get(lane)
        if waiting is None:
            del self._running[lane]
            return
        create = waiting.popleft()
        if not waiting:
            del self._waiting[lane]
        self._running[lane] = self._begin(lane, create)

    def give_up_waiting(self) -> list[tuple[str | None, Create]]:
        """The turns that have not begun and never will."""
        left = [(lane, create) for lane, creates in self._waiting.items() for create in creates]
        self._waiting.clear()
        return left
