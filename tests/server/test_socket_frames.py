"""Frames of a WebSocket: what is taken, what is refused and how, handshakes and bounds."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import PerMessageDeflate

from adapter.server.courses.keeping import KeepsNothing
from adapter.server.socket.recent import Recent
from tests.server.harness import Client, adapter, play, upstream
from tests.server.scripted import (
    END,
    SSE,
    Script,
    Sleep,
    Stall,
    Upstream,
    chunk,
    event,
    json_reply,
    piece,
    response,
    responses_events,
)
from tests.server.sockets import answer, ask, begun, dialects, good, history, only_text, opened, refused, say

# --------------------------------------------------------------------------------------------------------------- frames

BAD_FRAMES: dict[str, Any] = {
    "no_json": "{",
    "no_object": "[]",
    "empty": "",
    "binary": b'{"type":"response.create"}',
    "no_type": "{}",
    "other_type": '{"type":"response.cancel","response_id":"resp_1"}',
    "steers_nothing": '{"type":"response.steer","input":"x"}',
    "steers_what_is_no_id": '{"type":"response.steer","input":"x","previous_response_id":["resp_1"]}',
    "steers_with_nothing": '{"type":"response.steer","input":[],"previous_response_id":"resp_1"}',
    "type_is_no_string": '{"type":[]}',
    "no_model": '{"type":"response.create","input":"Hi"}',
    "no_input": '{"type":"response.create","model":"m"}',
    "input_is_a_number": '{"type":"response.create","model":"m","input":5}',
    "background": '{"type":"response.create","model":"m","input":"Hi","background":true}',
    "generate_is_a_word": '{"type":"response.create","model":"m","input":"Hi","generate":"no"}',
    "previous_is_a_number": '{"type":"response.create","model":"m","input":"Hi","previous_response_id":5}',
    "lane_is_a_list": '{"type":"response.create","model":"m","input":"Hi","stream_id":[]}',
    "huge_number": '{"type":"response.create","model":"m","input":"Hi","seed":99999999999999999999999}',
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_bad_frame_is_an_error_and_the_connection_stays(name: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            await ws.send(BAD_FRAMES[name])
            assert refused(await answer(ws))[0] == 400
            assert not up.seen
            assert only_text(await ask(ws)) == "Hello"

    play(scenario)


def test_fields_may_stand_in_response() -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            await ws.send(orjson.dumps({"type": "response.create", "response": {"model": "m", "input": "Hi"}}).decode())
            assert only_text(await answer(ws)) == "Hello"
            assert history(up.seen[0]) == ["Hi"]

    play(scenario)


@pytest.mark.parametrize(
    "fields", [{"stream": True}, {"stream": False}, {"stream_options": {"include_obfuscation": False}}]
)
def test_what_a_socket_implies_may_be_said(fields: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            assert only_text(await ask(ws, **fields)) == "Hello"

    play(scenario)


@dialects
def test_a_lane_is_repeated_by_every_event(speaks: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good(speaks, "Hello")) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client) as ws,
        ):
            assert {e["stream_id"] for e in await ask(ws, stream_id='a"b')} == {'a"b'}
            assert (await ask(ws, stream_id="c", model="m", previous_response_id="no"))[0]["stream_id"] == "c"
            assert "stream_id" not in up.seen[0].json

    play(scenario)


def test_the_next_turn_need_not_wait_for_the_last_ones_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client may ask again as soon as it has seen the terminal event, although the upstream dawdles."""
    monkeypatch.setattr("adapter.server.calls.lanes._REST_WITHIN", 3600.0)

    async def scenario() -> None:
        lingering: Script = [*good("chat", "One")[0][:-1], Stall()]
        async with (
            Upstream(lingering, *good("chat", "Two")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            previous = (await ask(ws))[-1]["response"]["id"]
            assert only_text(await ask(ws, previous_response_id=previous)) == "Two"
            assert up.seen[0].closed is None

    play(scenario)


def test_every_event_of_one_read_is_a_message() -> None:
    async def scenario() -> None:
        many = b"".join(
            b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"%d,"}}]}\n\n' % n for n in range(1000)
        )
        script: Script = [*begun("chat"), piece(many), event(chunk({}, "stop")), event(b"[DONE]"), END]
        async with (
            Upstream(script) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            assert only_text(await ask(ws)) == "Hel" + "".join(f"{n}," for n in range(1000))

    play(scenario)


def test_on_the_raw_lane_what_nobody_knows_survives() -> None:
    async def scenario() -> None:
        events = [{**e, "x_note": "kept"} for e in responses_events()]
        events.insert(3, {"type": "vendor:thought", "sequence_number": 2, "depth": {"a": [1]}})
        script: Script = [SSE, piece(b": hello\n\n"), *(event(e, e["type"]) for e in events), event(b"[DONE]"), END]
        async with (
            Upstream(script) as up,
            adapter(upstream(up.url, "responses")) as client,
            opened(client) as ws,
        ):
            assert await ask(ws) == events

    play(scenario)


def test_an_answer_whose_items_come_only_with_its_end_can_be_continued() -> None:
    async def scenario() -> None:
        events = responses_events()
        script: Script = [SSE, event(events[0]), event(events[-1]), END]
        async with (
            Upstream(script, *good("responses", "Two")) as up,
            adapter(upstream(up.url, "responses")) as client,
            opened(client) as ws,
        ):
            previous = (await ask(ws))[-1]["response"]["id"]
            await ask(ws, input="B", previous_response_id=previous)
            assert history(up.seen[1]) == ["Hi", "Hello", "B"]

    play(scenario)


def test_a_plain_reply_is_streamed() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(response())]) as up,
            adapter(upstream(up.url, "responses")) as client,
            opened(client) as ws,
        ):
            assert only_text(await ask(ws)) == "Hello"

    play(scenario)


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(("originator", "status"), [("codex_exec", 400), ("someone", 404)])
def test_statuses_are_those_that_the_client_would_get_over_http(originator: str, status: int) -> None:
    async def scenario() -> None:
        error = json_reply({"error": {"message": "gone", "type": "x", "code": None, "param": None}}, 404)
        async with (
            Upstream([error]) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client, originator=originator) as ws,
        ):
            assert refused(await ask(ws))[0] == status

    play(scenario)


