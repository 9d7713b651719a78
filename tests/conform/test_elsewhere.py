"""The kit in another project's pytest: nothing of this repository but the package, under its documented names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import adapter
from adapter.demo.app import app as demo
from tests.conform.live import served

PROJECT = '''
"""Tests of a server and of a translator that know only what the kit's docstrings say."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter import translate
from adapter.conform import laws, peers, strategies
from adapter.conform.acting import use
from adapter.conform.live.asking import Asker
from adapter.conform.live.running import run
from adapter.conform.report import Known, Report
from adapter.conform.speaking import chat_stream, responses_stream
from adapter.conform.strict_chat import problems
from adapter.hub.grammar import check_chat, check_responses

URL = os.environ["SERVER"]


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_our_server_keeps_the_laws(dialect):
    with Asker(URL, {"authorization": "Bearer sk-nothing-to-hide"}, timeout=30) as asker:
        report = run(asker.ask, dialect, f"demo-{dialect}", examples=5, seed=1, known=[Known("says-why", "a typo")])
    assert report.ok, report.text()


@settings(max_examples=20, deadline=None)
@given(strategies.spoken(), st.data())
def test_our_translator_keeps_the_laws(spoken, data):
    report = Report()
    for source, raw in (("chat", chat_stream(spoken)), ("responses", responses_stream(spoken))):
        parts = data.draw(strategies.splits(raw))
        for target in ("chat", "responses"):
            report.add("cuts", source, laws.any_cut_gives_the_same(translate, parts, source, target))
            report.add("grammar", source, laws.output_is_grammatical(translate, raw, source, target))
    assert report.ok, report.text()


@settings(max_examples=20, deadline=None)
@given(strategies.responses_requests())
def test_our_requests_please_a_strict_server(body):
    assert problems(translate.request(body, "responses", "chat").value) == []


def test_a_stream_of_ours_is_judged_by_its_bytes():
    assert [found.code for found in check_chat(b'data: {"choices": []}\\n\\n', include_usage=False, n=1)] == [
        "malformed", "no_choices", "done.missing"
    ]
    assert check_responses(b"")[0].code == "empty"


def test_our_client_meets_a_scripted_peer():
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    assert use({"messages": [], "tools": [tool]}, "f", {}, id="1")["arguments"] == "{}"
    assert peers.ChatPeer([peers.fails(429, "slow down", retry_after=2), peers.says(peers.message(text="hello"))]).app
'''


def test_another_projects_tests_use_the_kit(tmp_path: Path) -> None:
    (tmp_path / "test_ours.py").write_text(PROJECT)
    root = Path(adapter.__file__).parents[1]
    with served(demo) as url:
        run = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "-p",
                "no:asyncio",
                "-W",
                "error",
                "test_ours.py",
            ],
            cwd=tmp_path,
            env={**os.environ, "SERVER": url, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
        )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"\b6 passed", run.stdout)
