"""From what an upstream sends to what a client is sent: one send for every upstream read.

A read that completes very many events is cut into pieces, and the loop gets its turn between them: a stream that is always
ready would starve the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from adapter.dialects.base import StreamWriter
from adapter.hub.events import Event
from adapter.hub.fold import Answer, Fold
from adapter.server.lanes import Answering, RawStreaming
from adapter.server.outlet import Outlet
from adapter.server.own import Written
from adapter.wire.sse import framed

MAX_BYTES: Final = 64 * 1024
MAX_EVENTS: Final = 256
"""One TCP window, and about a millisecond of work."""


async def stream_events(outlet: Outlet, writer: StreamWriter, answering: Answering) -> None:
    """Write the answer as the client's stream, to its end."""
    while not outlet.ended:
        choice, events = await answering.batch()
        await write_events(outlet, writer, choice, events, last=answering.ended)


async def write_events(
    outlet: Outlet, writer: StreamWriter, choice: int, events: Sequence[Event], *, last: bool = False
) -> None:
    """The frames of some events, in one send where they fit; with `last` they end the answer."""
    feed = writer.feed
    parts: list[bytes] = []
    size = 0
    for count, event in enumerate(events, 1):
        for name, data in feed(event, choice):
            part = framed(name, data)
            parts.append(part)
            size += len(part)
        if (size >= MAX_BYTES or not count % MAX_EVENTS) and count < len(events):
            outlet.events += len(parts)
            await outlet.data(b"".join(parts))
            parts, size = [], 0
            await asyncio.sleep(0)
    outlet.events += len(parts)
    if parts or last:
        await outlet.data(b"".join(parts), last=last)


async def stream_raw(outlet: Outlet, answering: RawStreaming | Written) -> None:
    """Pass bytes on, to the end of the answer."""
    while not outlet.ended:
        data = await answering.piece()
        outlet.events += data.count(b"data:")
        await outlet.data(data, last=answering.ended)


async def collected(answering: Answering) -> list[Answer]:
    """The finished answers, one for every choice.

    Raises:
        AdapterError: one of them failed.
    """
    folds = [Fold() for _ in range(answering.choices)]
    while True:
        choice, events = await answering.batch()
        feed = folds[choice].feed
        for event in events:
            feed(event)
        error = folds[choice].answer.error
        if error is not None:
            raise error
        if answering.ended:
            return [fold.answer for fold in folds]
