"""The reference of the configuration, held to what the configuration takes."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import fields, replace
from itertools import pairwise

from adapter.access.groups import Group
from adapter.access.limits import Limits
from adapter.access.sections import KeySection
from adapter.codex import Codex
from adapter.reading import held
from adapter.reference import settings
from adapter.sections import Compaction, Metrics, Sealing, Server, Settings, Store, Upstream
from adapter.upstream.profiles import GENERIC, Profile

_KEY = re.compile(r"#(\w+) = (.*?) *  # (.+)")
_NEEDED = {"name": '"n"', "base_url": '"http://h/v1"', "dialect": '"chat"', "id": '"i"', "owner": '"o"'}


def _taken_off(line: str) -> str:
    """The line without its mark; nothing where the key has no value to begin with."""
    key = _KEY.fullmatch(line)
    if key is None:
        return line.removeprefix("#") if line.startswith("#[") else ""
    name, value, takes = key.groups()
    if takes.endswith("; has to be there"):
        value = _NEEDED[name]
    return f"{name} = {value}" if value else ""


def test_saved_as_it_is_it_says_nothing() -> None:
    assert tomllib.loads(settings()) == {}


def test_with_the_marks_taken_off_it_says_the_defaults() -> None:
    found = held(tomllib.loads("\n".join(map(_taken_off, settings().splitlines()))))
    (upstream,) = found.upstreams
    assert upstream.capabilities.keys() == {field.name for field in fields(Profile)} - {"name", "reasoning_summary"}
    assert upstream.resolved_profile() == GENERIC
    plain = Upstream("n", "http://h/v1", "chat", codex=(Codex(),))
    assert replace(found, upstreams=(replace(upstream, capabilities={}),), written=frozenset()) == Settings(
        upstreams=(plain,), keys=(KeySection("i", "o"),), groups=(Group("n"),)
    )


def test_every_key_is_there_and_told() -> None:
    lines = settings().splitlines()
    named = [line.split(" = ")[0][1:] for line in lines if _KEY.fullmatch(line)]
    sections = (Server, Compaction, Sealing, Store, Upstream, Profile, Codex, KeySection, Group, Limits, Metrics)
    tables = {"capabilities", "codex", "limits", "owner_limits", "key_limits"}
    assert {field.name for section in sections for field in fields(section)} - set(named) == tables
    untold = [line for before, line in pairwise(lines) if _KEY.fullmatch(line) and before[:2] != "# "]
    assert untold == []


def test_the_command_prints_it() -> None:
    done = subprocess.run([sys.executable, "-m", "adapter", "settings"], capture_output=True, text=True, check=True)
    assert done.stdout == settings()
