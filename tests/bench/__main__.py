"""`python -m tests.bench`: measure everything, print the tables, write the JSON file and, with matplotlib, the plot."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
from datetime import UTC, datetime
from math import inf
from pathlib import Path

import orjson

from tests.bench import candidates, fresh, micro, plot, report, rounds, scaling, targets, witness
from tests.bench.candidates import STORE_OFF

FOLDER = Path("bench-results")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds of fewer workloads, in about two minutes")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 5, quick 3)")
    parser.add_argument("--only", help="candidates, with commas: direct,nginx,naive,adapter,litellm")
    parser.add_argument("--readme", action="store_true", help="print the README's table only")
    parser.add_argument("--plot", type=Path, help="draw to this PNG file (default: beside the result file)")
    parser.add_argument("--from", dest="source", type=Path, help="show an earlier result file instead of measuring")
    parser.add_argument("--no-inside", action="store_true", help="leave out what runs in process: clocked and counted")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the candidates are stopped on the way out

    picture: Path | None = chosen.plot
    if chosen.source is not None:
        results = orjson.loads(chosen.source.read_bytes())
    else:
        results = _measured(chosen)
        FOLDER.mkdir(exist_ok=True)
        file = FOLDER / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
        file.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
        _say(f"written: {file}")
        picture = picture or file.with_suffix(".png")
    if picture is not None:
        picture.parent.mkdir(parents=True, exist_ok=True)
        _say(f"plotted: {picture}" if plot.draw(results, picture) else "no plot: matplotlib is not installed")
    if chosen.readme:
        print(report.readme(results, "make bench"))
    else:
        print(report.full(results))
        print("\nTargets of the adapter: median; bold where it misses one\n")
        print(targets.written(results))


def _measured(chosen: argparse.Namespace) -> report.JsonResults:
    count = chosen.rounds or (3 if chosen.quick else 5)
    workloads = rounds.QUICK if chosen.quick else rounds.WORKLOADS
    wanted = frozenset(chosen.only.split(",")) if chosen.only else None
    load = rounds.Load()
    try:
        with candidates.lined_up(wanted) as field:
            anew = [s for s in field.servers if not chosen.quick or s.candidate in rounds.TRANSLATORS]
            started = fresh.run(load, anew, 1 if chosen.quick else count, field.absent, _say)
            running = [s for s in field.servers if s.candidate not in {*field.absent, STORE_OFF}]
            with candidates.started(running, field.absent) as cases:
                direct = field.direct if wanted is None or "direct" in wanted else []
                found = rounds.run(load, [*direct, *cases], workloads, count, _say, seconds=45 if chosen.quick else inf)
            workers = None if chosen.quick else scaling.run(load, field, count, _say)
    finally:
        load.close()
    results = {
        "when": datetime.now(UTC).isoformat(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        **found.as_json(),
        "fresh": started,
        "absent": field.absent,
    }
    if workers is not None:
        results["scaling"] = workers
    if not chosen.no_inside:
        _say("in process, by the clock")
        results["micro"] = micro.measured(0.1 if chosen.quick else 1.0)
        if not chosen.quick and shutil.which("valgrind"):
            _say("in process, counting instructions")
            results |= {"instructions": {count.name: count.instructions for count in witness.counted()}}
    return results


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
