"""Work in a process of its own, each time from a program that has no threads."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from adapter.apart import afresh, beside
from adapter.config import load
from adapter.errors import ConfigError

_PROGRAM = """
import os, signal, sys
from adapter.apart import apart

def imports():
    import colorsys
    return colorsys.__name__

def large():
    return b"x" * 1_000_000

def refuses():
    from adapter.errors import ConfigError
    raise ConfigError("server.port: no")

def dies():
    os.kill(os.getpid(), signal.SIGKILL)

def leaves():
    sys.exit(3)

print("buffered", end=" ")
try:
    print(repr(apart({work}))[:40], "colorsys" in sys.modules)
except Exception as raised:
    print(type(raised).__name__, raised)
"""


@pytest.mark.parametrize(
    ("work", "returned"),
    [(partial(int, "7"), 7), (partial(bytes, 1_000_000), bytes(1_000_000))],
    ids=["a number", "large"],
)
def test_what_a_new_interpreter_returns(work: Callable[[], object], returned: object) -> None:
    assert afresh(work) == returned


@pytest.mark.parametrize(
    ("work", "refused"),
    [
        (partial(load, Path("nowhere.toml")), ConfigError("nowhere.toml: no such file")),
        (partial(os._exit, 3), ChildProcessError("the process for it ended with 3")),
        (partial(os.abort), ChildProcessError("the process for it ended with -6")),
        (partial(time.sleep, 60), ChildProcessError("the process for it took more than 2 s")),
    ],
    ids=["raises", "leaves", "dies", "hangs"],
)
def test_how_a_new_interpreter_may_fail(work: Callable[[], object], refused: Exception) -> None:
    with pytest.raises(type(refused)) as raised:
        afresh(work, within=2 if "sleep" in str(work) else 60)
    assert str(raised.value) == str(refused)


def test_what_is_done_beside_is_told_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses() -> None:
        raise ConfigError("no")

    assert beside(partial(int, "7")).result(10) == 7
    assert isinstance(beside(refuses).exception(10), ConfigError)

    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    assert repr(beside(refuses).exception(0)) == repr(OSError("can't start new thread"))


@pytest.mark.parametrize(
    ("work", "told"),
    [
        ("imports", "'colorsys' False"),
        ("large", repr(b"x" * 100)[:40] + " False"),
        ("refuses", "ConfigError server.port: no"),
        ("dies", "ChildProcessError the process for it ended with -9"),
        ("leaves", "ChildProcessError the process for it ended with 1"),
    ],
)
def test_what_a_child_does_and_what_its_parent_hears(work: str, told: str) -> None:
    program = _PROGRAM.replace("{work}", work)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == f"buffered {told}\n"
    assert ran.stderr == ""


_ANEW = """
import signal, sys
from functools import partial
from pathlib import Path
from adapter.apart import afresh

signal.signal(signal.SIGHUP, lambda *_: None)
print(afresh(partial(Path.read_text, Path(sys.argv[-1]))), end="")
"""


@contextmanager
def waiting(directory: Path, *program: str, session: bool = False) -> Iterator[tuple[subprocess.Popen[str], BinaryIO]]:
    """A server whose child reads its configuration from a pipe, or another program that is given it; the end that writes."""
    pipe = directory / "adapter.toml"
    os.mkfifo(pipe)
    asked = [sys.executable, *(program or ("-m", "adapter", "serve", "--config")), str(pipe)]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # these tests may be in the background of a shell
    with subprocess.Popen(asked, **pipes, start_new_session=session, preexec_fn=hears) as server:
        writer: BinaryIO | None = None
        while writer is None:
            try:
                writer = os.fdopen(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK), "wb")
            except OSError as nobody:
                assert (nobody.errno, server.poll()) == (errno.ENXIO, None)
                time.sleep(0.01)
        try:
            yield server, writer
        finally:
            writer.close()
            server.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_child_that_waits_goes_with_its_parent(number: signal.Signals, tmp_path: Path) -> None:
    with waiting(tmp_path) as (server, writer):
        server.send_signal(number)
        assert server.wait(10) != 0
        gone = select.poll()
        gone.register(writer, 0)
        assert gone.poll(10_000) == [(writer.fileno(), select.POLLERR)]
        assert "Traceback" not in server.communicate()[1]


def test_a_new_interpreter_goes_with_its_parent(tmp_path: Path) -> None:
    with waiting(tmp_path, "-c", _ANEW) as (parent, _):
        parent.kill()
        assert parent.communicate(timeout=10) == ("", "")  # which waits for whoever could write to them


def test_a_new_interpreter_does_not_hear_what_the_group_is_told(tmp_path: Path) -> None:
    """A terminal's hang-up, or `kill -HUP` with the number of a group."""
    with waiting(tmp_path, "-c", _ANEW, session=True) as (parent, writer):
        os.killpg(parent.pid, signal.SIGHUP)
        writer.write(b"all of it")
        writer.close()
        assert parent.communicate(timeout=10) == ("all of it", "")


def test_a_child_that_is_killed_ends_its_parent_with_one_line(tmp_path: Path) -> None:
    with waiting(tmp_path) as (server, _):
        child = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
        os.kill(int(child), signal.SIGKILL)
        assert server.communicate(timeout=10) == (
            "",
            "adapter: the configuration was not read: the process for it ended with -9\n",
        )
        assert server.returncode == 1
