"""The measurement itself: interleaved rounds of every workload over every case, and what is kept of them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from math import inf
from random import Random
from statistics import median
from typing import Any, Final

import orjson

from tests.bench import payloads
from tests.bench.candidates import Case
from tests.bench.load import Job

TRANSLATORS: Final = frozenset({"passthrough", "adapter"})


@dataclass(frozen=True, slots=True)
class Workload:
    """So many requests of one kind at one concurrency."""

    name: str
    model: str
    concurrency: int
    requests: int
    history: int = 0
    """Turns of it."""
    only: frozenset[str] = frozenset()
    """The candidates that it is for; empty: all."""

    @property
    def units(self) -> int:
        """What one request counts for: its deltas, or itself."""
        return int(self.model.split("-")[1]) if self.model.startswith("stream-") else 1

    def takes(self, case: Case) -> bool:
        """Whether this case can do it, in time that anybody has."""
        if self.only and case.candidate not in self.only:
            return False
        if case.candidate == "naive" and self.history:
            return False  # it knows text only
        return not case.slow or (self.concurrency <= 32 and not self.history)


WORKLOADS: Final = (
    Workload("plain c=1", "plain", 1, 250),
    Workload("plain c=32", "plain", 32, 600),
    Workload("plain c=256", "plain", 256, 768),
    Workload("30 kB history c=32", "plain", 32, 192, payloads.KB30),
    Workload("300 kB history c=4", "plain", 4, 32, payloads.KB300, TRANSLATORS),
    Workload("1 MB history c=4", "plain", 4, 16, payloads.MB1, TRANSLATORS),
    Workload("burst c=1", "stream-200-burst", 1, 50),
    Workload("burst c=32", "stream-200-burst", 32, 256),
    Workload("burst c=256", "stream-200-burst", 256, 768),
    Workload("long burst c=1", "stream-10000-burst", 1, 1, only=TRANSLATORS),
    Workload("paced c=1", "stream-200-paced", 1, 1),
    Workload("paced c=32", "stream-200-paced", 32, 64),
    Workload("first event c=1", "stream-5-burst", 1, 150),
)
"""Sized so that one workload takes a tenth to half a second of a candidate's CPU: less, and bursts moved by a fifth between runs."""

_QUICKLY: Final = {
    "plain c=1": 250,
    "plain c=32": 600,
    "burst c=1": 10,
    "burst c=32": 64,
    "burst c=256": 256,
    "paced c=32": 32,
    "first event c=1": 150,
}
"""Workload -> its requests where two minutes are to do for all."""
QUICK: Final = tuple(replace(one, requests=_QUICKLY[one.name]) for one in WORKLOADS if one.name in _QUICKLY)


@dataclass(slots=True)
class Sample:
    """One workload over one case in one round."""

    cpu: float
    """Microseconds of the candidate's CPU per request, or per streamed delta."""
    rate: float
    """Requests per second of wall time."""
    first_p50: float
    """Milliseconds to the first event, or to the answer."""
    first_p99: float
    peak: float
    """Peak resident MB."""


@dataclass(slots=True)
class Results:
    """All samples: case name -> workload name -> one sample a round."""

    rounds: int = 0
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    """Case and workload -> the first wrong answer; such a sample is not kept."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Load:
    """The load generator's process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.bench.load"]
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, job: Job) -> dict[str, Any]:
        """What came of one job."""
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(orjson.dumps(asdict(job)) + b"\n")
        self.popen.stdin.flush()
        answer: dict[str, Any] = orjson.loads(self.popen.stdout.readline())
        return answer

    def release(self) -> None:
        """Let go of what a job with `hold` keeps open."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(b"\n")
        self.popen.stdin.flush()

    def close(self) -> None:
        self.popen.communicate()


def run(
    load: Load,
    cases: list[Case],
    workloads: Iterable[Workload],
    rounds: int,
    say: Callable[[str], None],
    *,
    seconds: float = inf,
) -> Results:
    """Every workload over every case, `rounds` times, all of one workload next to each other in time.

    The order of the cases is drawn anew each time, the same ones in each run: where it only turned, every case kept its
    predecessor, and with one request at a time that alone moved medians by a sixth. After so many `seconds`, and two rounds,
    no new one begins.
    """
    results = Results()
    draw = Random(0)
    for case in cases:
        warm_up(load, case)
    end = time.monotonic() + seconds
    for number in range(rounds):
        begun = time.monotonic()
        if begun > end and number > 1:
            say(f"out of time after {number} rounds")
            break
        results.rounds = number + 1
        for workload in workloads:
            for case in draw.sample(cases, len(cases)):
                if workload.takes(case):
                    _measure(results, load, case, workload)
        say(f"round {number + 1} of {rounds}: {time.monotonic() - begun:.0f} s")
    return results


def warm_up(load: Load, case: Case) -> None:
    """Imports, caches, connections: nobody's first request counts."""
    for model in ("plain", "stream-20-burst"):
        load.run(job_of(case, Workload("", model, 8, 1 if case.slow else 100)))


def job_of(case: Case, workload: Workload) -> Job:
    """The load generator's part of it."""
    requests = max(1, workload.requests // 10) if case.slow else workload.requests
    return Job(
        port=case.port,
        dialect=case.client,
        model=workload.model,
        requests=requests,
        concurrency=min(workload.concurrency, requests),
        history=workload.history,
    )


def _measure(results: Results, load: Load, case: Case, workload: Workload) -> None:
    job = job_of(case, workload)
    if case.process is not None:
        case.process.reset_peak()
    before = case.process.cpu() if case.process else 0.0
    tally = load.run(job)
    after = case.process.cpu() if case.process else 0.0
    if tally["errors"]:
        key = f"{case.name}, {workload.name}"
        results.errors.setdefault(key, f"{tally['errors']} of {job.requests}: {tally['first_error']}")
        return
    first = sorted(tally["first"])
    sample = Sample(
        cpu=(after - before) * 1e6 / (job.requests * workload.units),
        rate=job.requests / tally["wall"],
        first_p50=median(first) * 1e3,
        first_p99=first[min(len(first) - 1, int(len(first) * 0.99))] * 1e3,
        peak=case.process.peak() / 1e6 if case.process else 0.0,
    )
    results.samples.setdefault(case.name, {}).setdefault(workload.name, []).append(sample)
