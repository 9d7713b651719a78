"""Work in a process of its own, each time from a program that has no threads."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
    ("work", "told"),
    [
        ("imports", "'colorsys' False"),
        ("large", repr(b"x" * 100)[:40] + " False"),
        ("refuses", "ConfigError server.port: no"),
        ("dies", "RuntimeError the process for it ended with -9"),
        ("leaves", "RuntimeError the process for it ended with 1"),
    ],
)
def test_what_a_child_does_and_what_its_parent_hears(work: str, told: str) -> None:
    program = _PROGRAM.replace("{work}", work)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == f"buffered {told}\n"
    assert ran.stderr == ""