def test_the_wait_after_a_429_stands_in_the_message() -> None:
    """Codex reads headers there; without one it would not try again."""

    async def scenario() -> None:
        error = json_reply(
            {"error": {"message": "slow", "type": "requests", "code": "rate_limit_exceeded"}}, 429, "retry-after: 7"
        )
        async with (
            Upstream([error]) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client, originator="codex_exec") as ws,
        ):
            events = await ask(ws)
            assert refused(events) == (429, "rate_limit_exceeded")
            assert events[0]["headers"] == {"retry-after": "7"}

    play(scenario)


def test_an_early_codex_is_told_inside_the_stream() -> None:
    """Its sockets name no agent; from the status of an error message it would not learn what to do."""

    async def scenario() -> None:
        error = json_reply({"error": {"message": "slow", "type": "requests", "code": "rate_limit_exceeded"}}, 429)
        async with (
            Upstream([error]) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client, originator="codex_exec", session_id="a") as ws,
        ):
            events = await ask(ws)
            assert [e["type"] for e in events] == ["response.created", "error", "response.failed"]
            assert "try again in" in events[-1]["response"]["error"]["message"]

    play(scenario)


def test_an_error_keeps_its_status_however_late_it_comes() -> None:
    """There is no status to be committed, so a slow refusal is a refusal still."""

    async def scenario() -> None:
        error = json_reply({"error": {"message": "no"}}, 429)
        async with (
            Upstream([Sleep(0.4), error]) as up,
            adapter(upstream(up.url, "chat"), commit_after=0.1, keepalive=0.1) as client,
            opened(client) as ws,
        ):
            assert refused(await ask(ws))[0] == 429

    play(scenario)


@dialects
def test_a_stream_that_breaks_ends_in_one_failure(speaks: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream([*begun(speaks), END]) as up,
            adapter(upstream(up.url, speaks)) as client,
            opened(client) as ws,
        ):
            events = await ask(ws)
            assert [e["type"] for e in events[-2:]] == ["error", "response.failed"]
            assert [e["sequence_number"] for e in events] == list(range(len(events)))

    play(scenario)


# --------------------------------------------------------------------------------------------------------------- bounds


def test_a_conversation_over_the_bound_is_not_kept() -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "One", "Two", "Three")) as up,
            adapter(upstream(up.url, "chat"), websocket_history=2000) as client,
            opened(client) as ws,
        ):
            small = (await ask(ws))[-1]["response"]["id"]
            assert only_text(await ask(ws, previous_response_id=small)) == "Two"
            large = (await ask(ws, input="x" * 3000))[-1]["response"]["id"]
            assert refused(await ask(ws, previous_response_id=large))[1] == "previous_response_not_found"

    play(scenario)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.lists(st.binary(max_size=300), max_size=4))))
def test_what_is_remembered_never_passes_its_bound(turns: list[tuple[str, list[bytes]]]) -> None:
    recent = Recent(1000, KeepsNothing())
    for name, pieces in turns:
        recent.keep(name, tuple(pieces))
        kept = [found for each in "abcd" if (found := recent.find(each)) is not None]
        assert sum(len(piece) for found in kept for piece in found) <= 1000
        whole = sum(map(len, pieces)) + 64 * (len(pieces) + 1) + 1
        assert recent.find(name) == (tuple(pieces) if whole <= 1000 else None)


