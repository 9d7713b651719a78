"""Compares two result files and says what moved beyond noise: `python -m tests.bench.compare before.json after.json`.

What is compared are the ratios to the pass-through, never absolute times: the two runs may come from different hours.
A change counts where the medians differ by more than 3 % and by more than the noise: the greater of the two
interquartile ranges of the rounds (with few rounds, their whole range). Instructions (also of two files that
`python -m tests.bench.witness --json` wrote) have no noise; there two percent count.
"""

from __future__ import annotations

import operator
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import orjson

from tests.bench import report
from tests.bench.report import JsonResults, ratios, table, workloads

LEAST = 0.03
"""What does not measure three percent is not worth keeping."""
LEAST_COUNTED = 0.02
"""Instructions are counted exactly, but where memory happens to lie moves a count by up to one percent between two trees."""
METRICS = {"cpu": "CPU", "peak": "peak memory", "first_p50": "time to first event"}


@dataclass(frozen=True, slots=True)
class Move:
    """One number that is not what it was."""

    case: str
    workload: str
    metric: str
    before: float
    after: float
    noise: float

    @property
    def change(self) -> float:
        return self.after / self.before - 1


def noise(numbers: list[float]) -> float:
    """How far the rounds are apart."""
    if len(numbers) < 4:
        return max(numbers) - min(numbers)
    low, _, high = quantiles(numbers, n=4)
    return high - low


def moves(before: JsonResults, after: JsonResults) -> list[Move]:
    """What moved beyond noise, the greatest change first."""
    found = []
    for case in after["samples"]:
        for workload in workloads(after):
            for metric in METRICS:
                old, new = (ratios(results, case, workload, metric) for results in (before, after))
                found += _moved(case, workload, metric, old, new)
    for case in after.get("fresh", {}):
        for metric in report.FRESH:
            old, new = (report.fresh(results, case, metric, against=operator.truediv) for results in (before, after))
            found += _moved(case, "fresh process", metric, old, new)
    for name, count in after.get("instructions", {}).items():
        if (old_count := before.get("instructions", {}).get(name)) and abs(count / old_count - 1) > LEAST_COUNTED:
            found.append(Move("in process", name, "instructions", old_count, count, 0.0))
    return sorted(found, key=lambda move: -abs(move.change))


def _moved(case: str, workload: str, metric: str, old: list[float], new: list[float]) -> list[Move]:
    if not old or not new:
        return []
    move = Move(case, workload, metric, median(old), median(new), max(noise(old), noise(new)))
    return [move] if abs(move.after - move.before) > move.noise and abs(move.change) > LEAST else []


def main(arguments: list[str]) -> None:
    """Print the moves of two files."""
    if len(arguments) != 2:
        sys.exit("usage: python -m tests.bench.compare before.json after.json")
    before, after = (orjson.loads(Path(name).read_bytes()) for name in arguments)
    found = moves(before, after)
    if not found:
        print("Nothing moved beyond noise.")
        return
    rows = (
        [move.case, move.workload, METRICS.get(move.metric, move.metric)]
        + [
            f"{number:,.0f}" if move.metric == "instructions" else f"{number:.2f}"
            for number in (move.before, move.after)
        ]
        + [f"{move.change:+.0%}", f"±{move.noise:.2f}"]
        for move in found
    )
    print(table(["case", "workload", "ratio of", "before", "after", "change", "noise"], rows))


if __name__ == "__main__":
    main(sys.argv[1:])
