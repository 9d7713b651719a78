"""SIGHUP: what of a configuration counts from the next turn on, and what happens to one that cannot be served."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from prometheus_client import CollectorRegistry

from adapter import serving
from adapter.access.keys import Key, KeyFile, digest_of
from adapter.config import renewed
from adapter.errors import ConfigError
from adapter.kinds import Secret
from adapter.listening import bound
from adapter.notifying import Manager
from adapter.sections import Sealing, Settings
from adapter.server import reloading
from adapter.server.reloading import Handed, changed
from adapter.serving import Workers
from adapter.telemetry.metrics import reload_failures
from tests.server.harness import Client, adapter, ask_bytes, configured, play, read_response, upstream, workers_of
from tests.server.scripted import (
    END,
    SSE,
    Script,
    Until,
    Upstream,
    chat_reply,
    chat_stream,
    chunk,
    event,
    json_reply,
)
from tests.server.sockets import ask, opened, refused
from tests.server.test_access import ALICE, BOB, OPEN_TO_ALL, OWN, bearer

HOST = "127.0.0.1"


def says(text: str) -> list[Script]:
    return [[json_reply(chat_reply(text))]] * 5


class Signals:
    """Sends SIGHUP to this process and hears what comes of it."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    def info(self, event: str, **fields: Any) -> None:
        self._told.put_nowait((event, fields))

    error = info

    async def __call__(self) -> tuple[str, dict[str, Any]]:
        signal.raise_signal(signal.SIGHUP)
        return await asyncio.wait_for(self._told.get(), 10)


@pytest.fixture
def hup(monkeypatch: pytest.MonkeyPatch) -> Iterator[Signals]:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may be started with nohup
    signals = Signals()
    monkeypatch.setattr(reloading, "log", signals)
    yield signals
    signal.signal(signal.SIGHUP, before)


def raising(refused: Exception) -> Callable[[], Settings]:
    def again() -> Settings:
        raise refused

    return again


def test_e17_an_upstream_that_was_taken_out_finishes_its_answers_and_gets_no_more(hup: Signals) -> None:
    async def scenario() -> None:
        over = asyncio.Event()
        stream: Script = [SSE, event(chunk({"content": "Hel"})), Until(over), *chat_stream("lo")[1:]]
        async with Upstream(stream) as old, Upstream(*says("new")) as new:
            again = lambda: configured(upstream(new.url, "chat", "new"))  # noqa: E731
            async with adapter(upstream(old.url, "chat", "old"), again=again) as client:
                reader, writer = await client.open(ask_bytes("responses", stream=True))
                await reader.readuntil(b"response.output_text.delta")
                assert await hup() == ("reloaded", {"changed": ["upstreams.old", "upstreams.new"], "at_next_start": []})
                answer = await client.ask("chat")
                assert answer.json["choices"][0]["message"]["content"] == "new"
                over.set()
                await asyncio.wait_for(reader.readuntil(b"response.completed"), 5)
                writer.close()
                assert (len(old.seen), len(new.seen)) == (1, 1)

    play(scenario)


@pytest.mark.parametrize(
    "refusal",
    [
        ConfigError("upstreams[0].bad: unknown key"),
        OSError("no memory"),
        ChildProcessError("ended with -9"),
        ValueError("sk-canary"),
    ],
    ids=lambda refusal: type(refusal).__name__,
)
def test_e17_what_cannot_be_served_changes_nothing_and_is_told(hup: Signals, refusal: Exception) -> None:
    """So is a mistake of ours, by its kind: its text may hold anything."""
    why = "ValueError" if isinstance(refusal, ValueError) else str(refusal)

    async def scenario() -> None:
        with bound(HOST, 0) as free:
            port = free.getsockname()[1]
        async with Upstream(*says("old")) as up:
            metrics = {"metrics": {"port": port}}
            async with adapter(upstream(up.url, "chat"), access=metrics, again=raising(refusal)) as client:
                assert await hup() == ("reload_failed", {"why": why})
                assert (await client.ask("chat")).status == 200
                assert await asyncio.to_thread(_failures, port) == 1

    play(scenario)


