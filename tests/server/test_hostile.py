"""Hostile clients of the catalogue's section B, one named test a row; B10, B12, B13, B24, B25, B27 to B29 stand beside their subjects.

B17 (a name that resolves to another address the second time) has nothing to attack here: this server fetches no address that a
request names, which is what B15 shows. B21, B22 (blobs cut, forged, aimed at an upstream) are laws of `tests/compaction`; B23
(timing of keys) is a dict of SHA-256 digests, tested in `tests/access`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.server.harness import PATH, adapter, ask_bytes, play, read_response, upstream
from tests.server.scripted import SSE, Script, Upstream, chat_reply, chunk, event, json_reply

KEY = "ak-hostile-" + "k" * 30
OTHER = "ak-another-" + "o" * 30
KEYS: dict[str, Any] = {
    "keys": [
        {"id": "one", "key": KEY, "owner": "one", "groups": ["all"]},
        {"id": "two", "key": OTHER, "owner": "two", "groups": ["all"]},
    ],
    "groups": [{"name": "all"}],
}


def test_b2_an_upload_that_goes_on_has_the_more_time_the_more_of_it_came() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), body_timeout=0.2) as client,
        ):
            raw = ask_bytes("chat", user="y" * 1_000_000)
            reader, writer = await client.open(b"")
            for part, pause in ((raw[:-2], 0.05), (raw[-2:-1], 0.6), (raw[-1:], 0)):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
            assert (await read_response(reader)).status == 200

    play(scenario)


@pytest.mark.parametrize("host", ["127.0.0.1/livez", "x/livez?", "evil.example", "x:80@y", ""])
def test_b11_no_host_field_opens_a_door_that_needs_a_key(host: str) -> None:
    """The route that was matched decides, never an address put together from the Host field."""

    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat", api_key="none"), access=KEYS) as client,
        ):
            answer = await client.send(ask_bytes("chat").replace(b"host: x", b"host: " + host.encode(), 1))
            assert answer.status == 401
            assert not up.seen

    play(scenario)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_b14_what_a_model_says_never_becomes_an_event_of_its_own(client_speaks: str) -> None:
    evil = 'x\n\ndata: [DONE]\n\nevent: response.completed\ndata: {"type":"response.completed"}\r\n\r\n\u2028'

    async def scenario() -> None:
        script: Script = [
            SSE,
            event(chunk({"role": "assistant", "content": evil}, id="c\n\ndata: [DONE]\n\n", model="m\ndata: x")),
            event(chunk({}, "stop")),
            event(b"[DONE]"),
        ]
        async with (
            Upstream(script) as up,
            adapter(upstream(up.url, "chat")) as client,
        ):
            answer = await client.ask(client_speaks, stream=True)
            if client_speaks == "chat":
                assert answer.body.count(b"\n\ndata: [DONE]\n\n") == 1
                said = "".join(
                    e["choices"][0]["delta"].get("content") or "" for e in answer.events[:-1] if e["choices"]
                )
            else:
                assert answer.types.count("response.completed") == 1
                said = answer.events[-1]["response"]["output"][0]["content"][0]["text"]
            assert said == evil

    play(scenario)


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest/meta-data", "http://[::ffff:127.0.0.1]/", "file:///etc/passwd", "{own}/secret"],
)
def test_b15_no_address_in_a_request_is_ever_fetched_here(url: str) -> None:
    """It goes on to the upstream as it is, which judges it; this server opens no connection for it."""

    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as trap,
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat")) as client,
        ):
            address = url.replace("{own}", trap.url)
            part = {"type": "input_image", "image_url": address, "detail": "auto"}
            answer = await client.ask("responses", input=[{"role": "user", "content": [part]}])
            assert answer.status == 200
            assert up.seen[0].json["messages"][0]["content"][0]["image_url"]["url"] == address
            assert not trap.seen

    play(scenario)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize(
    "hint",
    [
        {"api_base": "{trap}"},
        {"base_url": "{trap}"},
        {"extra_headers": {"authorization": "Bearer stolen"}},
        {"api_key": "sk-of-the-body"},
        {"provider": {"base_url": "{trap}"}},
    ],
)
def test_b16_the_body_chooses_no_host_no_key_and_no_field(client_speaks: str, hint: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as trap,
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat", api_key="sk-operator")) as client,
        ):
            said = orjson.loads(orjson.dumps(hint).replace(b"{trap}", trap.url.encode()))
            answer = await client.ask(client_speaks, **said)
            assert answer.status == 200
            assert not trap.seen
            assert up.seen[0].headers["authorization"] == "Bearer sk-operator"

    play(scenario)


@pytest.mark.parametrize("model", ["http://{trap}/v1", "../../m", "m\r\nx-evil: 1", "\x00"])
def test_b16_a_model_that_is_an_address_or_holds_control_characters_is_a_name_and_nothing_else(model: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat", models=["m", "gpt-*"])) as client,
        ):
            answer = await client.ask("chat", model=model)
            assert answer.status in (400, 404)
            assert not up.seen

    play(scenario)


@pytest.mark.parametrize("id", ["..%2f..%2fmodels", "%2e%2e", "x" * 10_000, "resp_%00", "resp_%0d%0ax-evil:1", "a%2fb"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_b18_no_id_is_a_path(id: str, method: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        store = {"mode": "client", "url": f"sqlite:///{tmp_path}/store.db"}
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), store=store) as client,
        ):
            answer = await client.request(method, f"/v1/responses/{id}")
            assert answer.status in (400, 404), answer.body
            assert set(answer.json["error"]) == {"message", "type", "param", "code"}
            assert not up.seen

    play(scenario)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("status", [400, 429, 500])
def test_b26_an_upstreams_error_tells_no_key_and_no_account(client_speaks: str, status: int) -> None:
    secrets = ("sk-proj-abcdefghijklmnop0123456789", "org-AbCdEfGh12345678")

    async def scenario() -> None:
        text = f"Request failed for key {secrets[0]} of organization {secrets[1]}"
        async with (
            Upstream([json_reply({"error": {"message": text, "type": "x"}}, status)]) as up,
            adapter(upstream(up.url, "chat", api_key=secrets[0])) as client,
        ):
            answer = await client.ask(client_speaks)
            assert answer.status == status
            assert "Request failed" in answer.json["error"]["message"]
            assert not any(secret.encode() in answer.body for secret in secrets)

    play(scenario)


@pytest.mark.parametrize(("key", "said"), [("of.no.known.form.4711", "[redacted]"), ("key", "key")])
def test_b26_a_key_of_no_known_form_is_not_told_and_a_placeholder_is_a_word(key: str, said: str) -> None:
    async def scenario() -> None:
        refusal = json_reply({"error": {"message": f"what is this key: {key}", "param": key}}, 400)
        async with Upstream([refusal]) as up, adapter(upstream(up.url, "chat", api_key=key)) as client:
            error = (await client.ask("chat")).json["error"]
            assert (error["message"], error["param"]) == (f"what is this key: {said}", said)

    play(scenario)


def test_b31_no_field_of_a_client_breaks_a_line_of_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat")) as client,
        ):
            evil = 'm\n{"event":"forged"}\x1b[31m' + "x" * 100_000
            await client.ask("chat", model=evil)
            await client.post(PATH["chat"], b'{"model":"m\\n","messages":[]}', x_request_id="a b\tc")

    play(scenario)
    lines = [line for line in "".join(capfd.readouterr()).splitlines() if line]
    assert len(lines) == 2
    for line in lines:
        assert orjson.loads(line)["event"] == "request"
        assert len(line) < 4_000
        assert "\x1b" not in line
