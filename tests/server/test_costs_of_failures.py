"""What an answer that failed had cost, where its upstream says so: in the limits, in the access line and in the metrics."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapter.server.calls.lanes import HubWhole
from adapter.telemetry.metrics import Meters
from tests.server.compacting import COMPACT, WAYS
from tests.server.harness import adapter, play, request_bytes, upstream
from tests.server.scripted import (
    END,
    SSE,
    USAGE,
    Script,
    Sleep,
    Stall,
    Step,
    Upstream,
    chat_reply,
    chunk,
    event,
    json_reply,
    response,
    responses_stream,
)
from tests.server.test_access import ALICE, DAY, OWN, ask, bearer, refused, remaining
from tests.server.test_background_limits import accepted, ended
from tests.server.test_lanes import access_lines

FAILED = response() | {"status": "failed", "error": {"code": "server_error", "message": "no"}}
EMPTY = FAILED | {"output": []}
BEGUN = EMPTY | {"status": "in_progress", "error": None, "usage": None}
IN_EVENTS: Script = [
    SSE,
    event({"type": "response.created", "response": BEGUN}, "response.created"),
    event({"type": "response.failed", "response": FAILED}, "response.failed"),
]
FIRST: Script = [SSE, event({"type": "response.failed", "response": FAILED}, "response.failed")]


@pytest.fixture
def metered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens in all, of every turn that the metrics were told of."""
    told: list[int] = []
    monkeypatch.setattr(Meters, "used", lambda self, usage: told.append(usage["total_tokens"]))
    return told


