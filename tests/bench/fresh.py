"""What can be measured on a process once: how long it takes to its first answer, and what it holds then.

Every round starts every program anew, two processes for each direction: what an earlier workload left behind would hide
what idle streams take, and blow up a peak.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from tests.bench import payloads
from tests.bench.candidates import SLOW, Case, Server, why_not
from tests.bench.load import Job
from tests.bench.measure import Process
from tests.bench.rounds import Load, warm_up

STREAMS: Final = 256
_SETTLES: Final = 0.3
"""Seconds until what a first answer or the opening of the streams left to do is done."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """One process from its start until its streams stand still."""

    listening: float
    """Milliseconds until a connection was taken."""
    answered: float
    """Milliseconds until the first plain answer was in."""
    answered_cpu: float
    """Milliseconds of CPU until then, the mean of two starts: one alone says it to a tenth."""
    idle: float
    """Resident MB after the first answer."""
    used: float
    """Resident MB after a few hundred requests of both kinds."""
    stream: float
    """kB that each stream adds which was opened and waits for its next delta: both connections, and all that is kept."""
    peak: float
    """Resident MB at the most, while as many streams come in bursts; in a process that had no idle ones."""


def run(
    load: Load, servers: Sequence[Server], rounds: int, absent: dict[str, str], say: Callable[[str], None]
) -> dict[str, list[dict[str, Any]]]:
    """Case name -> what was measured in each round; who does not come up is `absent`."""
    found: dict[str, list[dict[str, Any]]] = {}
    for server in servers:  # nobody's first start counts: files are read from the disk, a store is laid out
        process = server.start()
        if not process.listens:
            absent[server.candidate] = why_not(process)
        process.stop()
    for number in range(rounds):
        begun = time.monotonic()
        for server in servers:
            if server.candidate in absent or (server.candidate in SLOW and number):
                continue
            for way in server.ways:
                fresh = _measured(load, server, way)
                found.setdefault(f"{server.candidate} {'→'.join(way)}", []).append(asdict(fresh))
        say(f"fresh processes, round {number + 1} of {rounds}: {time.monotonic() - begun:.0f} s")
    return found


def _measured(load: Load, server: Server, way: tuple[str, str]) -> Fresh:
    with _started(server, way) as (case, process):
        answered, cpu = _first_answer(case, process)
        time.sleep(_SETTLES)
        idle = process.resident()  # not before: a server may listen while it still loads itself
        warm_up(load, case)
        used = process.resident()
        _streams(load, case, "stream-2-idle", hold=True)
        time.sleep(_SETTLES)
        held = process.resident()
        load.release()
    with _started(server, way) as (second, other):
        cpu += _first_answer(second, other)[1]
        warm_up(load, second)
        other.reset_peak()
        _streams(load, second, "stream-20-burst" if second.slow else "stream-200-burst")
        peak = other.peak()
    return Fresh(
        listening=process.startup * 1e3,
        answered=answered * 1e3,
        answered_cpu=cpu * 1e3 / 2,
        idle=idle / 1e6,
        used=used / 1e6,
        stream=(held - used) / 1e3 / STREAMS,
        peak=peak / 1e6,
    )


@contextmanager
def _started(server: Server, way: tuple[str, str]) -> Iterator[tuple[Case, Process]]:
    process = server.start()
    try:
        if not process.listens:
            raise RuntimeError(f"{server.candidate} came up once and then did not: {why_not(process)}")
        yield Case(server.candidate, *way, process, process.port), process
    finally:
        process.stop(0.5)  # some would wait for the streams that stand still


def _streams(load: Load, case: Case, model: str, *, hold: bool = False) -> None:
    job = Job(port=case.port, dialect=case.client, model=model, requests=STREAMS, concurrency=STREAMS, hold=hold)
    tally = load.run(job)
    if tally["errors"]:
        raise RuntimeError(f"{case.name}: {tally['errors']} of {STREAMS} streams at once: {tally['first_error']}")


def _first_answer(case: Case, process: Process) -> tuple[float, float]:
    """Seconds from the process's start to its first answer, by the clock and of CPU."""
    _ask(case)
    return time.perf_counter() - process.begun, process.cpu()


def _ask(case: Case) -> None:
    body = payloads.request(case.client, "plain", stream=False)
    connection = http.client.HTTPConnection("127.0.0.1", case.port, timeout=60)
    try:
        headers = {"authorization": "Bearer sk-bench", "content-type": "application/json"}
        connection.request("POST", payloads.PATHS[case.client], body, headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"{case.name}: the first answer is {answer.status}: {answer.read()[:200]!r}")
        answer.read()
    finally:
        connection.close()
