"""B33: requests that their clients name. Whatever is sent twice is answered once, and only what was answered is."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from adapter.server import idempotency, pulse
from adapter.server.drain import Drain
from tests.server.compacting import COMPACT, HISTORY
from tests.server.harness import ASK, PATH, Client, Response, adapter, play, read_head, request_bytes, upstream
from tests.server.scripted import (
    SSE,
    Close,
    Script,
    Stall,
    Upstream,
    chat_reply,
    chat_stream,
    chunk,
    event,
    json_reply,
    response,
    responses_stream,
)
from tests.server.test_access import ALICE, ALICE_2, BOB, OPEN_TO_ALL, OWN, bearer, limited

DIALECTS = ("chat", "responses")
KEY = "canary-key-of-a-request"
REPLAYED = "idempotent-replayed"
IN_USE, NOT_KEPT, REUSED = "idempotency_key_in_use", "idempotency_answer_not_kept", "idempotency_key_reused"

lanes = pytest.mark.parametrize(("client_speaks", "upstream_speaks"), [(a, b) for a in DIALECTS for b in DIALECTS])


def good(dialect: str, text: str = "Hello") -> Script:
    return [json_reply(chat_reply(text) if dialect == "chat" else response(text))]


def streamed(dialect: str) -> Script:
    return chat_stream("Hello") if dialect == "chat" else responses_stream()


def named(key: str = KEY, secret: str | None = None) -> dict[str, str]:
    return {"idempotency_key": key} | ({} if secret is None else bearer(secret))


class Held(Upstream):
    """Answers when it is let."""

    def __init__(self, *scripts: Script) -> None:
        super().__init__(*scripts)
        self.go = asyncio.Event()

    async def _play(self, *playing: Any) -> bool:
        await self.go.wait()
        return await super()._play(*playing)


async def ask(
    client: Client, dialect: str = "chat", *, key: str = KEY, secret: str | None = None, **extra: Any
) -> Response:
    return await client.ask(dialect, headers=named(key, secret), **extra)


def ask_bytes(dialect: str, **extra: Any) -> bytes:
    body = orjson.dumps(ASK[dialect] | extra)
    return request_bytes("POST", PATH[dialect], body, content_type="application/json", **named())


def asked(answer: Response) -> None:
    """It is an answer of its own."""
    assert (answer.status, answer.whole) == (200, True), answer.body
    assert REPLAYED not in answer.headers


def replayed(answer: Response, first: Response) -> None:
    """It is the first answer again."""
    assert (answer.status, answer.body) == (200, first.body), answer.body
    assert answer.headers[REPLAYED] == "true"
    assert answer.headers["content-type"] == "application/json"


def refused(answer: Response, status: int, code: str) -> None:
    assert (answer.status, answer.whole) == (status, True), answer.body
    error = answer.json["error"]
    assert (set(error), error["code"]) == ({"message", "type", "param", "code"}, code)
    assert KEY not in answer.body.decode() + str(answer.headers)
    assert REPLAYED not in answer.headers


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


async def until_over(client: Client, dialect: str = "chat", **extra: Any) -> Response:
    """The answer to the request once the one before it is over: a turn lets go of its upstream behind its answer's end."""
    while True:
        answer = await ask(client, dialect, **extra)
        if answer.status != 409 or answer.json["error"]["code"] != IN_USE:
            return answer
        await asyncio.sleep(0.01)


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


# -------------------------------------------------------------------------------------------- what frees the key

