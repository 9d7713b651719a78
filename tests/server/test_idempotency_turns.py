"""Requests that their clients name, by what becomes of their turns: only one that was answered keeps its key, whatever its answer
took."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapter.server import pulse
from adapter.server.drain import Drain
from tests.server.harness import ASK, PATH, Response, adapter, play, read_head, upstream
from tests.server.named import (
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
    SSE,
    Close,
    Script,
    Stall,
    Upstream,
    chat_reply,
    chunk,
    event,
    json_reply,
    response,
)
from tests.server.test_access import ALICE, OWN, limited
from tests.server.test_lanes import access_lines

# -------------------------------------------------------------------------------------------- what frees the key

BROKEN: dict[str, Script] = {
    "400": [json_reply({"error": {"message": "no"}}, 400)],
    "500": [json_reply({"error": {"message": "no"}}, 500)],
    "an error beside choices": [json_reply(chat_reply("Hel") | {"error": {"message": "no"}})],
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


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_an_answer_that_says_itself_that_it_failed_frees_the_key(
    status: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        failed = response("Hel") | {"status": status, "error": {"code": "server_error", "message": "canary"}}
        async with (
            Upstream([json_reply(failed)], good("responses")) as up,
            adapter(upstream(up.url, "responses")) as client,
        ):
            first = await ask(client, "responses")
            assert (first.status, first.json) == (200, failed)
            again = await ask(client, "responses")
            asked(again)
            replayed(await ask(client, "responses"), again)
            assert len(up.seen) == 2

    play(scenario)
    assert [(line["outcome"], line["lane"]) for line in access_lines(capfd)] == [
        ("failed", "raw"),
        ("ok", "raw"),
        ("ok", "replay"),
    ]


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


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_what_was_deleted_is_told_no_more_and_not_made_again(dialect: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())], [json_reply(chat_reply("Hi", id="chatcmpl-2"))]) as up,
            adapter(upstream(up.url, "chat"), store={"url": f"sqlite:///{tmp_path}/store.db"}) as client,
        ):
            first, other = [await ask(client, dialect, key=key, store=True) for key in ("first", "other")]
            replayed(await ask(client, dialect, key="first", store=True), first)
            assert (await client.request("DELETE", f"{PATH[dialect]}/{first.json['id']}")).status == 200
            refused(await ask(client, dialect, key="first", store=True), 409, NOT_KEPT)
            replayed(await ask(client, dialect, key="other", store=True), other)
            assert len(up.seen) == 2

    play(scenario)


def test_what_its_upstream_deleted_is_told_no_more_either(tmp_path: Path) -> None:
    async def scenario() -> None:
        gone = json_reply({"id": "resp_up", "object": "response", "deleted": True})
        async with (
            Upstream(
                [json_reply(response() | {"id": "resp_up"})], [json_reply({"error": {"message": "no"}}, 500)], [gone]
            ) as up,
            adapter(
                upstream(up.url, "responses", profile="openai"), store={"url": f"sqlite:///{tmp_path}/store.db"}
            ) as client,
        ):
            first = await ask(client, "responses")
            assert (await client.request("DELETE", "/v1/responses/resp_up")).status == 500
            replayed(await ask(client, "responses"), first)
            assert (await client.request("DELETE", "/v1/responses/resp_up")).status == 200
            refused(await ask(client, "responses"), 409, NOT_KEPT)
            assert len(up.seen) == 3

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
