"""Log lines: those of requests wait a moment for each other, nothing else waits, and nothing fails for want of one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from adapter.telemetry.log import Log
from tests.server.harness import play


class Pipe:
    """Standard output; `broken` when nobody reads it any more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writes: list[list[str]] = []
        """What each write said: the events of its lines."""
        self.broken = False
        self.fileno = sys.stdout.fileno
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=self))

    def write(self, data: bytes) -> None:
        if self.broken:
            raise BrokenPipeError
        self.writes.append([json.loads(line)["event"] for line in data.splitlines()])

    def flush(self) -> None:
        pass


def test_the_lines_of_requests_are_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe(monkeypatch)

    async def scenario() -> None:
        log = Log()
        for _ in range(3):
            log.access({})
        assert pipe.writes == []
        while not pipe.writes:
            await asyncio.sleep(0.01)
        log.access({})
        log.flush()

    play(scenario)
    assert pipe.writes == [["request"] * 3, ["request"]]


def test_many_lines_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe(monkeypatch)

    async def scenario() -> None:
        log = Log()
        for _ in range(64):
            log.access({})

    play(scenario)
    assert [event for events in pipe.writes for event in events] == ["request"] * 64


def test_whatever_is_no_request_is_written_at_once_behind_what_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe(monkeypatch)

    async def scenario() -> None:
        log = Log()
        log.access({})
        log.warning("store_unavailable", reason="locked")
        assert pipe.writes == [["request", "store_unavailable"]]

    play(scenario)


def test_e19_nothing_fails_for_want_of_a_log_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe whose reader is gone, a full disk."""
    pipe = Pipe(monkeypatch)
    pipe.broken = True

    async def scenario() -> None:
        log = Log()
        log.access({})
        log.error("defect")
        pipe.broken = False
        log.info("ready")

    play(scenario)
    assert pipe.writes == [["ready"]]


def test_a_reader_that_does_not_read_holds_nobody_up_and_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb", buffering=0) as reader, os.fdopen(write, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        log, speaking = Log(), Event()
        speaker = Thread(target=lambda: [log.info("ready", number=number) for number in range(3000)] and speaking.set())
        speaker.start()
        said_all = speaking.wait(10)
        said = reader.read(1 << 20)
        if not said_all:
            reader.close()  # which lets go of it
        speaker.join()
        assert said_all
        log.info("again")
        assert [json.loads(line)["number"] for line in said.splitlines()] == list(range(said.count(b"\n")))
        assert json.loads(reader.read(1 << 20))["event"] == "again"


def test_what_is_below_the_level_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe(monkeypatch)

    async def scenario() -> None:
        log = Log()
        log.minimum = 30
        log.access({})
        log.info("ready")
        log.warning("key_file_refused")
        log.error("defect")

    play(scenario)
    assert pipe.writes == [["key_file_refused"], ["defect"]]
