"""The command line, as a user runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from functools import partial
from pathlib import Path

import pytest
import uvicorn
from click.testing import CliRunner

from adapter import listening, serving
from adapter.cli import main
from adapter.demo.running import start
from adapter.errors import ConfigError
from tests.configuring import loaded

ROOT = Path(__file__).parents[1]
GOOD = '[[upstreams]]\nname = "local"\nbase_url = "http://127.0.0.1:8000/v1"\ndialect = "chat"\naliases = { a = "b" }\n'


def _run(*arguments: str, given: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(arguments), input=given)
    return result.exit_code, result.stdout, result.stderr


def _one_line(text: str) -> str:
    assert text.startswith("adapter: ")
    assert text.count("\n") == 1
    return text


def test_check_prints_what_would_be_served(tmp_path: Path) -> None:
    file = tmp_path / "adapter.toml"
    good = GOOD.replace("8000/v1", "8000/v1?api-version=CANARY-1")
    further = 'api_key = "sk-CANARY"\nproxy = "http://u:CANARY@10.0.0.1:3128"\n'
    file.write_text(good + further + '[metrics]\nhost = "::1"\nport = 9100\n')
    code, out, _ = _run("check", "--config", str(file))
    assert code == 0
    assert "local" in out
    assert "a -> b" in out
    assert "http://127.0.0.1:8080" in out
    assert "chat at http://127.0.0.1:8000/v1?api-version=… by way of http://10.0.0.1:3128, profile generic" in out
    assert "metrics at http://[::1]:9100/metrics" in out
    assert "CANARY" not in out


@pytest.mark.parametrize(
    ("text", "hint"),
    [(GOOD.replace("dialect", "dialekt"), "did you mean 'dialect'"), ("", "none is configured"), ("[", "adapter.toml")],
)
def test_check_ends_with_2_and_one_line(tmp_path: Path, text: str, hint: str) -> None:
    file = tmp_path / "adapter.toml"
    file.write_text(text)
    code, out, err = _run("check", "--config", str(file))
    assert (code, out) == (2, "")
    assert hint in _one_line(err)


def test_serve_ends_with_2_on_a_bad_configuration_a_taken_port_and_a_missing_secret() -> None:
    base = ("serve", "--upstream", "http://127.0.0.1:1/v1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        cases = {
            ("serve",): "no upstream",
            ("serve", "--config", "/nowhere.toml"): "no such file",
            base: "--dialect",
            ("serve", "--dialect", "chat"): "--upstream",
            (*base, "--dialect", "chat", "--profile", "vlm"): "did you mean 'vllm'",
            (*base, "--dialect", "chat", "--upstream-key-env", "NOT_SET_HERE"): "NOT_SET_HERE",
            (*base, "--dialect", "chat", "--port", port): f"cannot listen on 127.0.0.1:{port}",
            (*base, "--dialect", "chat", "--host", "no.such.host.invalid"): "server.host",
            (*base, "--demo", "--dialect", "chat"): "exclude",
        }
        for arguments, hint in cases.items():
            code, _, err = _run(*arguments)
            assert code == 2, arguments
            assert hint in _one_line(err)


# ------------------------------------------------------------------------------------------------------------- convert

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "seed": 1}


def test_convert_request_and_its_losses() -> None:
    code, out, err = _run("convert", "request", "--from", "chat", "--to", "responses", given=json.dumps(CHAT))
    assert code == 0
    assert json.loads(out)["input"][0]["role"] == "user"
    (loss,) = [json.loads(line) for line in err.splitlines()]
    assert (loss["loss"], loss["action"]) == ("seed", "dropped")


def test_convert_guesses_a_misspelt_profile() -> None:
    code, out, err = _run("convert", "request", "--from", "chat", "--to", "chat", "--profile", "vlm", given="")
    assert (code, out) == (2, "")
    assert "did you mean 'vllm'" in _one_line(err)


def test_convert_shows_the_middle() -> None:
    code, out, _ = _run("convert", "request", "--from", "chat", "--to", "hub", given=json.dumps(CHAT))
    shown = json.loads(out)
    assert (code, shown["carry"], shown["dialect"], shown["stream"]) == (0, {"seed": 1}, "chat", False)
    assert shown["body"]["input"][0]["type"] == "message"


REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
}
STREAM = (
    'data: {"id":"chatcmpl-1","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'
    'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def test_convert_reply(tmp_path: Path) -> None:
    asked = tmp_path / "request.json"
    asked.write_text(json.dumps({"model": "m", "input": "Hi", "metadata": {"k": "v"}}))
    code, out, _ = _run(
        "convert", "reply", "--from", "chat", "--to", "responses", "--request", str(asked), given=json.dumps(REPLY)
    )
    reply = json.loads(out)
    assert (code, out[-2:]) == (0, "}\n")
    assert (reply["output"][0]["content"][0]["text"], reply["metadata"]) == ("Hello", {"k": "v"})


def test_convert_stream() -> None:
    code, out, _ = _run("convert", "stream", "--from", "chat", "--to", "responses", given=STREAM)
    assert code == 0
    assert out.startswith("event: response.created\n")
    assert "event: response.completed\n" in out


@pytest.mark.parametrize(("what", "given"), [("reply", json.dumps(REPLY)), ("stream", STREAM)])
def test_convert_shows_the_events_of_an_answer(what: str, given: str) -> None:
    code, out, _ = _run("convert", what, "--from", "chat", "--to", "hub", given=given)
    events = [json.loads(line)["event"] for line in out.splitlines()]
    assert code == 0
    assert (events[0], events[-1]) == ("Started", "Finished")


@pytest.mark.parametrize("asked", [CHAT, {"model": "m", "input": "Hi"}])
def test_the_request_of_an_answer_shown_in_the_middle_may_be_of_either_dialect(
    tmp_path: Path, asked: dict[str, object]
) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(asked))
    arguments = ("convert", "reply", "--from", "chat", "--to", "hub", "--request", str(file))
    code, out, err = _run(*arguments, given=json.dumps(REPLY))
    assert (code, json.loads(out.splitlines()[-1])["event"]) == (0, "Finished"), err


@pytest.mark.parametrize("target", ["responses", "hub"])
def test_what_was_mended_is_told_in_lines_with_its_detail(target: str) -> None:
    given = STREAM.replace('"content"', '"audio":{"id":"a","data":"AA=="},"content"')
    code, _, err = _run("convert", "stream", "--from", "chat", "--to", target, given=given)
    told = [json.loads(line) for line in err.splitlines()]
    assert code == 0
    assert told == [{"anomaly": "audio_dropped", "detail": ""}]


@pytest.mark.parametrize("given", ["", "{", "[]", '{"model": "m"}'])
def test_convert_of_nonsense_ends_with_1_and_the_error(given: str) -> None:
    code, out, err = _run("convert", "request", "--from", "chat", "--to", "responses", given=given)
    assert (code, out) == (1, "")
    assert set(json.loads(err)["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("target", ["responses", "hub"])
@pytest.mark.parametrize(
    ("given", "code"), [("", "upstream_empty"), ("{", "upstream_truncated"), ("no", "upstream_bad_content")]
)
def test_a_reply_that_is_none_is_called_so(target: str, given: str, code: str) -> None:
    """And not a request."""
    status, out, err = _run("convert", "reply", "--from", "chat", "--to", target, given=given)
    assert (status, out, json.loads(err)["error"]["code"]) == (1, "", code)


def test_a_request_answers_no_other_one(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(CHAT))
    arguments = ("convert", "request", "--from", "chat", "--to", "responses", "--request", str(file))
    code, out, err = _run(*arguments, given=json.dumps(CHAT))
    assert (code, out) == (2, "")
    assert "--request" in _one_line(err)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_convert_to_a_full_disk_ends_with_1_and_one_line() -> None:
    command = [sys.executable, "-m", "adapter", "convert", "stream", "--from", "chat", "--to", "responses"]
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(command, input=STREAM, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert "No space left" in _one_line(ended.stderr)


# --------------------------------------------------------------------------------------------------------------- serve


@pytest.mark.parametrize("workers", [1, 2])
def test_serve_demo_prints_what_can_be_pasted_and_answers_it(workers: int) -> None:
    pytest.importorskip("adapter.demo.app")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTER_")} | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "adapter", "serve", "--demo", "--port", "0", "--workers", str(workers)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        printed = ""
        while 'wire_api = "responses"' not in printed:
            line = process.stdout.readline()
            assert line, "the server ended"
            printed += line
        first = printed.splitlines()[0]
        assert "listening on http://127.0.0.1:" in first
        codex = tomllib.loads(printed[printed.index("model = ") :])
        base_url = codex["model_providers"]["adapter"]["base_url"]
        curls = re.findall(r"curl -N (\S+) -H '([^']+)' \\\n  -d '([^']+)'", printed)
        assert {url.removeprefix(base_url) for url, _, _ in curls} == {"/chat/completions", "/responses"}
        for url, field, body in curls:
            request = urllib.request.Request(url, body.encode(), {"content-type": field.partition(": ")[2]})
            answer = _opened(request)
            assert b"[DONE]" in answer if "chat" in url else b"response.completed" in answer
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.communicate()


def test_a_worker_may_be_slow_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy, for want of that worker, one that was killed for it would be started again for ever."""
    given: list[uvicorn.Config] = []

    class Parent:
        def __init__(self, config: uvicorn.Config, *_: object) -> None:
            given.append(config)

        def run(self) -> None: ...

    monkeypatch.setattr(serving, "Workers", Parent)
    up = {"name": "up", "base_url": "http://127.0.0.1:1/v1", "dialect": "chat"}
    read = partial(loaded, server={"workers": 2, "port": 0}, store={"mode": "off"}, upstreams=[up])
    serving.serve(read(), read)
    assert given[0].timeout_worker_healthcheck >= 30


