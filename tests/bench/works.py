"""What is measured in this process, in one place: the micro-benchmarks, pytest-benchmark and the witness all run these.

A work belongs to a room of the adapter (`request`, `reply`, `stream`: the converters and machines alone) or is a whole
request through it (`plain`, `history`, `burst`). Most have a yardstick, another work over the same bytes: for converters
`orjson.loads` and `dumps`, for whole requests the pass-through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, get_args

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from adapter import app, translate
from adapter.config import load
from adapter.dialects.registry import DIALECTS
from adapter.hub.request import DialectName, Exchange
from adapter.sections import Store, Upstream
from adapter.server.http.joining import JoiningProtocol
from adapter.wire import jsonio
from tests.bench import inside, payloads
from tests.bench.load import Job
from tests.bench.passthrough import PassThrough
from tests.bench.upstream import plain_answer, writes

DELTAS: Final = 200
LONG: Final = 10_000
PER_READ: Final = 5
"""Deltas in one read, as in the burst workload."""
BOTH: Final[tuple[DialectName, ...]] = get_args(DialectName)
HISTORIES: Final = {"small": 0, "30 kB": payloads.KB30, "1 MB": payloads.MB1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One thing that can be done any number of times."""

    name: str
    run: Callable[[int], None]
    """Does it so many times."""
    units: int = 1
    """Deltas of a stream; what is measured is divided by it."""
    bare: str | None = None
    """The name of its yardstick."""
    times: int = 20
    """How often it is done where every instruction counts: warm by then, and over in seconds under valgrind."""


@contextmanager
def opened(*wanted: str) -> Iterator[list[Work]]:
    """The works whose names hold any of the words (all, without any), each after its yardstick; usable inside the block."""
    with asyncio.Runner(loop_factory=inside.Loop) as runner:
        stack = AsyncExitStack()
        try:
            everything = [*_converters(), *_streams(), *runner.run(_requests(stack))]
            yield _chosen(everything, wanted)
        finally:
            runner.run(stack.aclose())


def _chosen(works: list[Work], wanted: tuple[str, ...]) -> list[Work]:
    names = {work.name for work in works if not wanted or any(word in work.name for word in wanted)}
    bare = {work.bare for work in works if work.name in names}
    return [work for work in works if work.name in names | bare]


# ---------------------------------------------------------------------------------------------- converters and machines


def _converters() -> Iterator[Work]:
    for size, turns in HISTORIES.items():
        times = 2 if size == "1 MB" else 20
        for source, target in ((BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])):
            body = payloads.request(source, "gpt-5.5", stream=True, history=turns)
            bare = f"reparse {size} request {source}"
            yield Work(name=bare, run=_repeated(partial(_reparsed, body)), times=times)
            asked = _repeated(partial(_asked, body, source, target))
            yield Work(name=f"request {size} {source}→{target}", run=asked, bare=bare, times=times)
    for source, target in ((BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])):
        body = payloads.plain(source)
        bare = f"reparse reply {source}"
        yield Work(name=bare, run=_repeated(partial(_reparsed, body)))
        yield Work(name=f"reply {source}→{target}", run=_repeated(partial(_replied, body, source, target)), bare=bare)


def _streams() -> Iterator[Work]:
    for deltas, times in ((DELTAS, 4), (LONG, 1)):
        for upstream in BOTH:
            parts = reads(upstream, deltas)
            raw = _repeated(partial(_observed, parts, upstream))
            yield Work(name=f"stream {deltas} raw {upstream}", run=raw, units=deltas, times=times)
            client = BOTH[1 - BOTH.index(upstream)]
            through = _repeated(partial(_translated, parts, upstream, client))
            yield Work(name=f"stream {deltas} {upstream}→{client}", run=through, units=deltas, times=times)


def reads(dialect: str, deltas: int) -> list[bytes]:
    """One canned stream, cut as an upstream's reads would be."""
    opening, *middle, closing = payloads.stream(dialect, deltas)
    return [opening, *(b"".join(middle[i : i + PER_READ]) for i in range(0, deltas, PER_READ)), closing]


def _repeated(once: Callable[[], object]) -> Callable[[int], None]:
    def run(times: int) -> None:
        for _ in range(times):
            once()

    return run


def _reparsed(body: bytes) -> bytes:
    return orjson.dumps(orjson.loads(body))


def _asked(body: bytes, source: DialectName, target: DialectName) -> bytes:
    return jsonio.dumps(translate.request(jsonio.loads_request(body), source, target).value)


def _replied(body: bytes, source: DialectName, target: DialectName) -> bytes:
    return jsonio.dumps(translate.reply(jsonio.loads(body), source, target).value)


def _translated(parts: list[bytes], source: DialectName, target: DialectName) -> None:
    for _ in translate.stream(parts, source, target):
        pass


def _observed(parts: list[bytes], dialect: DialectName) -> None:
    stream = DIALECTS[dialect].raw_stream(Exchange.unasked(dialect))
    for part in parts:
        stream.feed(part)


# ------------------------------------------------------------------------------------------------------- whole requests

KINDS: Final = {
    "plain": ("plain", 0),
    "history": ("plain", payloads.KB30),
    "burst": (f"stream-{DELTAS}-burst", 0),
    "paced": (f"stream-{DELTAS}-paced", 0),
}
"""Kind -> the load generator's model, and the turns of its history."""


async def _requests(stack: AsyncExitStack) -> list[Work]:
    passing = PassThrough(inside.ORIGIN)
    await stack.enter_async_context(inside.alive(passing))
    bare = inside.Client(passing, HttpToolsProtocol)
    works = []
    for upstream in BOTH:
        # the store is off: its threads keep their own time, and what keeps nothing does the same without it
        settings = load(upstreams=(Upstream("canned", f"{inside.ORIGIN}/v1", upstream),))
        adapter = app.create(replace(settings, store=Store(mode="off")))
        await stack.enter_async_context(inside.alive(adapter))
        served = inside.Client(adapter, JoiningProtocol, server_header=False, proxy_headers=False)
        for kind in KINDS:
            yardstick = _request(f"{kind} pass-through {upstream}", bare, kind, upstream, upstream)
            works.append(yardstick)
            for client in BOTH:
                work = _request(f"{kind} {client}→{upstream}", served, kind, client, upstream)
                works.append(replace(work, bare=yardstick.name))
    return works


def _request(name: str, through: inside.Client, kind: str, client: str, upstream: str) -> Work:
    model, history = KINDS[kind]
    job = Job(port=0, dialect=client, model=model, requests=1, concurrency=1, history=history)
    if kind in ("burst", "paced"):
        parts = writes(upstream, DELTAS, kind)
        return Work(name=name, run=inside.Asked(through, job, parts), units=DELTAS, times=4)
    return Work(name=name, run=inside.Asked(through, job, (plain_answer(upstream),)))