BROKEN: dict[str, Script] = {
    "400": [json_reply({"error": {"message": "no"}}, 400)],
    "500": [json_reply({"error": {"message": "no"}}, 500)],
    "no answer": [Close()],
    "half an answer": [b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{", Close()],
}
BEGUN: Script = [SSE, event(chunk({"role": "assistant", "content": "Hel"}))]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", BROKEN)
def test_an_error_frees_the_key(name: str, stream: bool) -> None:
    async def scenario() -> None:
        better = streamed("chat") if stream else good("chat")
        async with (
            Upstream(BROKEN[name], BROKEN[name], better) as up,
            adapter(upstream(up.url, "chat", api_key="none")) as client,
        ):
            statuses = []
            while not statuses or statuses[-1] != 200:
                statuses.append((await until_over(client, stream=stream)).status)
            assert 400 <= statuses[0] != 409
            assert up.seen[-1].body == up.seen[0].body

    play(scenario)


def test_a_stream_that_fails_in_the_middle_frees_the_key() -> None:
    async def scenario() -> None:
        async with (
            Upstream([*BEGUN, Close()], streamed("chat")) as up,
            adapter(upstream(up.url, "chat", api_key="none")) as client,
        ):
            assert b'"error"' in (await ask(client, stream=True)).body
            again = await until_over(client, stream=True)
            asked(again)
            assert again.events[-1] == "[DONE]"
            assert len(up.seen) == 2

    play(scenario)


def test_a_plain_answer_that_fails_behind_its_commit_frees_the_key() -> None:
    async def scenario() -> None:
        async with (
            Held(BROKEN["500"], good("chat")) as up,
            adapter(upstream(up.url, "chat", api_key="none"), commit_after=0.1) as client,
        ):
            reader, _ = await client.open(ask_bytes("chat"))
            assert (await read_head(reader)).status == 200
            up.go.set()
            assert not (await reader.read()).endswith(b"0\r\n\r\n")
            asked(await until_over(client))

    play(scenario)


def test_a_plain_answer_behind_its_commit_is_kept_without_the_white_space() -> None:
    async def scenario() -> None:
        async with Held(good("chat")) as up, adapter(upstream(up.url, "chat"), commit_after=0.1) as client:
            reader, _ = await client.open(ask_bytes("chat"))
            assert (await read_head(reader)).status == 200
            up.go.set()
            first = await reader.readuntil(b"0\r\n\r\n")
            assert first.startswith(b"1\r\n \r\n")
            again = await ask(client)
            assert again.headers[REPLAYED] == "true"
            assert b"\r\n%b\r\n" % again.body in first
            assert again.json == chat_reply()
            assert len(up.seen) == 1

    play(scenario)


def test_a_request_that_cannot_be_answered_frees_the_key() -> None:
    async def scenario() -> None:
        async with Upstream(good("chat")) as up, adapter(upstream(up.url, "chat")) as client:
            for wrong in (b"{", b'{"model": "m"}', orjson.dumps(ASK["chat"] | {"n": "x"})):
                assert (await client.post(PATH["chat"], wrong, **named())).status == 400
            asked(await ask(client))
            assert len(up.seen) == 1

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("noticed", [True, False])
def test_a_client_that_leaves_frees_the_key(noticed: bool, stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: its turn may not have ended when it tries again."""

    async def scenario() -> None:
        if not noticed:
            monkeypatch.setattr(pulse, "_BEGINS_AFTER", 1000.0)
        stalls: Script = [*BEGUN, Stall()] if stream else [Stall()]
        better = streamed("chat") if stream else good("chat")
        async with (
            Upstream(stalls, better) as up,
            adapter(upstream(up.url, "chat"), commit_after=100, keepalive=100) as client,
        ):
            reader, writer = await client.open(ask_bytes("chat", stream=stream))
            await (read_head(reader) if stream else up.arrived.wait())
            writer.transport.abort()
            asked(await until_over(client, stream=stream))
            assert len(up.seen) == 2
            if not noticed:
                for connection in list(up._tasks):  # or it would never end
                    connection.cancel()
            again = await until_over(client, stream=stream)
            assert again.headers.get(REPLAYED) == (None if stream else "true")
            assert len(up.seen) == 2

    play(scenario)


def test_a_client_that_does_not_read_frees_the_key() -> None:
    async def scenario() -> None:
        flood: Script = [SSE, *[event(chunk({"content": "x" * 60_000}))] * 2000, Stall()]
        async with (
            Upstream(flood, streamed("chat")) as up,
            adapter(upstream(up.url, "chat"), keepalive=0.1, commit_after=0.1, write_timeout=0.3) as client,
        ):
            await client.open(ask_bytes("chat", stream=True))
            await up.arrived.wait()
            asked(await until_over(client, stream=True))
            assert len(up.seen) == 2

    play(scenario)


def test_a_server_that_stops_frees_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    drains: list[Drain] = []
    monkeypatch.setattr(Drain, "listen", lambda drain: drains.append(drain))

    async def scenario() -> None:
        async with Upstream([Stall()], good("chat")) as up, adapter(upstream(up.url, "chat")) as client:
            first = asyncio.ensure_future(ask(client))
            await up.arrived.wait()
            for _ in range(2):
                drains[0].begin(signal.SIGINT, lambda: None)
            refused(await first, 503, "server_shutting_down")
            asked(await ask(client))

    play(scenario)


# ----------------------------------------------------------------------------------------- everything else there is


def test_an_answer_that_another_upstream_gave_is_told_again_without_asking_either() -> None:
    async def scenario() -> None:
        async with (
            Upstream(BROKEN["500"]) as bad,
            Upstream(good("responses")) as other,
            adapter(upstream(bad.url, "chat", "bad"), upstream(other.url, "responses", "other")) as client,
        ):
            first = await ask(client)
            asked(first)
            replayed(await ask(client), first)
            assert (len(bad.seen), len(other.seen)) == (1, 1)

    play(scenario)


def test_n_choices_of_n_calls_are_one_answer() -> None:
    async def scenario() -> None:
        async with Upstream(good("responses")) as up, adapter(upstream(up.url, "responses")) as client:
            first = await ask(client, n=3)
            assert len(first.json["choices"]) == 3
            replayed(await ask(client, n=3), first)
            assert len(up.seen) == 3

    play(scenario)


def test_a_background_response_is_begun_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            Upstream(good("chat")) as up,
            adapter(upstream(up.url, "chat"), store={"url": f"sqlite:///{tmp_path}/store.db"}) as client,
        ):
            first = await ask(client, "responses", background=True)
            assert first.json["status"] == "queued"
            replayed(await ask(client, "responses", background=True), first)
            while (await client.get(f"/v1/responses/{first.json['id']}")).json["status"] != "completed":
                await asyncio.sleep(0.02)
            replayed(await ask(client, "responses", background=True), first)
            cancel = f"/v1/responses/{first.json['id']}/cancel"
            assert [(await client.post(cancel, b"", **named())).status for _ in range(2)] == [200, 200]
            assert len(up.seen) == 1

    play(scenario)


def test_what_is_made_in_the_store_is_made_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            Upstream(good("chat")) as up,
            adapter(upstream(up.url, "chat"), store={"url": f"sqlite:///{tmp_path}/store.db"}) as client,
        ):

            async def twice(path: str, body: Any) -> Response:
                first, again = [await client.post(path, body, **named(path)) for _ in range(2)]
                asked(first)
                replayed(again, first)
                return first

            made = (await twice("/v1/conversations", {"metadata": {"a": "b"}})).json["id"]
            items = f"/v1/conversations/{made}/items"
            await twice(items, {"items": [{"role": "user", "content": "one"}]})
            assert len((await client.get(items)).json["data"]) == 1
            await twice("/v1/responses", ASK["responses"] | {"conversation": made})
            assert len((await client.get(items)).json["data"]) == 3
            kept = (await twice("/v1/chat/completions", ASK["chat"] | {"store": True})).json["id"]
            await twice(f"/v1/chat/completions/{kept}", {"metadata": {"a": "c"}})
            assert len((await client.get("/v1/chat/completions")).json["data"]) == 1
            await twice("/v1/responses/input_tokens", ASK["responses"])
            assert len(up.seen) == 2

    play(scenario)


def test_an_answer_that_is_not_to_be_stored_is_told_again_and_is_in_no_database(tmp_path: Path) -> None:
    async def scenario() -> None:
        def stored() -> list[str]:
            with closing(sqlite3.connect(tmp_path / "store.db")) as database:
                return list(database.iterdump())

        async with (
            Upstream(good("responses")) as up,
            adapter(upstream(up.url, "responses"), store={"url": f"sqlite:///{tmp_path}/store.db"}) as client,
        ):
            asked(await ask(client, "responses", key="stored"))
            before = stored()
            first = await ask(client, "responses", store=False)
            asked(first)
            replayed(await ask(client, "responses", store=False), first)
            assert stored() == before
            assert KEY not in str(before)

    play(scenario)


def test_a_replay_costs_nothing_of_any_limit() -> None:
    async def scenario() -> None:
        rules = limited(owner_limits={"requests_per_minute": 2, "tokens_per_day": 10_000})
        async with (
            Upstream(good("chat")) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=rules) as client,
        ):
            first = await ask(client, secret=ALICE)
            for _ in range(5):
                replayed(await ask(client, secret=ALICE), first)
            last = await ask(client, secret=ALICE, key="last")
            assert (last.status, last.headers["x-ratelimit-remaining-requests"]) == (200, "0")
            refused(await ask(client, secret=ALICE, key="too many"), 429, "rate_limit_exceeded")
            assert len(up.seen) == 2

    play(scenario)


def test_a_request_that_a_limit_refused_frees_the_key() -> None:
    async def scenario() -> None:
        rules = limited(owner_limits={"streams": 1})
        async with (
            Held(good("chat")) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=rules) as client,
        ):
            other = asyncio.ensure_future(ask(client, secret=ALICE, key="other"))
            await up.arrived.wait()
            refused(await ask(client, secret=ALICE), 429, "rate_limit_exceeded")
            up.go.set()
            await other
            asked(await ask(client, secret=ALICE))

    play(scenario)


def test_the_access_line_tells_a_replay_and_never_the_key_or_the_body(capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with Upstream(good("chat", "canary-answer")) as up, adapter(upstream(up.url, "chat")) as client:
            for content in ("canary-prompt", "canary-prompt", "canary-other"):
                await ask(client, messages=[{"role": "user", "content": content}])
            await ask(client, key=KEY * 20)

    play(scenario)
    said = "".join(capfd.readouterr())
    lines = [orjson.loads(text) for text in said.splitlines() if '"event":"request"' in text]
    assert [(line["status"], line["outcome"], line["lane"]) for line in lines] == [
        (200, "ok", "raw"),
        (200, "ok", "replay"),
        (422, "refused", ""),
        (400, "refused", ""),
    ]
    assert (lines[1]["upstream"], lines[1].get("tokens_in")) == ("", None)
    assert lines[2]["error"] == REUSED
    assert "canary" not in said


# ------------------------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize(("bound", "value"), [("_MOST", 2), ("_MOST_BYTES", 3000)])
def test_the_oldest_answers_are_forgotten_when_there_are_too_many(
    bound: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(idempotency, bound, value)
        async with Upstream(good("chat", "x" * 1000)) as up, adapter(upstream(up.url, "chat")) as client:
            told = {key: await ask(client, key=key) for key in ("1", "2", "3")}
            assert len(up.seen) == 3
            replayed(await ask(client, key="2"), told["2"])
            replayed(await ask(client, key="3"), told["3"])
            asked(await ask(client, key="1"))

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
