"""The works in this process by the clock: `python -m tests.bench.micro [pytest's options]`.

pytest-benchmark runs each of `tests.bench.works` for a while and prints each beside its yardstick. It times, so it is no
part of the suite, whose files are named otherwise. `tests.bench.witness` counts the same works without noise.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.bench.works import Work, opened

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

_OPEN = ExitStack()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One benchmark a work."""
    works = _OPEN.enter_context(opened())
    metafunc.parametrize("work", works, ids=[work.name for work in works])


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    _OPEN.close()


def test_work(work: Work, benchmark: BenchmarkFixture) -> None:
    benchmark.name = work.name
    benchmark.group = work.bare or ("streams" if work.name.startswith("stream") else work.name)
    benchmark.extra_info["units"] = work.units
    benchmark(work.run, 1)


def measured(seconds: float) -> dict[str, float]:
    """Work -> microseconds of CPU per unit, the least of many rounds over so many seconds; empty without pytest-benchmark.

    Raises:
        RuntimeError: a work failed; with what pytest said.
    """
    if find_spec("pytest_benchmark") is None:
        return {}
    with TemporaryDirectory(prefix="micro-") as folder:
        file = Path(folder) / "micro.json"
        done = subprocess.run(
            [*_command(), "--quiet", f"--benchmark-max-time={seconds}", f"--benchmark-json={file}"],
            capture_output=True,
            check=False,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)
        return read(orjson.loads(file.read_bytes()))


def read(found: dict[str, Any]) -> dict[str, float]:
    """What pytest-benchmark wrote, by the name of the work."""
    return {entry["name"]: entry["stats"]["min"] * 1e6 / entry["extra_info"]["units"] for entry in found["benchmarks"]}


def _command() -> list[str]:
    timer = "--benchmark-timer=time.process_time"
    return [sys.executable, "-m", "pytest", __file__, timer, "--benchmark-columns=min,median,iqr,rounds"]


if __name__ == "__main__":
    if find_spec("pytest_benchmark") is None:
        sys.exit("pytest-benchmark is not installed: it is in the extra `bench`")
    sys.exit(subprocess.run([*_command(), "--benchmark-sort=name", *sys.argv[1:]], check=False).returncode)
