"""From samples to ratios and tables. Works on the JSON form, so that old files can be printed again."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any, TypeAlias

JsonResults: TypeAlias = dict[str, Any]

YARDSTICK = "passthrough"
_FRESHLY = (
    "A fresh process: milliseconds to listening, to the first answer, of CPU until then; MB at rest after it "
    "and after some hundred; kB of each of 256 streams that wait for their next delta; MB at the most with 256 in bursts"
)
FRESH = ("listening", "answered", "answered_cpu", "idle", "used", "stream", "peak")
"""What is known of fresh processes: see `tests.bench.fresh`."""


def yardstick(case: str) -> str:
    """The pass-through over the same upstream dialect, so that both moved the same bytes in."""
    upstream = case.rpartition("→")[2]
    return f"{YARDSTICK} {upstream}→{upstream}"


def values(results: JsonResults, case: str, workload: str, metric: str) -> list[float]:
    """One metric over the rounds; empty where there is no sample."""
    return [sample[metric] for sample in results["samples"].get(case, {}).get(workload, [])]


def ratios(results: JsonResults, case: str, workload: str, metric: str) -> list[float]:
    """Round by round against the pass-through, which ran next to it."""
    own, base = (values(results, name, workload, metric) for name in (case, yardstick(case)))
    return [a / b for a, b in zip(own, base, strict=False) if b > 0]


def added(results: JsonResults, case: str, workload: str, metric: str) -> list[float]:
    """Round by round, less the pass-through's."""
    own, base = (values(results, name, workload, metric) for name in (case, yardstick(case)))
    return [a - b for a, b in zip(own, base, strict=False)]


def fresh(
    results: JsonResults, case: str, metric: str, *, against: Callable[[float, float], float] | None = None
) -> list[float]:
    """One metric of the fresh processes over the rounds, or what becomes of it `against` the pass-through's."""
    own, base = ([one[metric] for one in results.get("fresh", {}).get(name, [])] for name in (case, yardstick(case)))
    return own if against is None else [against(a, b) for a, b in zip(own, base, strict=False) if b]


def cell(numbers: list[float], form: str = "{:.2f}") -> str:
    """The median, or a dash where nothing was measured."""
    return form.format(median(numbers)) if numbers else "–"


def spread(numbers: list[float]) -> str:
    """The median with the least and the greatest of the rounds."""
    return f"{median(numbers):.2f} ({min(numbers):.2f}–{max(numbers):.2f})" if numbers else "–"


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def workloads(results: JsonResults) -> list[str]:
    """In the order they ran."""
    return list(dict.fromkeys(name for case in results["samples"].values() for name in case))


def full(results: JsonResults) -> str:
    """All that was measured."""
    names, cases = workloads(results), list(results["samples"])
    proxies = [case for case in cases if not case.startswith("direct")]
    sections = [
        "CPU per request or per streamed delta, ratio to the pass-through over the same upstream: median (least–greatest)",
        table(["", *names], ([case, *(spread(ratios(results, case, n, "cpu")) for n in names)] for case in proxies)),
        "CPU in µs per request or per streamed delta: median",
        table(
            ["", *names],
            ([case, *(cell(values(results, case, n, "cpu"), "{:.1f}") for n in names)] for case in proxies),
        ),
        "Requests (or whole streams) per second: median",
        table(
            ["", *names], ([case, *(cell(values(results, case, n, "rate"), "{:.0f}") for n in names)] for case in cases)
        ),
        "Time to the first event, or to the answer, in ms: p50 / p99",
        table(["", *names], ([case, *(_first(results, case, n) for n in names)] for case in cases)),
        "Peak memory in MB: median",
        table(
            ["", *names],
            ([case, *(cell(values(results, case, n, "peak"), "{:.0f}") for n in names)] for case in proxies),
        ),
        _FRESHLY,
        table(
            ["", *FRESH],
            (
                [case, *(cell(fresh(results, case, metric), "{:.0f}") for metric in FRESH)]
                for case in results.get("fresh", {})
            ),
        ),
        *_scaling(results.get("scaling", {"samples": {}}), results.get("cores")),
        *_inside(results),
    ]
    for title in ("errors", "absent"):
        sections += [f"{title}: {key}: {why}" for key, why in results.get(title, {}).items()]
    return "\n\n".join(sections)


