"""CPU time and memory of a candidate, read from /proc by process id, children included."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

_TICK = os.sysconf("SC_CLK_TCK")
_SCHEDULED = 2
"""How Linux makes a clock's number of a process's: `~pid << 3`, and this for the scheduler's own count."""


class Process:
    """A candidate's server process and all that it started."""

    def __init__(self, command: list[str], port: int, *, environment: Mapping[str, str] | None = None) -> None:
        self.port = port
        self.said = TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.begun = time.perf_counter()
        """When it was started, by the same clock."""
        self.popen = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.said,
            start_new_session=True,
        )
        self.listens = self._wait(timeout=60.0)
        self.startup = time.perf_counter() - self.begun
        """Seconds from the start of the process to a taken connection."""

    def _wait(self, timeout: float) -> bool:
        end = time.perf_counter() + timeout
        while time.perf_counter() < end and self.popen.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
            except OSError:
                time.sleep(0.002)
            else:
                return True
        return False

    def pids(self) -> list[int]:
        """The process and its living descendants."""
        found = [self.popen.pid]
        for pid in found:  # grows while it is walked: children of children too
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        return found

    def cpu(self) -> float:
        """Seconds of CPU so far: of each living process, and of the children that it has waited for."""
        return sum(_cpu(pid) for pid in self.pids())

    def peak(self) -> int:
        """Peak resident bytes since the last `reset_peak`, summed over the processes."""
        return sum(_memory(pid, "VmHWM:") for pid in self.pids())

    def resident(self) -> int:
        """Resident bytes now."""
        return sum(_memory(pid, "VmRSS:") for pid in self.pids())

    def reset_peak(self) -> None:
        """Begin a new peak; where the kernel forbids it, peaks are those since the start."""
        for pid in self.pids():
            try:
                Path(f"/proc/{pid}/clear_refs").write_text("5")
            except OSError:
                return

    def stop(self, patience: float = 5.0) -> str:
        """End the process, in the end by force; what it wrote to standard error, for the one that failed."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(patience)
            except subprocess.TimeoutExpired:
                os.killpg(self.popen.pid, signal.SIGKILL)  # its own session: nobody else is in this group
        if self.said.closed:
            return ""
        with self.said:
            self.said.seek(0)
            return self.said.read().decode("utf-8", "replace")


def _cpu(pid: int) -> float:
    """The process's CPU clock, which counts nanoseconds and threads that are gone, and the ticks of waited children: only whole
    ones are told, of two kinds, so that a half is added to each."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        own = time.clock_gettime(~pid << 3 | _SCHEDULED)
    except OSError:
        return 0.0
    return own + sum((ticks + 0.5) / _TICK for ticks in map(int, fields[13:15]) if ticks)


def _memory(pid: int, field: str) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
