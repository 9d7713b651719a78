"""`adapter conform`, as a user runs it: against servers on real sockets."""

from __future__ import annotations

import asyncio
import json
import math
import re
import sys
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from click.testing import CliRunner, Result

from adapter.app import create
from adapter.cli import main
from adapter.demo.app import app as demo
from adapter.server.http.joining import JoiningProtocol
from tests.configuring import loaded
from tests.conform.live import served
from tests.server.harness import play
from tests.server.scripted import Close, Script, Stall, Upstream, head

BOTH = ("chat", "responses")
KEY = 'sk-CANARY/0123"456789'


def conform(url: str, *arguments: str, dialect: str = "chat", model: str = "demo-chat") -> Result:
    return CliRunner().invoke(main, ["conform", url, "--dialect", dialect, "--model", model, *arguments])


def refused(result: Result) -> str:
    """The one line of a run that could not be."""
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("adapter: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture(scope="module")
def demo_url() -> Iterator[str]:
    with served(demo) as url:
        yield url


@pytest.fixture(scope="module")
def adapter_url(demo_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """With a store, so that nothing of the kit is lacking."""
    upstreams = [
        {"name": name, "base_url": demo_url, "dialect": name, "api_key": "none", "models": [f"demo-{name}"]}
        for name in BOTH
    ]
    url = f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db"
    settings = loaded(store={"url": url}, upstreams=upstreams)
    with served(create(settings), http=JoiningProtocol) as url:
        yield url


# --------------------------------------------------------------------------------------------------------- what passes


@pytest.mark.parametrize("dialect", BOTH)
def test_the_demo_model_keeps_every_law(demo_url: str, dialect: str) -> None:
    result = conform(demo_url, "--seed", "1", dialect=dialect)
    assert result.exit_code == 0, result.output
    assert "FAIL" not in result.stdout
    assert result.stdout.splitlines()[-1] == f"{result.stdout.count('ok    ')} laws, none is broken."
    assert "ok    fits-its-schema: 2 cases" in result.stdout
    assert "--seed 1" in result.stdout


@pytest.mark.parametrize("model", ["demo-chat", "demo-responses"])
@pytest.mark.parametrize("dialect", BOTH)
def test_the_adapter_keeps_every_law_over_either_upstream(adapter_url: str, dialect: str, model: str) -> None:
    result = conform(adapter_url, "--seed", "1", "--json", dialect=dialect, model=model)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout.splitlines()[-1])  # access lines of the adapter in this process stand before it
    assert report["findings"] == []
    assert report["laws"]["any-request-is-answered-or-refused"]["cases"] > 10
    assert not any("not supported" in remark["remark"] for remark in report["remarks"])


def test_no_examples_draws_none_and_a_seed_is_chosen_where_none_is_given(demo_url: str) -> None:
    assert "any-request" not in conform(demo_url, "--examples", "0").stdout
    assert re.search("from --seed [0-9]+, ", conform(demo_url, "--examples", "1").stdout)


def test_without_hypothesis_the_fixed_questions_are_asked(demo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "adapter.conform.live.drawing", raising=False)
    monkeypatch.delattr("adapter.conform.live.drawing", raising=False)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    result = conform(demo_url)
    assert result.exit_code == 0
    assert "ok    is-refused: 9 cases" in result.stdout
    assert (
        "not asked: this needs hypothesis, pip install 'responses-chat-adapter[conform]'"
        in result.stdout.splitlines()[-2]
    )


# --------------------------------------------------------------------------------------------------------- what breaks


class Echo:
    """The demo model, whose refusals repeat the query and the headers of the request; with `shut`, it refuses everybody."""

    def __init__(self, *, shut: int = 0) -> None:
        self.shut = shut
        self.headers: dict[str, str] = {}
        self.queries: set[bytes] = set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.headers = {"query": scope["query_string"].decode()}
            self.headers |= {name.decode(): value.decode() for name, value in scope["headers"]}
            self.queries.add(scope["query_string"])
        if scope["type"] == "lifespan" or not (self.shut or "no-such-path" in scope["path"]):
            await demo(scope, receive, send)
            return
        body = json.dumps({"detail": self.headers}).replace("/", "\\/") + json.dumps(self.headers)
        start = {
            "type": "http.response.start",
            "status": self.shut or 404,
            "headers": [(b"content-type", b"text/plain")],
        }
        await send(start)
        await send({"type": "http.response.body", "body": f"Unknown\n key {body}".encode()})


@pytest.fixture
def with_key(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setenv("THE_KEY", f" {KEY}\n")
    return (
        "--key-env",
        "THE_KEY",
        "--header",
        "X-Api-Key: token CANARY-9876",
        "--header",
        "x-trace:7",
        "--header",
        "Content-Type: application/json; charset=utf-8",
    )


def test_a_broken_law_is_told_and_ends_with_1(with_key: tuple[str, ...]) -> None:
    echo = Echo()
    with served(echo) as url:
        text = conform(url, *with_key, "--examples", "0")
        machines = conform(url, *with_key, "--examples", "0", "--json")
    assert (text.exit_code, machines.exit_code) == (1, 1)
    assert "FAIL  is-json: 28 cases" in text.stdout
    assert text.stdout.splitlines()[-1].endswith(" laws, 1 broken: 1 finding above.")
    about, found = (line.strip() for line in text.stdout.splitlines() if line.startswith("      is-json"))
    assert about.startswith("is-json means: Plain answers and refusals are JSON objects")
    assert found.startswith("is-json · an unknown path: the content type is text/plain, expected application/json")
    assert json.loads(machines.stdout)["ok"] is False
    assert echo.headers["authorization"] == f"Bearer {KEY}"
    assert (echo.headers["x-api-key"], echo.headers["x-trace"]) == ("token CANARY-9876", "7")
    assert echo.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("status", [308, 401, 403, 404, 405, 500])
def test_a_key_that_the_server_repeats_is_never_shown(with_key: tuple[str, ...], status: int) -> None:
    with served(Echo(shut=status)) as url:
        result = conform(url, *with_key, "--examples", "2")
    assert "CANARY" not in result.output
    assert "0123" not in result.output
    assert "[key]" in result.output or status == 308
    if status != 500:
        assert f"status {status}" in refused(result)
    assert ("--key-env" in result.output) is (status in (401, 403))


def test_the_query_of_a_url_goes_with_every_request_and_is_shown_nowhere() -> None:
    echo, shut = Echo(), Echo(shut=404)
    query = "api-version=2024-10-21&subscription-key=CANARY%2B0123"
    with served(echo) as url, served(shut) as shut_url:
        told = conform(f"{url}?{query}", "--examples", "0", "--json")
        result = conform(f"{shut_url}?{query}")
    assert echo.queries == {query.encode()}
    assert json.loads(told.stdout)["url"] == f"{url}?api-version=…&subscription-key=…"
    assert "?api-version=…&subscription-key=…: " in refused(result)
    assert "[key]&subscription-key=[key]" in refused(result)
    assert "CANARY" not in told.output + result.output


def test_requests_say_that_they_are_json() -> None:
    echo = Echo(shut=401)
    with served(echo) as url:
        conform(url)
    assert echo.headers["content-type"] == "application/json"


def test_an_answer_that_breaks_off_or_never_comes_is_a_finding() -> None:
    whole = b'{"id": "x"}'
    good: Script = [head(200, length=len(whole)), whole, Close()]
    scripts: list[Script] = [
        *(good, good, good),
        [head(200, length=99), whole, Close()],
        [head(200, "text/event-stream"), Stall()],
        [Close()],
    ]

    async def scenario() -> None:
        async with Upstream(*scripts) as up:
            result = await asyncio.to_thread(conform, up.url, "--examples", "0", "--timeout", "0.3")
            assert result.exit_code == 1
            found = [line for line in result.stdout.splitlines() if "comes-whole · " in line]
            assert "ClientPayloadError" in found[0]
            assert "not finished within 0.3 s" in found[1]
            assert "ServerDisconnectedError" in found[2]

    play(scenario)


class Busy:
    """The demo model, which has no room for the first requests, or for any."""

    def __init__(self, status: int, times: float, *, retry_after: str) -> None:
        self.left = times
        self._status = status
        self._retry_after = retry_after.encode()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or self.left <= 0:
            await demo(scope, receive, send)
            return
        self.left -= 1
        headers = [(b"content-type", b"application/json"), (b"retry-after", self._retry_after)]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"error": {"message": "Not now.", "type": "busy"}}'})


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_has_no_room_now_is_waited_for(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("adapter.conforming.sleep", pauses.append)
    with served(Busy(status, 2, retry_after="9")) as url:
        result = conform(url, "--examples", "0", "--progress")
    assert (result.exit_code, pauses) == (0, [9, 9])
    assert result.stderr.splitlines()[:2] == [f"wait  9 s: status {status}"] * 2
    with served(Busy(status, math.inf, retry_after="61")) as url:
        assert f"no room, status {status} (--timeout" in refused(conform(url))
    assert pauses == [9, 9]


# ---------------------------------------------------------------------------------------------------------- what is known


def test_a_known_failure_is_told_and_ends_with_0() -> None:
    """A whole law, or by the words of a case or of a finding."""
    for known in ("is-json", "is-json: an unknown path", "is-json:text/plain"):
        with served(Echo()) as url:
            text = conform(url, "--examples", "0", "--except", known)
            machines = conform(url, "--examples", "0", "--json", "--except", known)
        assert (text.exit_code, machines.exit_code) == (0, 0)
        assert "known is-json: 28 cases" in text.stdout
        assert "is-json · an unknown path: known: the content type is text/plain" in text.stdout
        assert text.stdout.splitlines()[-1].endswith(" laws, none is broken, but for 1 finding that is known.")
        report = json.loads(machines.stdout)
        assert (report["ok"], [finding["known"] for finding in report["findings"]]) == (True, [True])
        assert report["laws"]["is-json"] | {"about": ""} == {"cases": 28, "findings": 1, "broken": 0, "about": ""}


def test_another_failure_than_the_known_one_ends_with_1() -> None:
    with served(Echo()) as url:
        result = conform(url, "--examples", "0", "--except", "is-json: text/html", "--except", "says-why")
    assert result.exit_code == 1
    notes = [line for line in result.stdout.splitlines() if line.startswith("note  --except")]
    assert notes == [
        "note  --except 'is-json: text/html': nothing of it was found",
        "note  --except 'says-why': nothing of it was found",
    ]


def test_a_report_for_machines_says_what_was_asked(demo_url: str) -> None:
    report = json.loads(conform(demo_url, "--examples", "1", "--seed", "7", "--json").stdout)
    asked = {"url": demo_url, "dialect": "chat", "model": "demo-chat", "seed": 7}
    assert asked.items() <= report.items()


# --------------------------------------------------------------------------------------------------------- its progress


def test_progress_is_a_line_for_each_answer_and_leaves_the_report_alone() -> None:
    with served(Echo()) as url:
        silent = conform(url, "--examples", "2", "--seed", "1")
        loud = conform(url, "--examples", "2", "--seed", "1", "--progress")
        known = conform(url, "--examples", "0", "--progress", "--except", "is-json")
    assert (silent.stdout, silent.stderr) == (loud.stdout, "")
    lines = loud.stderr.splitlines()
    assert lines[0] == "ok    a tiny max_completion_tokens"
    assert "ok    a call that must be, then results" in lines
    assert lines[-3:] == ["FAIL  an unknown path: is-json", *["ok    a drawn request"] * 2]
    assert known.stderr.splitlines()[-1] == "known an unknown path: is-json"


# ------------------------------------------------------------------------------------------------- what cannot be asked


def test_bad_usage_ends_with_2_and_one_line(demo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD_KEY", "sk-CANARY\x01")
    cases = {
        ("ftp://x/v1",): "URL: must begin with http:// or https://",
        ("http://user:CANARY@x/v1",): "URL: no user",
        (f"{demo_url}/chat/completions",): "ends where /chat/completions begins",
        ("http://127.0.0.1:1/v1",): "http://127.0.0.1:1/v1: no answer: ClientConnectorError",
        ("http://no.such.host.invalid/v1",): "no.such.host.invalid",
        (demo_url, "--key-env", "NOT_SET_HERE"): "NOT_SET_HERE",
        (demo_url, "--key-env", "ODD_KEY"): "--key-env",
        (demo_url, "--header", "CANARY"): "'name: value'",
        (demo_url, "--except", "is json"): "no law is called 'is json'; they are comes-whole, is-answered, ",
        (demo_url, "--header", "a b: CANARY"): "'name: value'",
        (demo_url, "--header", "a: CANARY\r\nb: c"): "--header",
    }
    for arguments, hint in cases.items():
        line = refused(conform(*arguments))
        assert hint in line
        assert "CANARY" not in line
    assert "'nobody' is unknown, status 404 (URL ends" in refused(conform(demo_url, model="nobody"))
    assert CliRunner().invoke(main, ["conform", demo_url]).exit_code == 2


def test_a_server_that_says_nothing_cannot_be_asked() -> None:
    async def scenario() -> None:
        async with Upstream([Stall()], [Stall()]) as up:
            result = await asyncio.to_thread(conform, up.url, "--timeout", "0.1")
            assert "no answer: not finished within 0.1 s" in refused(result)
            assert len(up.seen) == 2, "one for each name of the limit"

    play(scenario)


def test_help_says_that_it_costs_tokens() -> None:
    assert "costs tokens" in CliRunner().invoke(main, ["conform", "--help"]).stdout