def test_a_frame_over_the_bound_ends_the_connection() -> None:
    async def scenario() -> None:
        async with (
            Upstream([Stall()]) as up,
            adapter(upstream(up.url, "chat"), body_limit=1000) as client,
            opened(client) as ws,
        ):
            await say(ws, input="x" * 2000)
            with pytest.raises(ConnectionClosed) as closed:
                await ws.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
            assert not up.seen

    play(scenario)


def test_a_caller_has_so_many_connections_at_once() -> None:
    async def scenario() -> None:
        async with Upstream([Stall()]) as up, adapter(upstream(up.url, "chat"), websocket_connections=2) as client:
            async with opened(client), opened(client):
                with pytest.raises(InvalidStatus) as denied:
                    async with opened(client):
                        pass
                assert denied.value.response.status_code == 429
                assert denied.value.response.headers["retry-after"].isdigit()
            await asyncio.sleep(0.05)
            async with opened(client):
                pass

    play(scenario)


def test_messages_are_compressed() -> None:
    async def scenario() -> None:
        async with Upstream([Stall()]) as up, adapter(upstream(up.url, "chat")) as client, opened(client) as ws:
            assert any(isinstance(extension, PerMessageDeflate) for extension in ws.protocol.extensions)

    play(scenario)


# ------------------------------------------------------------------------------------------------------------ handshakes


async def denied(client: Client, path: str = "/v1/responses", **headers: str) -> InvalidStatus:
    with pytest.raises(InvalidStatus) as raised:
        async with opened(client, path, **headers):
            pass
    return raised.value


def test_without_sockets_the_handshake_gets_426() -> None:
    """Codex goes on over HTTP without a word."""

    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello")) as up,
            adapter(upstream(up.url, "chat"), websocket=False) as client,
        ):
            refusal = (await denied(client)).response
            assert refusal.status_code == 426
            assert orjson.loads(refusal.body or b"")["error"]["code"] == "websocket_unavailable"
            assert (await client.ask("responses")).status == 200

    play(scenario)


@pytest.mark.parametrize(
    ("path", "meant"), [("/v1/openai/responses", "Did you mean /v1/responses?"), ("/v1/realtime", "There is nothing")]
)
def test_a_handshake_at_another_path_is_told_so_as_any_request_is(path: str, meant: str) -> None:
    async def scenario() -> None:
        async with adapter() as client:
            refusal = (await denied(client, path)).response
            assert refusal.status_code == 404
            assert refusal.headers["x-request-id"]
            assert meant in orjson.loads(refusal.body or b"")["error"]["message"]

    play(scenario)


@pytest.mark.parametrize(
    ("origin", "taken"), [("https://elsewhere.example", False), ("null", False), ("http://[", False), (None, True)]
)
def test_a_page_of_another_origin_opens_no_socket(origin: str | None, taken: bool) -> None:
    """Browsers ask nobody before they open a socket to this machine; only its own pages may."""

    async def scenario() -> None:
        async with Upstream([Stall()]) as up, adapter(upstream(up.url, "chat")) as client:
            if taken:
                async with opened(client, origin=f"http://127.0.0.1:{client.port}"):
                    pass
            else:
                assert (await denied(client, origin=origin or "")).response.status_code == 403

    play(scenario)


def test_two_credentials_are_refused_at_the_handshake() -> None:
    async def scenario() -> None:
        async with Upstream([Stall()]) as up, adapter(upstream(up.url, "chat")) as client:
            refusal = (await denied(client, authorization="Bearer a", x_api_key="b")).response
            assert refusal.status_code == 400

    play(scenario)


def test_other_paths_have_no_sockets() -> None:
    async def scenario() -> None:
        async with Upstream([Stall()]) as up, adapter(upstream(up.url, "chat")) as client:
            for path in ("/v1/chat/completions", "/v1/models", "/"):
                assert (await denied(client, path)).response.status_code in (403, 404)

    play(scenario)


def test_every_turn_carries_the_callers_key_and_its_own_request_id() -> None:
    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "One", "Two")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(
                client, authorization="Bearer sk-1", openai_beta="responses_websockets=2026-02-06", x_request_id="r1"
            ) as ws,
        ):
            await ask(ws)
            await ask(ws)
            assert [seen.headers["authorization"] for seen in up.seen] == ["Bearer sk-1"] * 2
            assert [seen.headers["x-request-id"] for seen in up.seen] == ["r1.1", "r1.2"]
            assert "openai-beta" not in up.seen[0].headers

    play(scenario)


def test_a_request_id_that_the_client_did_not_give_is_a_uuid_in_every_turn() -> None:
    """llama-cpp-python refuses any other `x-request-id`."""

    async def scenario() -> None:
        async with (
            Upstream(*good("chat", "Hello", "Again")) as up,
            adapter(upstream(up.url, "chat")) as client,
            opened(client) as ws,
        ):
            await ask(ws)
            await ask(ws)
            first, second = (UUID(seen.headers["x-request-id"]).hex for seen in up.seen)
            assert (first[:24], first[24:], second[24:]) == (second[:24], "00000001", "00000002")

    play(scenario)