def _scaling(scaling: JsonResults, cores: int | None) -> list[str]:
    if not scaling["samples"]:
        return []
    rows = [
        [
            case,
            name,
            cell(values(scaling, case, name, "rate"), "{:.0f}"),
            cell(values(scaling, case, name, "cpu"), "{:.1f}"),
        ]
        for case in scaling["samples"]
        for name in workloads(scaling)
    ]
    return [
        f"Workers: requests or streams per second; CPU in µs per request or delta. The load shares the {cores} cores with them",
        table(["", "", "per second", "CPU"], rows),
    ]


def _inside(results: JsonResults) -> list[str]:
    clocked, counted = results.get("micro", {}), results.get("instructions", {})
    if not clocked and not counted:
        return []
    rows = [
        [name, f"{clocked[name]:.2f}" if name in clocked else "–", f"{counted[name]:,.0f}" if name in counted else "–"]
        for name in dict.fromkeys([*counted, *clocked])
    ]
    return ["In this process, per unit: the least CPU in µs, and instructions", table(["", "µs", "instructions"], rows)]


def _first(results: JsonResults, case: str, workload: str) -> str:
    p50, p99 = (values(results, case, workload, metric) for metric in ("first_p50", "first_p99"))
    return f"{cell(p50)} / {cell(p99)}" if p50 else "–"


README_COLUMNS = {
    "plain request": ("plain c=32", "cpu"),
    "30 kB request": ("30 kB history c=32", "cpu"),
    "delta, in bursts": ("burst c=32", "cpu"),
    "delta, 5 ms apart": ("paced c=32", "cpu"),
}
"""Title -> workload and metric."""
MEMORY = "peak memory, 256 streams"
ORDER = ("adapter", "naive", "nginx", "litellm")
NAMES = {"chat": "Chat", "responses": "Responses", "naive": "naive translator", "litellm": "LiteLLM"}


def readme(results: JsonResults, command: str) -> str:
    """The performance section's table and the command that makes it."""
    rows = []
    for case in sorted(
        (case for case in results["samples"] if case.startswith(ORDER)), key=lambda case: ORDER.index(case.split()[0])
    ):
        candidate, _, way = case.partition(" ")
        client, _, upstream = way.partition("→")
        cells = [cell(ratios(results, case, *column), "{:.2f}×") for column in README_COLUMNS.values()]
        cells.append(cell(fresh(results, case, "peak", against=operator.truediv), "{:.2f}×"))
        title = f"{NAMES.get(candidate, candidate)}, {NAMES[client]} → {NAMES[upstream]}"
        rows.append([title, *cells, cell(added(results, case, "first event c=1", "first_p50"), "{:+.2f} ms")])
    base = [cell(values(results, yardstick("→chat"), *column), "{:.0f}") for column in README_COLUMNS.values()]
    memory = cell(fresh(results, yardstick("→chat"), "peak"), "{:.0f}")
    prose = (
        "Ratios to a bare pass-through on the same stack (raw ASGI, aiohttp, uvicorn with uvloop) that parses nothing: CPU time\n"
        "of the server's processes, and peak resident memory; the last column is the median time to the first event at\n"
        "concurrency 1, less the pass-through's. The rest at concurrency 32. The pass-through itself took "
        f"{base[0]} µs a request,\n{base[2]} µs a delta in bursts, {base[3]} µs a delta 5 ms apart and {memory} MB. "
        f"Medians of {results['rounds']} interleaved rounds, one worker,\na canned upstream on the same machine. "
        f"Made by `{command}`."
    )
    return prose + "\n\n" + table(["client → upstream", *README_COLUMNS, MEMORY, "first event"], rows)
