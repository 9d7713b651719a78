"""B33: requests that their clients name. Whatever is sent twice is answered once, and told to nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from adapter.server import idempotency
from tests.server.compacting import COMPACT, HISTORY
from tests.server.harness import ASK, adapter, play, upstream
from tests.server.named import (
    DIALECTS,
    IN_USE,
    KEY,
    NOT_KEPT,
    REPLAYED,
    REUSED,
    Held,
    ask,
    ask_bytes,
    asked,
    good,
    named,
    refused,
    replayed,
    streamed,
    until_over,
)
from tests.server.scripted import (
    Script,
    Upstream,
    chat_reply,
    json_reply,
)
from tests.server.test_access import ALICE, ALICE_2, BOB, OPEN_TO_ALL, OWN

lanes = pytest.mark.parametrize(("client_speaks", "upstream_speaks"), [(a, b) for a in DIALECTS for b in DIALECTS])


# ---------------------------------------------------------------------------------------------------------- the row


@lanes
def test_the_same_request_again_is_told_the_same_answer_and_asks_nobody(
    client_speaks: str, upstream_speaks: str
) -> None:
    async def scenario() -> None:
        async with (
            Upstream(good(upstream_speaks), good(upstream_speaks, "Another")) as up,
            adapter(upstream(up.url, upstream_speaks)) as client,
        ):
            first = await ask(client, client_speaks)
            asked(first)
            again = [await ask(client, client_speaks) for _ in range(2)]
            for answer in again:
                replayed(answer, first)
            assert len({answer.headers["x-request-id"] for answer in (first, *again)}) == 3
            assert len(up.seen) == 1
            assert "idempotency-key" not in up.seen[0].headers
            other = await ask(client, client_speaks, key="another")
            asked(other)
            assert b"Another" in other.body
            asked(await client.ask(client_speaks))

    play(scenario)


@pytest.mark.parametrize("prefix", ["/v1", "", "/v1/v1"])
def test_a_compaction_is_paid_for_once(prefix: str) -> None:
    async def scenario() -> None:
        script = [json_reply(chat_reply("A summary of what was said, of some length."))]
        async with Upstream(script) as up, adapter(upstream(up.url, "chat")) as client:
            path = COMPACT.replace("/v1", prefix)
            first, again = [await client.post(path, {"model": "m", "input": HISTORY}, **named()) for _ in range(2)]
            asked(first)
            replayed(again, first)
            assert len(up.seen) == 1

    play(scenario)


def test_a_replay_says_what_became_of_the_request_and_no_limits_of_its_moment() -> None:
    async def scenario() -> None:
        limits = "x-ratelimit-remaining-tokens: 99"
        script: Script = [json_reply(chat_reply(), 200, limits, "openai-processing-ms: 7", "set-cookie: a=1")]
        async with Upstream(script) as up, adapter(upstream(up.url, "chat")) as client:
            first, again = [await ask(client, "responses", truncation="auto") for _ in range(2)]
            replayed(again, first)
            assert first.headers["x-ratelimit-remaining-tokens"] == "99"
            assert first.headers["x-adapter-losses"] == again.headers["x-adapter-losses"]
            own = {"x-request-id", "x-ratelimit-remaining-tokens", "date"}
            assert set(again.headers) - own - {REPLAYED} == set(first.headers) - own
            assert "x-ratelimit-remaining-tokens" not in again.headers

    play(scenario)


@pytest.mark.parametrize("running", [False, True], ids=["answered", "in flight"])
def test_another_request_under_the_same_key_is_refused_and_changes_nothing(running: bool) -> None:
    async def scenario() -> None:
        async with Held(good("chat")) as up, adapter(upstream(up.url, "chat")) as client:
            first = asyncio.ensure_future(ask(client))
            await up.arrived.wait()
            if not running:
                up.go.set()
                await first
            refused(await ask(client, temperature=1), 422, REUSED)
            refused(await ask(client, "responses"), 422, REUSED)
            refused(await client.post("/chat/completions", ASK["chat"], **named()), 422, REUSED)
            up.go.set()
            answer = await first
            asked(answer)
            replayed(await ask(client), answer)
            assert len(up.seen) == 1

    play(scenario)


def test_the_key_of_an_owner_is_nobody_elses() -> None:
    async def scenario() -> None:
        scripts = [good("chat", "of Alice"), good("chat", "of Bob")]
        async with (
            Upstream(*scripts) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=OPEN_TO_ALL) as client,
        ):
            alice = await ask(client, secret=ALICE)
            bob = await ask(client, secret=BOB)
            asked(alice)
            asked(bob)
            replayed(await ask(client, secret=ALICE), alice)
            replayed(await ask(client, secret=ALICE_2), alice)
            replayed(await ask(client, secret=BOB), bob)
            asked(await ask(client, secret=BOB, key="b", temperature=1))
            refused(await ask(client, secret="ak-unknown"), 401, "invalid_api_key")
            assert len(up.seen) == 3

    play(scenario)


def test_where_there_are_no_keys_it_is_the_credentials() -> None:
    async def scenario() -> None:
        scripts = [good("chat", name) for name in ("one", "two", "nobody")]
        async with Upstream(*scripts) as up, adapter(upstream(up.url, "chat")) as client:
            told = {secret: await ask(client, secret=secret) for secret in ("sk-one", "sk-two", None)}
            for secret, answer in told.items():
                asked(answer)
                replayed(await ask(client, secret=secret), answer)
            replayed(await client.ask("chat", headers={"x_api_key": "sk-one", **named()}), told["sk-one"])
            assert len(up.seen) == 3

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_request_in_flight_is_told_to_wait(stream: bool) -> None:
    async def scenario() -> None:
        async with (
            Held(streamed("chat") if stream else good("chat")) as up,
            adapter(upstream(up.url, "chat")) as client,
        ):
            first = asyncio.ensure_future(ask(client, stream=stream))
            await up.arrived.wait()
            early = await ask(client, stream=stream)
            refused(early, 409, IN_USE)
            assert early.headers["retry-after"] == "1"
            assert "x-should-retry" not in early.headers
            up.go.set()
            asked(await first)
            assert len(up.seen) == 1

    play(scenario)


@lanes
def test_a_stream_that_was_given_is_not_given_again(client_speaks: str, upstream_speaks: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream(streamed(upstream_speaks)) as up,
            adapter(upstream(up.url, upstream_speaks)) as client,
        ):
            asked(await ask(client, client_speaks, stream=True))
            again = await until_over(client, client_speaks, stream=True)
            refused(again, 409, NOT_KEPT)
            assert again.headers["x-should-retry"] == "false"
            assert len(up.seen) == 1

    play(scenario)


def test_an_answer_that_is_too_long_to_be_kept_is_as_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with Upstream(good("chat"), good("chat", "x" * 2000)) as up, adapter(upstream(up.url, "chat")) as client:
            monkeypatch.setattr(idempotency, "LARGEST", 1000)
            short = await ask(client, key="short")
            asked(await ask(client))
            refused(await ask(client), 409, NOT_KEPT)
            replayed(await ask(client, key="short"), short)
            assert len(up.seen) == 2

    play(scenario)


@pytest.mark.parametrize(
    "key", ["", "k" * 256, "schlüssel", "a\tb"], ids=["empty", "long", "not ASCII", "not printable"]
)
def test_what_is_no_key_is_refused(key: str) -> None:
    async def scenario() -> None:
        async with Upstream(good("chat")) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await ask(client, key=key)
            refused(answer, 400, "invalid_value")
            assert "255" in answer.json["error"]["message"]
            assert not up.seen
            longest = [await ask(client, key="k" * 255) for _ in range(2)]
            replayed(longest[1], longest[0])

    play(scenario)


def test_two_keys_in_one_request_are_refused_and_the_same_twice_is_one() -> None:
    async def scenario() -> None:
        async with Upstream(good("chat")) as up, adapter(upstream(up.url, "chat")) as client:
            for other, status in ((b"other", 400), (KEY.encode(), 200)):
                raw = ask_bytes("chat").replace(b"host: x", b"host: x\r\nIdempotency-Key: " + other)
                assert (await client.send(raw)).status == status
            assert len(up.seen) == 1

    play(scenario)


# ------------------------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize(("bound", "value"), [("_MOST", 2), ("_MOST_BYTES", 3000)])
def test_the_oldest_answers_are_forgotten_when_there_are_too_many(
    bound: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(idempotency, bound, value)
        async with Upstream(good("chat", "x" * 1000)) as up, adapter(upstream(up.url, "chat")) as client:
            told = {key: await ask(client, key=key) for key in ("1", "2", "3", "4")}
            assert len(up.seen) == 4
            replayed(await ask(client, key="3"), told["3"])
            replayed(await ask(client, key="4"), told["4"])
            for key in ("2", "1"):
                asked(await ask(client, key=key))

    play(scenario)


def test_an_answer_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(idempotency, "KEPT_FOR", 0.1)
        async with Upstream(good("chat")) as up, adapter(upstream(up.url, "chat")) as client:
            for key in ("1", "2"):
                asked(await ask(client, key=key))
                while REPLAYED in (await ask(client, key=key)).headers:
                    await asyncio.sleep(0.02)
            assert len(up.seen) == 4

    play(scenario)


# ------------------------------------------------------------------------------------------------ the official client


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_the_official_client_sees(dialect: str) -> None:
    async def scenario() -> None:
        async with Held(good("chat")) as up, adapter(upstream(up.url, "chat")) as client:

            async def told(answer: Any) -> None:
                if answer.status_code == 409:
                    up.go.set()

            base_url, listening = (
                f"http://127.0.0.1:{client.port}/v1",
                openai.DefaultAsyncHttpxClient(event_hooks={"response": [told]}),
            )
            async with openai.AsyncOpenAI(
                base_url=base_url, api_key="sk-x", max_retries=5, http_client=listening
            ) as sdk:

                def call(**extra: Any) -> Any:
                    given: dict[str, Any] = {**ASK[dialect], **extra, "extra_headers": {"Idempotency-Key": KEY}}
                    made: Any = sdk.chat.completions if dialect == "chat" else sdk.responses
                    return made.with_raw_response.create(**given)

                first = asyncio.ensure_future(call())
                await up.arrived.wait()
                again = await call()  # sent again when it is told that it came too early
                assert (again.headers[REPLAYED], again.content) == ("true", (await first).content)
                assert again.parse() == (await first).parse()
                with pytest.raises(openai.UnprocessableEntityError):
                    await call(temperature=1)
                assert len(up.seen) == 1

    play(scenario)
