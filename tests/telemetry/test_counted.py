"""Where several workers count."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapter.errors import ConfigError
from adapter.telemetry import counted
from adapter.telemetry.counted import metrics_of_workers

HOLDS = "from adapter.telemetry import counted; print(counted._made(), flush=True); input()"


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nobody else's directories are there."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(counted, "_MEMORY", str(tmp_path))
    return tmp_path


@contextmanager
def another(place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that has its directory there."""
    code = HOLDS.replace("print(", f"counted._MEMORY = {str(place)!r}; print(")
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


def test_workers_do_not_count_on_a_disk_that_may_be_full(place: Path) -> None:
    """What is written into a mapped file then ends who writes it."""
    listener, _ = metrics_of_workers("127.0.0.1", 0)
    directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    try:
        assert directory.is_dir()
        assert directory.parent == place
    finally:
        listener.close()
    assert list(place.iterdir()) == []


def test_memory_is_where_linux_has_it() -> None:
    code = "from adapter.telemetry import counted; print(counted._MEMORY)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "/dev/shm"


def test_where_there_is_no_memory_the_disk_has_to_do(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setattr(counted, "_MEMORY", str(place / "none"))
    assert counted._made().parent == place


def test_without_a_place_to_count_in_workers_are_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container whose disk is read-only may have none."""

    def nowhere(**_: object) -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(counted, "mkdtemp", nowhere)
    with pytest.raises(ConfigError, match=r"metrics\.port.*No usable temporary directory"):
        metrics_of_workers("127.0.0.1", 0)


def test_what_a_killed_server_left_goes_with_the_next_start_and_a_living_ones_stays(place: Path) -> None:
    with another(place) as (killed, left), another(place) as (_, living):
        (left / "counter_1.db").write_bytes(b"x")
        killed.kill()
        killed.wait(10)

        mine = counted._made()

        assert sorted(place.iterdir()) == sorted([living, mine])


def test_what_only_has_such_a_name_stays(place: Path) -> None:
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    file, link = place / f"{counted._NAMED}file", place / f"{counted._NAMED}link"
    file.write_bytes(b"x")
    link.symlink_to(elsewhere)

    mine = counted._made()

    assert sorted(place.iterdir()) == sorted([elsewhere, file, link, mine])