@pytest.mark.parametrize("host", ["x" * 70, "a..b"])
def test_what_is_no_address_of_this_machine_is_told_in_one_line(host: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.host"):
        listening.bound(host, 0)


def test_the_demo_models_thread_has_a_loop_that_may_outlive_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop's callbacks take the interpreter without looking whether there is one: a parent of workers ended with SIGSEGV."""
    given: list[uvicorn.Config] = []

    class Heard:
        def __init__(self, config: uvicorn.Config) -> None:
            given.append(config)

        def run(self, sockets: object) -> None: ...

    monkeypatch.setattr(uvicorn, "Server", Heard)
    with socket.socket() as listener:
        start(listener)
    factory = given[0].get_loop_factory()
    assert factory is not None
    loop = factory()
    loop.close()
    assert type(loop).__module__.startswith("asyncio")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_nothing_fails_for_want_of_standard_streams(streams: str, workers: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = [sys.executable, "-m", "adapter", "serve", "--demo", "--port", str(port), "--workers", workers]
    process = subprocess.Popen(["sh", "-c", f'exec "$@" {streams}', "sh", *start], cwd=ROOT)
    deadline = time.monotonic() + 20
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert b"ok" in _opened(urllib.request.Request(f"http://127.0.0.1:{port}/livez"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("workers", [1, 2])
def test_serve_waits_for_its_children_where_whoever_started_it_ignores_his_own(workers: int) -> None:
    ignored = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    up = ["--upstream", "http://127.0.0.1:9/v1", "--dialect", "chat"]
    start = [sys.executable, "-m", "adapter", "serve", *up, "--port", "0", "--workers", str(workers)]
    process = subprocess.Popen([sys.executable, "-c", ignored, *start], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        listening = process.stdout.readline()
        assert "listening on" in listening
        url = listening.split()[3].rstrip(",")
        assert b"ok" in _opened(urllib.request.Request(f"{url}/livez"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.communicate()


def _opened(request: urllib.request.Request) -> bytes:
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                data: bytes = answer.read()
                return data
        except ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
