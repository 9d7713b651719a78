"""What `tests.bench.witness` starts under callgrind: every work once to warm up, then between two markers."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import orjson

from tests.bench import works


def main(file: str, *words: str) -> None:
    """Do the works and write down, in their order, what the counts stand for."""
    told = []
    with works.opened(*words) as chosen:
        for work in chosen:
            work.run(3 * work.times)
            gc.collect()
            gc.disable()
            os.getppid()
            work.run(work.times)
            os.getppid()
            gc.enable()
            told.append({"name": work.name, "times": work.times, "units": work.units, "bare": work.bare})
    Path(file).write_bytes(orjson.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
