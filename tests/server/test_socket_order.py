"""Whose turn it is on a WebSocket between the last event of an answer and the end of its turn, when it lets go of its upstream."""

from __future__ import annotations

from starlette.types import Message

from adapter.server.courses.keeping import KeepsNothing
from adapter.server.socket.lanes import Lanes, Running
from adapter.server.socket.messages import Create, SocketOutlet
from adapter.server.socket.recent import LocalThread, Recent
from adapter.server.socket.steering import Steer


class Connection:
    """Lanes whose turns end when the test says so."""

    def __init__(self) -> None:
        self.begun: list[Running] = []
        self.lanes = Lanes(self._begin, limit=100)

    def _begin(self, lane: str | None, create: Create) -> Running:
        thread = LocalThread(Recent(1000, KeepsNothing()), create.body)
        self.begun.append(Running(lane, create, thread, SocketOutlet(self._send)))
        return self.begun[-1]

    async def _send(self, message: Message) -> None:
        raise NotImplementedError

    def take(self, said: str) -> None:
        self.lanes.take(None, asked(said))

    @property
    def said(self) -> list[str]:
        """What the turns that have begun are about."""
        return [running.create.body["input"] for running in self.begun]


def asked(said: str) -> Create:
    return Create({"input": said}, generate=True, size=10)


def test_what_comes_when_the_last_answer_is_complete_begins_at_once_and_is_not_begun_again() -> None:
    connection = Connection()
    connection.take("A")
    first = connection.begun[0]
    assert not connection.lanes.idle

    first.outlet.ended = True
    assert connection.lanes.idle
    connection.take("B")
    connection.take("C")
    connection.lanes.let_go(first)

    assert connection.said == ["A", "B"]
    assert list(connection.lanes) == connection.begun[1:]


def test_what_comes_when_the_last_answer_is_complete_stands_behind_what_waits() -> None:
    connection = Connection()
    connection.take("A")
    connection.take("B")

    connection.begun[0].outlet.ended = True
    connection.take("C")
    assert connection.said == ["A"]
    for number in range(3):
        connection.begun[number].outlet.ended = True
        connection.lanes.let_go(connection.begun[number])

    assert connection.said == ["A", "B", "C"]
    assert list(connection.lanes) == []


def test_what_comes_when_a_steered_answer_is_complete_stands_behind_what_steered_it() -> None:
    connection = Connection()
    connection.take("A")
    first = connection.begun[0]
    first.steers.append(Steer("resp_1", "Shorter!", 10))

    first.outlet.ended = True
    assert not connection.lanes.idle
    connection.take("B")
    assert connection.said == ["A"]
    connection.lanes.put_first(None, asked("Shorter!"))
    connection.lanes.let_go(first)

    assert connection.said == ["A", "Shorter!"]
