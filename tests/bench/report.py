"""From samples to ratios, tables and a plot. Works on the JSON form, so that old files can be printed again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

JsonResults: TypeAlias = dict[str, Any]

YARDSTICK = "passthrough"


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
        "Peak memory in MB, and at rest before the first request; start-up in ms",
        table(
            ["", "at rest", "start-up", *names],
            (
                [
                    case,
                    f"{results['idle'].get(case, 0.0):.0f}",
                    f"{results['startup'].get(case, 0.0):.0f}",
                    *(cell(values(results, case, n, "peak"), "{:.0f}") for n in names),
                ]
                for case in proxies
            ),
        ),
    ]
    if micro := results.get("micro"):
        sections += [
            "In process: the converters alone",
            table(["", "value"], ([k, f"{v:.2f}"] for k, v in micro.items())),
        ]
    for title in ("errors", "absent"):
        sections += [f"{title}: {key}: {why}" for key, why in results.get(title, {}).items()]
    return "\n\n".join(sections)


def _first(results: JsonResults, case: str, workload: str) -> str:
    p50, p99 = (values(results, case, workload, metric) for metric in ("first_p50", "first_p99"))
    return f"{cell(p50)} / {cell(p99)}" if p50 else "–"


README_COLUMNS = {
    "plain request": ("plain c=32", "cpu"),
    "30 kB request": ("30 kB history c=32", "cpu"),
    "delta, in bursts": ("burst c=32", "cpu"),
    "delta, 5 ms apart": ("paced c=32", "cpu"),
    "peak memory, 256 streams": ("burst c=256", "peak"),
}
"""Title -> workload and metric."""
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
        title = f"{NAMES.get(candidate, candidate)}, {NAMES[client]} → {NAMES[upstream]}"
        rows.append([title, *cells, _added_first(results, case)])
    base = [cell(values(results, yardstick("→chat"), *column), "{:.0f}") for column in README_COLUMNS.values()]
    prose = (
        "Ratios to a bare pass-through on the same stack (raw ASGI, aiohttp, uvicorn with uvloop) that parses nothing: CPU time\n"
        "of the server's processes, and peak resident memory; the last column is the median time to the first event at\n"
        "concurrency 1, less the pass-through's. The rest at concurrency 32. The pass-through itself took "
        f"{base[0]} µs a request,\n{base[2]} µs a delta in bursts, {base[3]} µs a delta 5 ms apart and {base[4]} MB. "
        f"Medians of {results['rounds']} interleaved rounds, one worker,\na canned upstream on the same machine. "
        f"Made by `{command}`."
    )
    return prose + "\n\n" + table(["client → upstream", *README_COLUMNS, "first event"], rows)


def _added_first(results: JsonResults, case: str) -> str:
    own, base = (values(results, name, "burst c=1", "first_p50") for name in (case, yardstick(case)))
    added = [a - b for a, b in zip(own, base, strict=False)]
    return cell(added, "{:+.2f} ms")


def plot(results: JsonResults, file: Path) -> bool:
    """A bar chart of the CPU ratios; False where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    columns = [(title, *column) for title, column in README_COLUMNS.items() if column[1] == "cpu"]
    cases = [case for case in results["samples"] if not case.startswith(("direct", "litellm"))]
    figure = Figure(figsize=(9, 0.9 + 1.1 * len(columns)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(cases)
    for row, case in enumerate(cases):
        numbers = [ratios(results, case, workload, metric) for _, workload, metric in columns]
        places = [place + row * height for place in range(len(columns))]
        bars = axes.barh(places, [median(n) if n else 0.0 for n in numbers], height, label=case)
        axes.bar_label(bars, fmt=lambda x: f"{x:.2f}" if x else "", fontsize=7, padding=2)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(columns))], [title for title, *_ in columns])
    axes.invert_yaxis()
    axes.set_xlabel("CPU, ratio to the pass-through (less is better)")
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(file, dpi=120)
    return True
