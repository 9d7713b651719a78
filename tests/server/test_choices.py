"""n choices over upstreams that know no n: as many calls, and never more of them at once than the upstream may have."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from adapter.server.calls.lanes import Hub, HubWhole
from adapter.server.drain import Drain
from tests.server.harness import Response, adapter, ask_bytes, play, upstream
from tests.server.scripted import (
    END,
    SSE,
    Script,
    Sleep,
    Stall,
    Step,
    Upstream,
    chat_reply,
    event,
    json_reply,
    response,
    responses_events,
    responses_stream,
)
from tests.server.test_failover import refused

ways = pytest.mark.parametrize("stream", [False, True])


class Busy(Upstream):
    """Knows how many calls it was at work on at once: their scripts hold a pause each."""

    working = most = 0

    async def _play(self, step: Step, *more: Any) -> bool:
        if not isinstance(step, Sleep):
            return await super()._play(step, *more)
        self.working += 1
        self.most = max(self.most, self.working)
        try:
            return await super()._play(step, *more)
        finally:
            self.working -= 1


def works(*texts: str, stream: bool) -> list[Script]:
    """An answer for each text, in the middle of which its upstream is at work for a while."""
    if not stream:
        return [[Sleep(0.1), json_reply(response(text, f"resp_{text}"))] for text in texts]
    return [[*(script := responses_stream(text, f"resp_{text}"))[:5], Sleep(0.1), *script[5:]] for text in texts]


def texts_of(answer: Response) -> set[str]:
    assert answer.status == 200, answer.body
    if answer.headers["content-type"] == "application/json":
        return {choice["message"]["content"] for choice in answer.json["choices"]}
    *chunks, done = answer.events
    assert done == "[DONE]"
    texts: dict[int, str] = {}
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        texts[choice["index"]] = texts.get(choice["index"], "") + (choice["delta"].get("content") or "")
    return set(texts.values())


@ways
@pytest.mark.parametrize(("bound", "most"), [(None, 3), (4, 3), (2, 2), (1, 1)])
def test_n_choices_are_so_many_calls_and_no_more_at_once_than_there_may_be(
    stream: bool, bound: int | None, most: int
) -> None:
    """Those that are too many wait for one of their own to end, and for nobody else."""

    async def scenario() -> None:
        section = {} if bound is None else {"max_concurrency": bound}
        async with (
            Busy(*works("one", "two", "three", stream=stream)) as up,
            adapter(upstream(up.url, "responses", **section)) as client,
        ):
            assert texts_of(await client.ask("chat", n=3, stream=stream)) == {"one", "two", "three"}
            assert (up.most, len(up.seen)) == (most, 3)

    play(scenario)


@ways
def test_n_choices_take_the_places_that_are_left(stream: bool) -> None:
    async def scenario() -> None:
        stalls: Script = [SSE, *(event(e, e["type"]) for e in responses_events()[:5]), Stall()]
        async with (
            Busy(stalls, *works("one", "two", "three", stream=stream)) as up,
            adapter(upstream(up.url, "responses", max_concurrency=3)) as client,
        ):
            _, writer = await client.open(ask_bytes("chat", stream=True))
            await up.arrived.wait()
            assert texts_of(await client.ask("chat", n=3, stream=stream)) == {"one", "two", "three"}
            assert up.most == 2
            writer.close()

    play(scenario)


def test_the_places_of_n_choices_are_nobody_elses_until_they_are_free() -> None:
    async def scenario() -> None:
        async with (
            Busy(*works("one", "two", stream=False), [json_reply(response("three"))]) as up,
            adapter(upstream(up.url, "responses", max_concurrency=2)) as client,
        ):
            running = asyncio.ensure_future(client.ask("chat", n=2))
            await up.arrived.wait()
            refused(await client.ask("chat"), 503, "server_is_overloaded")
            assert texts_of(await running) == {"one", "two"}
            assert texts_of(await client.ask("chat")) == {"three"}

    play(scenario)


@ways
def test_a_choice_that_cannot_begin_behind_another_one_breaks_the_answer(stream: bool) -> None:
    error = {"error": {"message": "no", "type": "invalid_request_error", "code": None, "param": None}}

    async def scenario() -> None:
        async with (
            Busy(*works("one", stream=stream), [json_reply(error, 400)], [json_reply(response("three"))]) as up,
            adapter(upstream(up.url, "responses", max_concurrency=1)) as client,
        ):
            answer = await client.ask("chat", n=3, stream=stream)
            assert answer.status == (200 if stream else 400)
            assert b"[DONE]" not in answer.body
            assert b'"message":"no"' in answer.body
            assert len(up.seen) == 2
            assert texts_of(await client.ask("chat")) == {"three"}

    play(scenario)


@ways
def test_a_choice_that_fails_begins_no_further_one(stream: bool) -> None:
    """The answer is broken, and nobody would hear what another one says."""
    failed = {"status": "failed", "error": {"code": "server_error", "message": "no"}, "output": []}
    end = {"type": "response.failed", "sequence_number": 5, "response": {**response(), **failed}}

    async def scenario() -> None:
        fails: Script = [json_reply({**response(), **failed})]
        if stream:
            begun = [event(each, each["type"]) for each in responses_events()[:5]]
            fails = [SSE, *begun, Sleep(0.1), event(end, end["type"]) + END]
        async with (
            Upstream(fails, [json_reply(response("next"))]) as up,
            adapter(upstream(up.url, "responses", max_concurrency=1)) as client,
        ):
            assert b'"message":"no"' in (await client.ask("chat", n=3, stream=stream)).body
            assert texts_of(await client.ask("chat")) == {"next"}
            assert len(up.seen) == 2

    play(scenario)


@ways
def test_a_mistake_of_this_server_in_one_choice_ends_the_answer(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def mistaken(self: object) -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        async with (
            Upstream(*works("one", "two", stream=stream), [json_reply(response("next"))]) as up,
            adapter(upstream(up.url, "responses", max_concurrency=2)) as client,
        ):
            with monkeypatch.context() as patched:
                patched.setattr(Hub if stream else HubWhole, "batch", mistaken)
                answer = await asyncio.wait_for(client.ask("chat", n=2, stream=stream), 5)
            assert b"internal_error" in answer.body
            assert texts_of(await client.ask("chat")) == {"next"}

    play(scenario, defects=1)


def test_choices_that_are_not_complete_when_the_server_stops_fail_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drains: list[Drain] = []
    monkeypatch.setattr(Drain, "listen", lambda drain: drains.append(drain))

    async def scenario() -> None:
        stalls: Script = [SSE, *(event(e, e["type"]) for e in responses_events()[:5]), Stall()]
        async with Upstream(stalls) as up, adapter(upstream(up.url, "responses"), drain_timeout=0.01) as client:
            reader, writer = await client.open(ask_bytes("chat", n=2, stream=True))
            began = await reader.readuntil(b'"content":"Hello"')
            drains[0].begin(signal.SIGTERM, lambda: None)
            rest = await reader.read()
            writer.close()
            assert began.count(b" 200 ") == 1
            assert rest.count(b'"code":"server_shutting_down"') == 1
            assert b"[DONE]" not in rest
            assert rest.endswith(b"0\r\n\r\n")

    play(scenario)


@ways
def test_a_client_that_leaves_begins_no_further_choice(stream: bool) -> None:
    async def scenario() -> None:
        stalls: Script = [SSE, *(event(e, e["type"]) for e in responses_events()[:5]), Stall()]
        async with (
            Upstream(stalls, [json_reply(response("next"))]) as up,
            adapter(upstream(up.url, "responses", max_concurrency=1)) as client,
        ):
            _, writer = await client.open(ask_bytes("chat", n=3, stream=stream))
            await up.arrived.wait()
            await asyncio.sleep(0.3)
            writer.close()
            await asyncio.wait_for(up.seen[0].finished.wait(), 2)
            assert texts_of(await client.ask("chat")) == {"next"}
            assert len(up.seen) == 2

    play(scenario)


def test_n_choices_of_an_upstream_that_knows_n_are_one_call() -> None:
    async def scenario() -> None:
        reply = chat_reply("A")
        reply["choices"] += [reply["choices"][0] | {"index": 1}]
        async with Upstream([json_reply(reply)]) as up, adapter(upstream(up.url, "chat", max_concurrency=1)) as client:
            assert len((await client.ask("chat", n=2)).json["choices"]) == 2
            assert len(up.seen) == 1

    play(scenario)
