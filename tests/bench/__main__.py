"""`python -m tests.bench`: run everything, print the tables, write the JSON file and, with matplotlib, a plot."""

from __future__ import annotations

import argparse
import platform
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import orjson

from tests.bench import candidates, micro, report, rounds

FOLDER = Path("bench-results")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds of fewer workloads, under two minutes")
    parser.add_argument("--rounds", type=int, help="rounds (default 5, quick 3)")
    parser.add_argument("--only", help="candidates, with commas: direct,nginx,naive,adapter,litellm")
    parser.add_argument("--readme", action="store_true", help="print the README's table only")
    parser.add_argument("--from", dest="source", type=Path, help="print an earlier result file instead of measuring")
    parser.add_argument("--no-micro", action="store_true", help="leave out the converters in process")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the candidates are stopped on the way out

    if chosen.source is not None:
        results = orjson.loads(chosen.source.read_bytes())
    else:
        results = _measured(chosen)
        FOLDER.mkdir(exist_ok=True)
        file = FOLDER / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
        file.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
        _say(f"written: {file}")
        if report.plot(results, file.with_suffix(".png")):
            _say(f"plotted: {file.with_suffix('.png')}")
    print(report.readme(results, "make bench") if chosen.readme else report.full(results))


def _measured(chosen: argparse.Namespace) -> report.JsonResults:
    count = chosen.rounds or (3 if chosen.quick else 5)
    workloads = [w for w in rounds.WORKLOADS if not chosen.quick or w.name in rounds.QUICK]
    wanted = frozenset(chosen.only.split(",")) if chosen.only else None
    deadline = time.monotonic() + (90 if chosen.quick else 310)
    with candidates.started(wanted) as (cases, absent):
        _say(f"measuring {', '.join(case.name for case in cases)}")
        results = rounds.run(cases, workloads, count, deadline=deadline, say=_say)
    found = results.as_json()
    done = max((len(s) for case in found["samples"].values() for s in case.values()), default=0)
    facts = {"when": datetime.now(UTC).isoformat(), "python": platform.python_version(), "rounds": done}
    found = {**facts, **found, "absent": absent}
    if not chosen.no_micro:
        found["micro"] = micro.run(quick=chosen.quick)
    return found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
