"""From what an upstream sends to what a client is sent: one send for every upstream read.

As long as the client takes what it is sent, a read is passed on in the moment it comes, without waking the task that serves
the request: waking it cost a third of a token that comes alone. What is out of the ordinary is the task's.

A read that completes very many events is cut into pieces, and the loop gets its turn between them: a stream that is always
ready would starve the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from adapter.dialects.base import StreamWriter
from adapter.errors import AdapterError
from adapter.hub.events import Deltas, Event, Failed
from adapter.hub.fold import Answer, Fold
from adapter.server.calls.lanes import Answering, HubWhole, RawStreaming
from adapter.server.calls.own import Written
from adapter.server.http.outlet import Outlet

MAX_EVENTS: Final = 256
"""About a millisecond of work where each is looked at, and one TCP window."""
_NONE: Final[Sequence[Event]] = ()


async def stream_events(outlet: Outlet, writer: StreamWriter, answering: Answering) -> None:
    """Write the answer as the client's stream, to its end."""
    choice, rest = 0, _NONE

    def ending(error: AdapterError) -> bytes:
        data, (last_choice, last) = writer.write(rest, choice), answering.fail(error)
        return data + writer.write(last, last_choice)

    def at_once(events: list[Event]) -> None:
        if data := writer.write(events):
            outlet.put(data)

    outlet.ending = ending
    try:
        while not outlet.ended:
            if outlet.ready():
                await answering.pass_on(at_once, outlet.ready)
            choice, rest = await answering.batch()
            while rest:
                some, rest = (rest, _NONE) if len(rest) == 1 else _parted(rest)
                data, last = writer.write(some, choice), answering.ended and not rest
                if data or last:
                    await outlet.write(data, last=last)
                if rest:
                    await asyncio.sleep(0)
    except Exception:  # a mistake of this server: the answer is not complete without what it could not write
        outlet.ending = lambda error: writer.write([Failed(error)])
        raise
    finally:
        outlet.events = writer.written


def _parted(events: Sequence[Event]) -> tuple[Sequence[Event], Sequence[Event]]:
    """As many as may go out together, and the rest."""
    count = 0
    for at, event in enumerate(events):
        count += len(event.texts) if type(event) is Deltas else 1
        if count > MAX_EVENTS and at:
            return events[:at], events[at:]
    return events, _NONE


async def stream_raw(outlet: Outlet, answering: RawStreaming) -> None:
    """Pass an upstream's bytes on, to the end of the answer."""
    outlet.ending = answering.fail
    try:
        while not outlet.ended:
            if outlet.ready():
                await answering.pass_on(outlet.put, outlet.ready)
            data = await answering.piece()
            await outlet.write(data, last=answering.ended)
    finally:
        outlet.events = answering.observer.events


async def stream_written(outlet: Outlet, written: Written) -> None:
    """Give a stream that is written elsewhere, to its end."""
    while not outlet.ended:
        data = await written.piece()
        outlet.events += data.count(b"data:")
        await outlet.write(data, last=written.ended)


async def collected(answering: Answering) -> list[Answer]:
    """The answers as they ended, one for every choice; where one of them failed, none goes on."""
    if isinstance(answering, HubWhole):  # it need not be taken apart to be put together
        return [answering.answer]
    folds = [Fold() for _ in range(answering.choices)]
    while True:
        choice, events = await answering.batch()
        feed = folds[choice].feed
        for event in events:
            feed(event)
        if answering.ended or folds[choice].answer.error is not None:
            return [fold.answer for fold in folds]
