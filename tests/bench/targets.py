"""What the adapter is meant to cost at most, and what a result file says it does: ratios to the pass-through, mostly."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.bench.candidates import STORE_OFF
from tests.bench.payloads import CHAT, KB30, KB300, MB1, RESPONSES, request
from tests.bench.report import JsonResults, added, fresh, ratios, table, values

Measured = Callable[[JsonResults, str], list[float]]
"""The numbers of one case; none where it was not measured."""
WAYS: Final = (f"{CHAT}→{CHAT}", f"{RESPONSES}→{RESPONSES}", f"{RESPONSES}→{CHAT}", f"{CHAT}→{RESPONSES}")


@dataclass(frozen=True, slots=True)
class Target:
    """One number and its limit."""

    title: str
    most: float
    """In every direction."""
    measured: Measured
    form: str = "{:.2f}×"
    raw: float | None = None
    """Where client and upstream speak the same dialect, if that is another limit."""
    candidate: str = "adapter"

    def limit(self, way: str) -> float:
        """What this direction may take."""
        client, _, upstream = way.partition("→")
        return self.raw if self.raw is not None and client == upstream else self.most

    def found(self, results: JsonResults, way: str) -> float | None:
        """The median; None where it was not measured."""
        numbers = self.measured(results, f"{self.candidate} {way}")
        return median(numbers) if numbers else None


def _ratio(workload: str) -> Measured:
    return lambda results, case: ratios(results, case, workload, "cpu")


def _fresh(metric: str) -> Measured:
    return lambda results, case: fresh(results, case, metric, against=operator.truediv)


def _growth(results: JsonResults, case: str) -> list[float]:
    long, short = (values(results, case, workload, "cpu") for workload in ("long burst c=1", "burst c=1"))
    return [a / b for a, b in zip(long, short, strict=False)]


HISTORIES: Final = {"30 kB history c=32": KB30, "300 kB history c=4": KB300, "1 MB history c=4": MB1}
"""Workload -> the turns of its history."""


def linear(results: JsonResults, case: str) -> list[float]:
    """What a kB costs between 300 kB and 1 MB, to what it costs between 30 and 300 kB."""
    dialect = case.split()[1].partition("→")[0]
    costs = zip(*(values(results, case, name, "cpu") for name in HISTORIES), strict=False)
    small, middle, large = (len(request(dialect, "plain", stream=False, history=n)) for n in HISTORIES.values())
    return [((c - b) / (large - middle)) / ((b - a) / (middle - small)) for a, b, c in costs]


def _converter(size: str) -> Measured:
    def measured(results: JsonResults, case: str) -> list[float]:
        way, clocked = case.split()[1], results.get("micro", {})
        own, bare = clocked.get(f"request {size} {way}"), clocked.get(f"reparse {size} request {way.partition('→')[0]}")
        return [own / bare] if own and bare else []

    return measured


TARGETS: Final = (
    Target("plain request, c=1", 1.3, _ratio("plain c=1")),
    Target("plain request, c=32", 1.3, _ratio("plain c=32")),
    Target("plain request, c=256", 1.3, _ratio("plain c=256")),
    Target("delta in bursts, c=1", 1.5, _ratio("burst c=1"), raw=1.15),
    Target("delta in bursts, c=32", 1.5, _ratio("burst c=32"), raw=1.15),
    Target("delta in bursts, c=256", 1.5, _ratio("burst c=256"), raw=1.15),
    Target("delta 5 ms apart, c=1", 1.15, _ratio("paced c=1")),
    Target("delta 5 ms apart, c=32", 1.15, _ratio("paced c=32")),
    Target("peak memory, 256 streams", 1.3, _fresh("peak")),
    Target("the same with the store off", 1.3, _fresh("peak"), candidate=STORE_OFF),
    # by CPU: on a machine with other things to do the wall clock says more about those
    Target("CPU to the first answer", 1.5, _fresh("answered_cpu")),
    Target("the same with the store off", 1.5, _fresh("answered_cpu"), candidate=STORE_OFF),
    Target("first event later by", 0.3, lambda r, case: added(r, case, "first event c=1", "first_p50"), "{:.2f} ms"),
    Target(
        "at rest, store off, more by",
        30,
        lambda r, case: fresh(r, case, "idle", against=operator.sub),
        "{:.0f} MB",
        candidate=STORE_OFF,
    ),
    Target("memory of an idle stream", 40, lambda r, case: fresh(r, case, "stream"), "{:.0f} kB"),
    Target("30 kB request, to loads + dumps", 1.9, _converter("30 kB")),
    Target("1 MB request, to loads + dumps", 1.9, _converter("1 MB")),
    Target("a delta of 10 000 to one of 200", 1.05, _growth),
    Target("a kB of 1 MB to one of 300 kB", 1.05, linear),
)


def written(results: JsonResults) -> str:
    """The table: one row a target, one column a direction; what misses its limit is bold."""
    return table(["", "at most", *WAYS], _rows(results))


def _rows(results: JsonResults) -> Iterator[list[str]]:
    for target in TARGETS:
        limits = sorted({target.limit(way) for way in WAYS})
        cells = [_cell(target, target.found(results, way), target.limit(way)) for way in WAYS]
        if any(cell != "–" for cell in cells):
            yield [target.title, " / ".join(target.form.format(limit) for limit in limits), *cells]


def _cell(target: Target, found: float | None, limit: float) -> str:
    if found is None:
        return "–"
    text = target.form.format(found)
    return text if found <= limit else f"**{text}**"
