"""The picture of a result file for the README: everybody's ratios to the pass-through, and what the adapter aims at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench.report import JsonResults
from tests.bench.targets import TARGETS, WAYS, Target

ROWS: Final = tuple(target for target in TARGETS if target.form.endswith("×") and target.candidate == "adapter")[:10]
"""What all candidates are measured by; the rest are the adapter's own."""


@dataclass(frozen=True, slots=True)
class Series:
    """One candidate, in the directions that are alike."""

    title: str
    cases: tuple[str, ...]
    color: str
    marker: str


SERIES: Final = (
    Series("adapter, translating", ("adapter chat→responses", "adapter responses→chat"), "#c2410c", "o"),
    Series("adapter, same dialect", ("adapter chat→chat", "adapter responses→responses"), "#1d4ed8", "o"),
    Series("naive translator", ("naive chat→responses", "naive responses→chat"), "#6b7280", "s"),
    Series("nginx", ("nginx chat→chat", "nginx responses→responses"), "#15803d", "D"),
    Series("LiteLLM", ("litellm chat→chat", "litellm responses→chat"), "#7e22ce", "^"),
)


@dataclass(frozen=True, slots=True)
class Point:
    """The median of all rounds of a series in one row, with the least and the greatest."""

    row: int
    median: float
    least: float
    greatest: float


def points(results: JsonResults, rows: Sequence[Target], series: Series) -> list[Point]:
    """The rows in which the series was measured."""
    found = []
    for row, target in enumerate(rows):
        numbers = [number for case in series.cases for number in target.measured(results, case)]
        if numbers:
            found.append(Point(row, median(numbers), min(numbers), max(numbers)))
    return found


def draw(results: JsonResults, file: Path) -> bool:
    """A PNG; False where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
    except ImportError:
        return False
    rows = [target for target in ROWS if any(target.found(results, way) is not None for way in WAYS)]
    shown = [(series, found) for series in SERIES if (found := points(results, rows, series))]
    figure = Figure(figsize=(9.0, 0.8 + 0.65 * len(rows)), layout="constrained", facecolor="white")
    axes = figure.subplots()
    step = 0.84 / max(len(shown), 1)
    for number, (series, found) in enumerate(shown):
        offset = (number - (len(shown) - 1) / 2) * step
        middles = [point.median for point in found]
        axes.errorbar(
            middles,
            [point.row + offset for point in found],
            xerr=[[p.median - p.least for p in found], [p.greatest - p.median for p in found]],
            fmt=series.marker,
            color=series.color,
            markersize=5,
            elinewidth=1.2,
            capsize=2,
            label=series.title,
        )
        if series.title.startswith("adapter"):
            way = series.cases[0].split()[1]
            limits = [rows[point.row].limit(way) for point in found]
            places = [point.row + offset for point in found]
            label = "target of the adapter" if number == 0 else None
            axes.plot(limits, places, "|", color="black", markersize=10, markeredgewidth=2.5, label=label)
            for point in found:
                axes.annotate(
                    f"{point.median:.2f}",
                    (point.greatest, point.row + offset),
                    xytext=(5, 0),
                    textcoords="offset points",
                    color=series.color,
                    fontsize=8,
                    va="center",
                )
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    wide = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
    ticks = [tick for tick in (wide if high > 10 else (*wide, 1.5, 3)) if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.axvline(1.0, color="#111827", linewidth=1.0, zorder=0)
    axes.set_yticks(range(len(rows)), [target.title for target in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    for row in range(0, len(rows), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#f3f4f6", zorder=-1)
    axes.grid(axis="x", color="#d1d5db", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("ratio to a bare pass-through, less is better: median, least and greatest of the rounds")
    figure.legend(loc="outside upper center", ncols=len(shown) + 1, fontsize=8, frameon=False)
    figure.savefig(file, dpi=130)
    return True
