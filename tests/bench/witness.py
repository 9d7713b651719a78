"""The noise-free witness: how many instructions each work takes, counted by valgrind.

    python -m tests.bench.witness                      all works (`tests.bench.works`), with ratios to their yardsticks
    python -m tests.bench.witness burst 'plain chat'   those whose names hold one of the words
    python -m tests.bench.witness --json before.json   also to a file for `python -m tests.bench.compare`

It starts itself under callgrind, once for all works: the marker between two works is a call of `getppid` in the C
library, before which callgrind writes down what it counted and begins anew. Start-up, imports and the first runs, in
which Python specialises its code and caches fill, end up in counts of their own that nobody reads. The kernel's
instructions are not counted, and nothing that is counted depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from tests.bench import report

_TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Count:
    """What one work took."""

    name: str
    instructions: float
    """Per unit: per request, or per delta."""
    ratio: float | None
    """To its yardstick."""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.witness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", help="count works whose names hold one of these only")
    parser.add_argument("--json", type=Path, help="write the counts to this file")
    chosen = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: no instructions are counted")
        return 0
    counts = counted(chosen.words)
    print(report.table(["instructions per request or delta", "count", "ratio"], map(_row, counts)))
    if chosen.json is not None:
        chosen.json.write_bytes(orjson.dumps(as_json(counts), option=orjson.OPT_INDENT_2))
    return 0


def _row(count: Count) -> list[str]:
    return [count.name, f"{count.instructions:,.0f}", "" if count.ratio is None else f"{count.ratio:.3f}"]


def as_json(counts: Iterable[Count]) -> report.JsonResults:
    """The part of a result file that holds the counts."""
    return {"samples": {}, "instructions": {count.name: count.instructions for count in counts}}


def counted(words: Iterable[str] = ()) -> list[Count]:
    """Counts the works whose names hold one of the words (all, without any).

    Raises:
        RuntimeError: the counted process failed; with what it said.
    """
    with TemporaryDirectory(prefix="witness-") as folder:
        base = Path(folder)
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={base}/counts", "--dump-before=getppid"]
        command += [sys.executable, "-m", "tests.bench.witnessed", str(base / "works.json"), *words]
        run = subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdout=subprocess.DEVNULL,  # the access log goes there
            stderr=subprocess.PIPE,
            check=False,
            text=True,
        )
        if run.returncode != 0:
            raise RuntimeError(run.stderr)
        works = orjson.loads((base / "works.json").read_bytes())
        files = [base / f"counts.{2 * number + 2}" for number in range(len(works))]
        return read(works, (file.read_text() for file in files))


def read(works: list[dict[str, Any]], dumps: Iterable[str]) -> list[Count]:
    """Each work's count from what callgrind wrote about it, per unit and against its yardstick."""
    per_unit: dict[str, float] = {}
    found = []
    for work, dump in zip(works, dumps, strict=True):
        total = _TOTALS.search(dump)
        if total is None:
            raise RuntimeError(f"callgrind counted nothing for {work['name']}")
        count = per_unit[work["name"]] = int(total[1]) / (work["times"] * work["units"])
        bare = per_unit.get(work["bare"])
        found.append(Count(work["name"], count, count / bare if bare else None))
    return found


if __name__ == "__main__":
    sys.exit(main())
