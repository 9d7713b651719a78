"""What whoever starts and routes to a process is told of it, and how little that costs the store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from adapter.errors import StoreUnavailable
from adapter.notifying import Manager
from adapter.server.drain import Drain
from adapter.server.health import Probe, Readyz
from adapter.server.tasks import Tasks
from adapter.store.store import Store
from tests.server.harness import adapter, play, upstream
from tests.server.scripted import Upstream, chat_reply, json_reply


class Asked:
    """A store whose answers are given: None for fine, a reason, or a future to wait for."""

    def __init__(self, *answers: str | asyncio.Future[None] | None) -> None:
        self.answers = list(answers)
        self.count = 0

    async def ready(self) -> None:
        self.count += 1
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            raise StoreUnavailable(answer)
        if answer is not None:
            await answer


def test_a_store_that_works_is_told_with_readiness(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with adapter(store={"url": f"sqlite:///{tmp_path}/store.db"}) as client:
            while (answer := await client.get("/readyz?verbose")).json["store"] == "not answering":
                await asyncio.sleep(0.05)  # it is being made
            assert (answer.status, answer.json) == (200, {"status": "ready", "store": "ok"})

    play(scenario)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health"])
def test_a_probe_is_answered_with_its_request_id(path: str) -> None:
    async def scenario() -> None:
        async with adapter() as client:
            assert (await client.get(path, x_request_id="probe-1")).headers["x-request-id"] == "probe-1"
            assert len((await client.get(path)).headers["x-request-id"]) == 32

    play(scenario)


def test_without_a_store_nothing_is_said_of_one() -> None:
    async def scenario() -> None:
        async with adapter() as client:
            answer = await client.get("/readyz")
            assert (answer.status, answer.json) == (200, {"status": "ready"})

    play(scenario)


@pytest.mark.parametrize(
    "url", ["sqlite:////dev/null/SECRET/store.db", "postgresql://SECRET:SECRET@127.0.0.1:1/SECRET"]
)
def test_a_store_that_cannot_be_reached_is_a_503_that_tells_no_secret(url: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), store={"url": url}) as client,
        ):
            answer = await client.get("/readyz")
            assert (answer.status, answer.json) == (503, {"status": "store_unavailable", "store": "gone"})
            assert b"SECRET" not in answer.body
            assert (await client.get("/livez")).status == 200
            assert (await client.ask("chat")).status == 200

    play(scenario)


def test_a_store_that_does_not_answer_is_told_in_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(store: Store) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Store, "ready", hang)

    async def scenario() -> None:
        async with adapter(store={"url": f"sqlite:///{tmp_path}/store.db"}) as client:
            answer = await client.get("/readyz")
            assert (answer.status, answer.json) == (503, {"status": "store_unavailable", "store": "not answering"})

    play(scenario)


async def test_however_many_ask_the_store_is_asked_once() -> None:
    asked, tasks = Asked(None), Tasks()
    probe = Probe(asked.ready, tasks, clock=lambda: 0.0)
    assert set(await asyncio.gather(*(probe.trouble() for _ in range(20)))) == {None}
    assert await probe.trouble() is None
    assert asked.count == 1


async def test_a_store_that_comes_and_goes() -> None:
    now = 0.0
    asked, tasks = Asked("gone", None, "read_only", None), Tasks()
    probe = Probe(asked.ready, tasks, clock=lambda: now)
    seen: list[Any] = []
    for _ in range(4):
        seen.append(await probe.trouble())
        now += 60
    assert seen == ["gone", None, "read_only", None]


async def test_a_store_that_is_slow_is_what_it_was_until_it_answers() -> None:
    """Under load a writer waits in a queue: that is no reason to send the load elsewhere. It is not asked twice meanwhile."""
    now = 0.0
    slow: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asked, tasks = Asked(None, slow), Tasks()
    probe = Probe(asked.ready, tasks, clock=lambda: now, patience=0)
    assert await probe.trouble() is None
    for _ in range(3):
        now += 60
        assert await probe.trouble() is None
    assert asked.count == 2
    slow.set_exception(StoreUnavailable("timeout"))
    await tasks.finish()
    assert await probe.trouble() == "timeout"


async def test_a_process_on_its_way_out_does_not_ask_the_store() -> None:
    drain = Drain((), Manager({}), delay=60, timeout=60)
    drain.draining = True
    asked, sent = Asked(), []

    async def send(message: Any) -> None:
        sent.append(message)

    await Readyz(drain, Probe(asked.ready, Tasks(), clock=lambda: 0.0))({"headers": []}, send, send)  # type: ignore[arg-type]
    assert (sent[0]["status"], sent[1]["body"]) == (503, b'{"status":"draining"}')
    assert asked.count == 0