def _failures(port: int) -> float:
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=5) as answer:
        found = re.search(rb"^adapter_reload_failures_total (\S+)$", answer.read(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_after_a_failure_the_next_signal_is_heard_as_well(hup: Signals) -> None:
    async def scenario() -> None:
        async with Upstream(*says("old")) as old, Upstream(*says("new")) as new:
            readings = [raising(ConfigError("no")), lambda: configured(upstream(new.url, "chat"))]
            async with adapter(upstream(old.url, "chat"), again=lambda: readings.pop(0)()) as client:
                assert (await hup())[0] == "reload_failed"
                assert (await hup())[0] == "reloaded"
                await client.ask("chat")
                assert (len(old.seen), len(new.seen)) == (0, 1)

    play(scenario)


def test_signals_that_come_while_it_is_read_are_one(hup: Signals) -> None:
    async def scenario() -> None:
        reads, over = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()
        own = upstream("http://127.0.0.1:1/v1", "chat")

        def again() -> Settings:
            loop.call_soon_threadsafe(reads.set)
            assert over.wait(10)
            return configured(own)

        async with adapter(own, again=again):
            first = asyncio.ensure_future(hup())
            await reads.wait()
            for _ in range(3):
                signal.raise_signal(signal.SIGHUP)
            second = asyncio.ensure_future(hup())
            await asyncio.sleep(0)
            over.set()
            assert [(await one)[0] for one in (first, second)] == ["reloaded"] * 2
            assert "_reload" not in [task.get_coro().__name__ for task in asyncio.all_tasks()]

    play(scenario)


class Worker:
    """One that answers, and remembers what it was told."""

    def __init__(self) -> None:
        self.process, self.told = self, list[Settings]()

    def is_alive(self) -> bool:
        return True

    def ping(self, timeout: float) -> bool:
        return True

    is_ready = ping

    def tell(self, settings: Settings) -> None:
        self.told.append(settings)


@pytest.mark.parametrize("mistake", [None, ConfigError("no"), ValueError("whatever")])
def test_a_parent_reads_for_all_of_its_workers_and_goes_on_meanwhile(
    monkeypatch: pytest.MonkeyPatch, mistake: Exception | None
) -> None:
    """Whatever is wrong with what it reads: nobody else would stop them. Who takes another's place has what all others have."""
    before, after = (configured(upstream("http://127.0.0.1:1/v1", "chat", name)) for name in ("old", "new"))
    over, reads = threading.Event(), list[int]()

    def again() -> Settings:
        reads.append(1)
        assert over.wait(10)
        if mistake is not None:
            raise mistake
        return after

    monkeypatch.setattr(signal, "signal", lambda *_: None)  # those of these tests stay as they are
    failures = reload_failures(CollectorRegistry())
    workers, worker = Workers(uvicorn.Config("", workers=2), [], before, again, Manager({}), failures), Worker()
    workers.processes = [worker]  # type: ignore[list-item]
    for number in (signal.SIGHUP, *[signal.SIGHUP] * 3, 0):
        workers.signal_queue = [number] * 3 if number else []
        workers.handle_signals()
        workers.keep_subprocess_alive()
        assert worker.told[-1] is before
    over.set()
    for _ in range(2):  # and once more, for the signals that came while it read
        assert workers._reading is not None
        workers._reading.exception(10)
        workers.handle_signals()
        workers.keep_subprocess_alive()
    assert worker.told[-1] is (before if mistake else after)
    assert failures._value.get() == (2 if mistake else 0)
    assert workers.config.app.args[0] == (before if mistake else after)  # type: ignore[union-attr]
    assert (len(reads), workers._reading) == (2, None)


def test_a_worker_is_told_once_what_was_read_and_hears_of_it_by_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (configured(upstream("http://127.0.0.1:1/v1", "chat", name)) for name in ("old", "new"))
    signals = list[tuple[int, int]]()
    monkeypatch.setattr(os, "kill", lambda *sent: signals.append(sent))
    worker = serving.Worker(uvicorn.Config(""), [], handed := Handed(first))
    for outcome, told in ((first, False), (second, True), (second, False)):
        worker.tell(outcome)
        assert worker.child_conn.poll() is told
        if told:
            worker.pong()
    assert (handed(), signals) == (second, [(os.getpid(), signal.SIGHUP)])
    worker.child_conn.close()
    worker.tell(first)  # it has died


def test_a_parent_may_be_asked_for_one_worker_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    workers = Workers(uvicorn.Config("", workers=2), [], own := configured(), lambda: own, Manager({}))
    monkeypatch.setattr(workers, "_started", Worker)
    workers.signal_queue.append(signal.SIGTTIN)
    workers.handle_signals()
    workers.keep_subprocess_alive()
    assert len(workers.processes) == 1


@pytest.mark.parametrize("keyed", [False, True])
def test_keys_may_come_and_go(hup: Signals, keyed: bool) -> None:
    """Where there were none before, too: from then on a caller must have one. What was counted for a key stays counted."""

    async def scenario() -> None:
        async with Upstream(*says("Hi")) as up:
            own = upstream(up.url, "chat", api_key=OWN)
            without_bob = OPEN_TO_ALL | {"keys": [one for one in OPEN_TO_ALL["keys"] if one["id"] != "bob"]}
            before = {"access": OPEN_TO_ALL} if keyed else {}
            async with adapter(own, **before, again=lambda: configured(own, access=without_bob)) as client:
                assert (await client.ask("chat", headers=bearer(BOB))).status == 200
                await hup()
                assert (await client.ask("chat", headers=bearer(BOB))).status == 401
                assert (await client.ask("chat")).status == 401
                assert (await client.ask("chat", headers=bearer(ALICE))).status == 200
                assert (await client.get("/v1/models")).status == 401

    play(scenario)


def test_a_limit_does_not_begin_anew(hup: Signals) -> None:
    async def scenario() -> None:
        async with Upstream(*says("Hi")) as up:
            own = upstream(up.url, "chat", api_key=OWN)
            once = [{"name": "a", "key_limits": {"requests_per_minute": 1}}, {"name": "b"}]
            limited = {"access": OPEN_TO_ALL | {"groups": once}}
            async with adapter(own, **limited, again=lambda: configured(own, **limited)) as client:
                assert (await client.ask("chat", headers=bearer(ALICE))).status == 200
                assert await hup() == ("reloaded", {"changed": [], "at_next_start": []})
                assert (await client.ask("chat", headers=bearer(ALICE))).status == 429

    play(scenario)


def test_who_was_left_alone_is_asked_again(hup: Signals) -> None:
    """A key of which its upstream has enough is no reason to wait once there is another one."""

    async def scenario() -> None:
        async with Upstream([json_reply({"error": {"message": "no"}}, 429, "Retry-After: 600")], *says("Hi")) as up:
            old, new = (upstream(up.url, "chat", api_key=f"sk-{key * 20}") for key in "ab")
            async with adapter(old, again=lambda: configured(new)) as client:
                for _ in range(2):
                    assert (await client.ask("chat")).status == 429
                assert len(up.seen) == 1  # it rests
                await hup()
                assert (await client.ask("chat")).status == 200
                assert up.seen[1].headers["authorization"] == f"Bearer sk-{'b' * 20}"

    play(scenario)


def test_what_was_asked_before_says_nothing_of_the_key_after(hup: Signals) -> None:
    """Its refusal comes when the key that is refused is no longer used."""

    async def scenario() -> None:
        over = asyncio.Event()
        late: Script = [Until(over), json_reply({"error": {"message": "no"}}, 429, "Retry-After: 600")]
        async with Upstream(late, *says("Hi")) as up:
            old, new = (upstream(up.url, "chat", api_key=f"sk-{key * 20}") for key in "ab")
            async with adapter(old, again=lambda: configured(new)) as client:
                reader, writer = await client.open(ask_bytes("chat"))
                while not up.seen:
                    await asyncio.sleep(0.001)
                await hup()
                over.set()
                assert (await read_response(reader)).status == 429
                writer.close()
                assert (await client.ask("chat")).status == 200

    play(scenario)


def test_another_server_is_asked_to_count_where_the_one_before_could_not(hup: Signals) -> None:
    async def scenario() -> None:
        told = json_reply({"object": "response.input_tokens", "input_tokens": 4711})
        async with Upstream([json_reply({"detail": "Not Found"}, 404)]) as old, Upstream([told]) as new:
            again = lambda: configured(upstream(new.url, "responses"))  # noqa: E731
            async with adapter(upstream(old.url, "responses"), again=again) as client:
                body = {"model": "m", "input": "Hi"}
                first = await client.post("/v1/responses/input_tokens", body)
                assert first.headers["x-adapter-token-count"] == "estimate"
                await hup()
                assert (await client.post("/v1/responses/input_tokens", body)).json["input_tokens"] == 4711

    play(scenario)


def test_e18_a_key_in_a_file_is_rotated_without_a_restart(hup: Signals, tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "key"
        path.write_text(f"sk-{'a' * 20}\n")
        async with Upstream(*says("Hi")) as up:
            own = upstream(up.url, "chat", api_key=f"file:{path}")
            async with adapter(own, again=lambda: configured(own)) as client:
                await client.ask("chat")
                path.write_text(f"sk-{'b' * 20}\n")
                assert await hup() == ("reloaded", {"changed": ["upstreams.up"], "at_next_start": []})
                await client.ask("chat")
            assert [seen.headers["authorization"][-3:] for seen in up.seen] == ["aaa", "bbb"]

    play(scenario)


def test_an_upstreams_places_are_not_given_twice(hup: Signals) -> None:
    async def scenario() -> None:
        over = asyncio.Event()
        stream: Script = [SSE, event(chunk({"content": "Hel"})), Until(over), *chat_stream("lo")[1:]]
        async with Upstream(stream, *says("Hi")) as up:
            bounded = upstream(up.url, "chat", max_concurrency=1)
            async with adapter(bounded, again=lambda: configured(bounded)) as client:
                reader, writer = await client.open(ask_bytes("chat", stream=True))
                await reader.readuntil(b"Hel")
                await hup()
                assert (await client.ask("chat")).status in (429, 503)
                over.set()
                await reader.readuntil(b"[DONE]")
                assert (await client.ask("chat")).status == 200
                writer.close()

    play(scenario)


def test_an_open_socket_goes_by_what_is_said_now(hup: Signals) -> None:
    """Its next turn is at the new upstream, goes on from what was said before, and needs a key that is still one."""

    async def scenario() -> None:
        async with Upstream(chat_stream("one")) as old, Upstream(chat_stream("two")) as new:
            without = OPEN_TO_ALL | {"keys": OPEN_TO_ALL["keys"][:1]}
            later = [configured(upstream(new.url, "chat", api_key=OWN), access=each) for each in (OPEN_TO_ALL, without)]
            first = upstream(old.url, "chat", api_key=OWN)
            async with (
                adapter(first, access=OPEN_TO_ALL, again=lambda: later.pop(0)) as client,
                opened(client, authorization=f"Bearer {BOB}") as ws,
            ):
                one = (await ask(ws))[-1]["response"]
                await hup()
                two = (await ask(ws, previous_response_id=one["id"]))[-1]["response"]
                assert two["output"][0]["content"][0]["text"] == "two"
                assert b"one" in new.seen[0].body
                await hup()
                assert refused(await ask(ws))[0] == 401

    play(scenario)


def test_sections_of_a_process_count_from_the_next_start_on(hup: Signals) -> None:
    async def scenario() -> None:
        async with Upstream(*says("Hi")) as up:
            own = upstream(up.url, "chat")
            again = partial(configured, own, body_limit=10, store={"mode": "off", "ttl": 7})
            async with adapter(own, again=again) as client:
                for _ in range(2):  # it is told for as long as it is so
                    assert await hup() == ("reloaded", {"changed": [], "at_next_start": ["server", "store"]})
                assert (await client.ask("chat")).status == 200

    play(scenario)


@pytest.mark.parametrize("host", ["0.0.0.0", HOST])
def test_a_reload_does_not_take_the_keys_away(host: str) -> None:
    """A file without them is good to start with, on loopback. Who runs listens where it did, and would let in whoever has none by
    a file that is gone, or half a file."""
    own = upstream("http://127.0.0.1:1/v1", "chat", api_key=OWN)
    running = configured(own, access=OPEN_TO_ALL, host=host)
    with pytest.raises(ConfigError, match="keys: callers are asked for one"):
        renewed(running, configured(own))
    assert renewed(running, configured(own, access=OPEN_TO_ALL)).server.host == host
    assert renewed(configured(own), running).keyed


def test_a_sealing_key_that_was_generated_stays() -> None:
    """It may be in memory only, and the other workers have it."""
    own, made, given = upstream("http://127.0.0.1:1/v1", "chat"), Secret("A" * 43 + "="), Secret("B" * 43 + "=")
    running = replace(configured(own), sealing=Sealing(keys=(made,)))
    accepting = replace(configured(own), sealing=Sealing(accept_default=True))
    assert renewed(running, accepting).sealing == Sealing(keys=(made,), accept_default=True)
    assert renewed(running, replace(configured(own), sealing=Sealing(keys=(given,)))).sealing.keys == (given,)


@pytest.mark.parametrize("workers", [1, 2])
def test_without_a_place_for_a_sealing_key_and_a_store_all_stays_as_it_is(workers: int, tmp_path: Path) -> None:
    """What was sealed still opens, and nothing is told of a store that nobody configured."""

    async def scenario() -> None:
        async with Upstream(*says("Hi") * 9) as up:
            path = tmp_path / "adapter.toml"
            path.write_text(
                f'[server]\nport = 0\nworkers = {workers}\n[compaction]\nmodel = "m"\n'
                f'[[upstreams]]\nname = "up"\nbase_url = "{up.url}"\ndialect = "chat"\n'
            )
            nowhere = {"HOME": "", "XDG_STATE_HOME": ""}
            async with _program(path, before=_session, environment=nowhere) as (process, client, told):
                said = [{"role": "user", "content": "Hello"}]
                made = await client.post("/v1/responses/compact", {"model": "m", "input": said})
                process.send_signal(signal.SIGHUP)
                for _ in range(workers):
                    assert b'"changed":[],"at_next_start":[]' in await _line(told, "reloaded")
                for _ in range(6):
                    answer = await client.post("/v1/responses", {"model": "m", "input": made.json["output"]})
                    assert answer.status == 200, answer.json

    play(scenario, 60)


def test_what_changed_is_told_by_section_and_upstream() -> None:
    one, two = (upstream("http://127.0.0.1:1/v1", "chat", name, api_key="k" * 20) for name in ("one", "two"))
    before = configured(one, two)
    assert changed(before, before) == []
    after = configured(
        one | {"api_key": "l" * 20}, upstream("http://127.0.0.1:1/v1", "chat", "three"), compaction={"window": 9}
    )
    assert changed(before, after) == ["compaction", "upstreams.one", "upstreams.two", "upstreams.three"]
    assert changed(before, replace(before, keys_file=Path("others.toml"))) == ["keys_file"]


# --------------------------------------------------------------------------------------------------- the program itself


def _file(path: Path, url: str, workers: int, more: str = "") -> None:
    path.write_text(
        f'[server]\nport = 0\nworkers = {workers}\n[store]\nmode = "off"\n'
        f'[[upstreams]]\nname = "up"\nbase_url = "{url}"\ndialect = "chat"\n{more}'
    )


@asynccontextmanager
async def _program(
    path: Path,
    *,
    before: Callable[[], object],
    environment: Mapping[str, str] | None = None,
    meanwhile: Callable[[asyncio.subprocess.Process], Awaitable[None]] | None = None,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Client, asyncio.StreamReader]]:
    """`adapter serve` with this file, in a session of its own; what it prints."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ADAPTER_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "adapter", "serve", "--config", str(path),
        cwd=Path(__file__).parents[2], env=inherited | dict(environment or {}), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        preexec_fn=before,
    )  # fmt: skip
    assert process.stdout is not None
    if meanwhile is not None:
        await meanwhile(process)
    line = (await process.stdout.readline()).decode()
    found = re.search(r":(\d+)", line)
    assert found is not None, line
    try:
        yield process, Client(int(found[1])), process.stdout
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _session() -> None:
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


async def _line(told: asyncio.StreamReader, event: str) -> bytes:
    return await asyncio.wait_for(told.readuntil(f'"event":"{event}"'.encode()), 20)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_file_is_read_again(workers: int, tmp_path: Path) -> None:
    """By every worker, and for one that comes later."""

    async def scenario() -> None:
        async with Upstream(*says("old") * 9) as old, Upstream(*says("new") * 9) as new:
            path = tmp_path / "adapter.toml"
            _file(path, old.url, workers)
            async with _program(path, before=_session) as (process, client, told):
                assert (await client.ask("chat")).status == 200
                _file(path, new.url, workers, "no_such_key = 1\n")
                process.send_signal(signal.SIGHUP)
                await _line(told, "reload_failed")
                assert (await client.ask("chat")).status == 200
                assert (len(old.seen), len(new.seen)) == (2, 0)
                _file(path, new.url, workers)
                process.send_signal(signal.SIGHUP)
                for _ in range(workers):
                    await _line(told, "reloaded")
                for _ in range(6):
                    assert (await client.ask("chat")).status == 200
                assert (len(old.seen), len(new.seen)) == (2, 6)
                if workers > 1:
                    path.unlink()  # what the parent has read is what counts
                    for pid in workers_of(process.pid):
                        os.kill(pid, signal.SIGKILL)
                    for _ in range(workers):
                        await _line(told, "worker_died")
                    assert (await client.ask("chat")).status == 200
                    assert len(old.seen) == 2

    play(scenario, 60)


@pytest.mark.parametrize("workers", [1, 2])
def test_who_has_no_key_is_not_let_in_when_their_file_is_gone(workers: int, tmp_path: Path) -> None:
    """Neither by a reload nor by a worker that takes another's place. A reload that fails is one, of however many workers."""

    async def scenario() -> None:
        with bound(HOST, 0) as free:
            port = free.getsockname()[1]
        async with Upstream(*says("Hi")) as up:
            path, file = tmp_path / "adapter.toml", KeyFile(tmp_path / "keys.toml")
            _file(path, up.url, workers, f'api_key = "none"\n[metrics]\nport = {port}\n')
            file.add(Key("dave", digest_of("ak-of-dave"), "dave", ("default",)))
            async with _program(path, before=_session) as (process, client, told):
                assert (await client.ask("chat", headers=bearer("ak-of-dave"))).status == 200
                file.path.unlink()
                process.send_signal(signal.SIGHUP)
                await _line(told, "reload_failed")
                assert await asyncio.to_thread(_failures, port) == 1
                if workers > 1:
                    for pid in workers_of(process.pid):
                        os.kill(pid, signal.SIGKILL)
                    for _ in range(workers):
                        await _line(told, "worker_died")
                for _ in range(4):
                    assert (await client.ask("chat")).status == 401
                assert len(up.seen) == 1
                process.send_signal(signal.SIGTERM)  # it leaves no place behind that workers counted in
                await asyncio.wait_for(process.wait(), 20)

    play(scenario, 60)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_that_comes_while_a_server_starts_waits(workers: int, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream(*says("old")) as old, Upstream(*says("new")) as new:
            path, first, second = (tmp_path / name for name in ("adapter.toml", "first", "second"))
            _file(first, old.url, workers)
            _file(second, new.url, workers)
            os.mkfifo(path)

            async def signalled(process: asyncio.subprocess.Process) -> None:
                with await asyncio.to_thread(path.open, "w") as pipe:  # once it reads
                    process.send_signal(signal.SIGHUP)
                    second.replace(path)
                    pipe.write(first.read_text())

            async with _program(path, before=_session, meanwhile=signalled) as (_, client, told):
                for _ in range(workers):
                    await _line(told, "reloaded")
                assert (await client.ask("chat")).status == 200
                assert (len(old.seen), len(new.seen)) == (0, 1)

    play(scenario, 60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("workers", [1, 2])
def test_e1_a_reading_that_does_not_end_keeps_nobody_from_ending(
    workers: int, number: signal.Signals, tmp_path: Path
) -> None:
    """Nor does one of a secret: it is somebody else's disk, and may hang."""

    async def scenario() -> None:
        path, key = tmp_path / "adapter.toml", tmp_path / "key"
        key.write_text("sk-own")
        _file(path, "http://127.0.0.1:1/v1", workers, f'api_key = "file:{key}"\n')
        async with _program(path, before=_session) as (process, client, _):
            assert (await client.get("/livez")).status == 200
            key.unlink()
            os.mkfifo(key)
            process.send_signal(signal.SIGHUP)
            with await asyncio.to_thread(key.open, "w"):  # once it reads
                process.send_signal(number)
                assert await asyncio.wait_for(process.wait(), 20) in (0, -number)

    play(scenario, 60)


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_go_by_one_reading(workers: int, tmp_path: Path) -> None:
    """Whatever the file says by then, and whatever happens to who reads: all of them, or none, have what it said."""

    async def scenario() -> None:
        async with Upstream(*says("old") * 9) as old, Upstream(*says("new") * 9) as new, Upstream() as later:
            path = tmp_path / "adapter.toml"
            _file(path, old.url, workers)
            async with _program(path, before=_session) as (process, client, told):
                text = path.read_text()
                path.unlink()
                os.mkfifo(path)
                process.send_signal(signal.SIGHUP)
                with await asyncio.to_thread(path.open, "w") as pipe:  # once somebody reads
                    _file(second := tmp_path / "second", later.url, workers)
                    second.replace(path)
                    pipe.write(text.replace(old.url, new.url))
                for _ in range(workers):
                    assert b"upstreams.up" in await _line(told, "reloaded")
                for _ in range(6):
                    assert (await client.ask("chat")).status == 200
                assert (len(old.seen), len(new.seen), len(later.seen)) == (0, 6, 0)

    play(scenario, 60)


@pytest.mark.parametrize("workers", [1, 2])
def test_e1_a_stream_finishes_when_the_terminal_hangs_up(workers: int, tmp_path: Path) -> None:
    """It sends SIGHUP too, and is no reason to go on for ever without anybody who could say stop."""

    async def scenario() -> None:
        over = asyncio.Event()
        stream: Script = [
            SSE,
            event(chunk({"content": "Hel"})),
            Until(over),
            event(chunk({}, "stop")),
            event(b"[DONE]"),
            END,
        ]
        ours, theirs = pty.openpty()

        def on_the_terminal() -> None:
            _session()
            os.close(os.open(os.ttyname(theirs), os.O_RDWR))  # whoever leads a session gets the first that it opens

        async with Upstream(stream) as up:
            _file(path := tmp_path / "adapter.toml", up.url, workers)
            async with _program(path, before=on_the_terminal) as (process, client, told):
                os.close(theirs)
                reader, writer = await client.open(ask_bytes("responses", stream=True))
                await reader.readuntil(b"response.output_text.delta")
                process.send_signal(signal.SIGHUP)  # as long as the terminal is there, this is another matter
                for _ in range(workers):
                    await _line(told, "reloaded")
                os.close(ours)
                with suppress(ConnectionError, asyncio.IncompleteReadError):  # refused, or closed in the backlog
                    while True:
                        await client.get("/livez")
                over.set()
                assert b"response.completed" in await asyncio.wait_for(reader.read(), 10)
                writer.close()
                assert await asyncio.wait_for(process.wait(), 10) in (0, -signal.SIGTERM)

    play(scenario, 60)