@pytest.mark.parametrize(
    ("surface", "fails", "stream"),
    [
        ("chat", [json_reply(FAILED)], True),
        ("chat", [json_reply(FAILED)], False),
        ("chat", IN_EVENTS, False),
        ("responses", [json_reply(FAILED)], True),
        ("responses", [json_reply(EMPTY)], False),
        ("responses", IN_EVENTS, False),
        *((surface, FIRST, stream) for surface in ("chat", "responses") for stream in (True, False)),
    ],
)
def test_an_answer_that_failed_costs_what_its_upstream_says(
    surface: str, fails: Script, stream: bool, metered: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        rules = DAY | {"metrics": {"port": 0}}
        async with Upstream(fails) as up, adapter(upstream(up.url, "responses", api_key=OWN), access=rules) as client:
            refused(await ask(client, ALICE, surface, stream=stream), 502, "server_error")
            assert len(up.seen) == 1
            assert await remaining(client) == 10_000 - 5

    play(scenario)
    assert metered == [5]
    line = access_lines(capfd)[0]
    assert (line["outcome"], line["tokens_in"], line["tokens_out"]) == ("refused", 3, 2)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("surface", ["chat", "responses"])
def test_a_chat_answer_that_was_broken_off_costs_what_its_upstream_says(
    surface: str, stream: bool, metered: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    """As DeepSeek says it, in a plain answer."""
    half = {
        "index": 0,
        "message": {"role": "assistant", "content": "Hal"},
        "finish_reason": "insufficient_system_resource",
    }
    fails = [json_reply(chat_reply(choices=[half]))]

    async def scenario() -> None:
        rules = DAY | {"metrics": {"port": 0}}
        async with Upstream(fails) as up, adapter(upstream(up.url, "chat", api_key=OWN), access=rules) as client:
            refused(await ask(client, ALICE, surface, stream=stream), 502, "upstream_error")
            assert await remaining(client) == 10_000 - 5

    play(scenario)
    assert metered == [5]
    line = access_lines(capfd)[0]
    assert (line["outcome"], line["tokens_in"], line["tokens_out"]) == ("refused", 3, 2)


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("surface", ["chat", "responses"])
def test_an_error_in_a_chat_stream_costs_what_it_says(surface: str, begun: bool, metered: list[int]) -> None:
    before = [event(chunk({"content": "Hal"}))] if begun else []
    fails = [SSE, *before, event({"error": {"message": "no"}, "usage": USAGE}), END]

    async def scenario() -> None:
        rules = DAY | {"metrics": {"port": 0}}
        async with Upstream(fails) as up, adapter(upstream(up.url, "chat", api_key=OWN), access=rules) as client:
            answer = await ask(client, ALICE, surface, stream=True)
            assert answer.status == (200 if begun else 502)
            assert await remaining(client) == 10_000 - 5

    play(scenario)
    assert metered == [5]


@pytest.mark.parametrize("script", [responses_stream("Hello", "resp_up"), FIRST], ids=["good", "failed"])
def test_an_answer_that_is_read_again_costs_nothing_more(
    script: Script, metered: list[int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        rules = DAY | {"metrics": {"port": 0}}
        async with (
            Upstream([json_reply(response(id="resp_up"))], script) as up,
            adapter(
                upstream(up.url, "responses", profile="openai", api_key=OWN),
                access=rules,
                store={"url": f"sqlite:///{tmp_path}/store.db"},
            ) as client,
        ):
            assert (await ask(client, ALICE, "responses")).status == 200
            await client.get("/v1/responses/resp_up?stream=true", **bearer(ALICE))
            assert len(up.seen) == 2
            assert await remaining(client) == 10_000 - 5

    play(scenario)
    assert metered == [5]
    lines = access_lines(capfd)
    assert [line["lane"] for line in lines if "tokens_in" in line] == ["raw"]


@pytest.mark.parametrize("fails", [[json_reply(FAILED)], IN_EVENTS, FIRST], ids=["whole", "in events", "at once"])
def test_so_does_one_in_the_background(
    fails: Script, metered: list[int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        rules = DAY | {"metrics": {"port": 0}}
        async with (
            Upstream(fails) as up,
            adapter(
                upstream(up.url, "responses", api_key=OWN),
                access=rules,
                store={"url": f"sqlite:///{tmp_path}/store.db"},
                settle_within=0.1,
            ) as client,
        ):
            shown = await ended(client, await accepted(client))
            assert (shown["status"], shown["error"]) == ("failed", {"code": "server_error", "message": "no"})
            while not metered:  # the upstream's connection has a second for whatever it still says
                await asyncio.sleep(0.02)
            assert await remaining(client) == 10_000 - 5

    play(scenario)
    assert metered == [5]
    (line,) = [line for line in access_lines(capfd) if line["lane"] == "background" and "error" in line]
    assert (line["outcome"], line["tokens_in"], line["tokens_out"]) == ("failed", 3, 2)


def test_an_answer_costs_what_the_attempts_before_it_had_cost_too(
    metered: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(FAILED)]) as first,
            Upstream([json_reply(chat_reply())]) as second,
            adapter(
                upstream(first.url, "responses", "first", api_key=OWN),
                upstream(second.url, "chat", "second", api_key=OWN),
                access=DAY | {"metrics": {"port": 0}},
            ) as client,
        ):
            answer = await ask(client, ALICE)
            assert answer.json["usage"]["total_tokens"] == 5, "the client is told of its answer"
            assert await remaining(client) == 10_000 - 10

    play(scenario)
    assert metered == [10]
    line: dict[str, Any] = access_lines(capfd)[0]
    assert (line["outcome"], line["tokens_in"], line["tokens_out"]) == ("ok", 6, 4)


class Second(Upstream):
    """Pauses until an answer of its has been read."""

    def __init__(self, *scripts: Script) -> None:
        super().__init__(*scripts)
        self.read = asyncio.Event()

    async def _play(self, step: Step, *more: Any) -> bool:
        if not isinstance(step, Sleep):
            return await super()._play(step, *more)
        await self.read.wait()
        return True


def test_of_choices_that_are_calls_of_their_own_those_cost_that_were_answered_before_one_failed(
    metered: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with (
            Second([json_reply(response())], [Sleep(0), json_reply(FAILED)]) as up,
            adapter(upstream(up.url, "responses", api_key=OWN), access=DAY | {"metrics": {"port": 0}}) as client,
        ):
            begin = HubWhole.begin

            async def begun(lane: HubWhole) -> None:
                await begin(lane)
                up.read.set()

            monkeypatch.setattr(HubWhole, "begin", begun)
            refused(await ask(client, ALICE, n=2), 502, "server_error")
            assert await remaining(client) == 10_000 - 10

    play(scenario)
    assert metered == [10]


def test_so_does_a_summary_that_came_to_nothing_before_another_was_made(
    metered: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    """The summarising model says nothing, asked twice; the own one summarises."""

    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply(""))]) as small,
            Upstream([json_reply(chat_reply("the summary"))]) as main,
            adapter(
                upstream(main.url, "chat", "main", models=["m"], api_key=OWN),
                upstream(small.url, "chat", "small", models=["small"], api_key=OWN),
                compaction={"model": "small"},
                access=DAY | {"metrics": {"port": 0}},
            ) as client,
        ):
            answer = await client.post(COMPACT, WAYS["openai"].body, **bearer(ALICE))
            assert answer.json["usage"]["total_tokens"] == 5
            assert (len(small.seen), len(main.seen)) == (2, 1)
            assert await remaining(client) == 10_000 - 15

    play(scenario)
    assert metered == [15]
    line: dict[str, Any] = access_lines(capfd)[0]
    assert (line["outcome"], line["tokens_in"], line["tokens_out"]) == ("ok", 9, 6)


def test_a_summary_is_paid_for_though_the_answer_behind_it_is_refused(metered: list[int]) -> None:
    async def scenario() -> None:
        refusal = json_reply({"error": {"message": "no", "code": "bad"}}, 400)
        async with (
            Upstream([json_reply(chat_reply("the summary"))], [refusal]) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=DAY | {"metrics": {"port": 0}}) as client,
        ):
            body = WAYS["threshold"].body | {"stream": False}
            answer = await client.post("/v1/responses", body, **bearer(ALICE))
            refused(answer, 400, "bad")
            assert len(up.seen) == 2
            assert await remaining(client) == 10_000 - 5

    play(scenario)
    assert metered == [5]


def test_a_summary_is_paid_for_though_the_client_leaves_before_the_answer(
    metered: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply("the summary"))], [Stall()]) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=DAY | {"metrics": {"port": 0}}) as client,
        ):
            body = orjson.dumps(WAYS["threshold"].body)
            fields = bearer(ALICE) | {"content_type": "application/json"}
            _, writer = await client.open(request_bytes("POST", "/v1/responses", body, **fields))
            while len(up.seen) < 2:
                await asyncio.sleep(0.01)
            writer.transport.abort()
            await up.seen[1].finished.wait()

    play(scenario)
    assert metered == [5]
    line = access_lines(capfd)[0]
    assert (line["outcome"], line["tokens_in"], line["tokens_out"]) == ("client_gone", 3, 2)
