"""Section A of the catalogue of faults: malformed input gets a 4xx in the APIs' shape, with `param`, and no upstream call."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from tests.server.harness import ASK, PATH, Response, adapter, ask_bytes, play, read_response, request_bytes, upstream
from tests.server.scripted import Sleep, Upstream, chat_reply, json_reply, response

DIALECTS = ("chat", "responses")
LANES = [(client, up) for client in DIALECTS for up in DIALECTS]


def _refused(answer: Response, status: int, code: str | None = None, param: str | None = None) -> None:
    assert answer.status == status, answer.body
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert answer.headers["x-request-id"]
    if code is not None:
        assert error["code"] == code
    if param is not None:
        assert error["param"] == param


def _asked(raw: bytes, status: int, code: str | None = None, param: str | None = None, **server: Any) -> None:
    """Every lane refuses these bytes in the same way, before it calls anybody."""

    async def scenario() -> None:
        async with Upstream([json_reply({})]) as chat, Upstream([json_reply({})]) as responses:
            sections = (upstream(chat.url, "chat"), upstream(responses.url, "responses", "other"))
            async with adapter(*sections, **server) as client:
                for dialect in DIALECTS:
                    answer = await client.post(PATH[dialect], raw)
                    _refused(answer, status, code, param)
            assert not chat.seen
            assert not responses.seen

    play(scenario)


@pytest.mark.parametrize("raw", [b"", b"   ", b"{", b'{"model": "m"} trailing', b"nonsense"])
def test_a1_invalid_json_or_an_empty_body(raw: bytes) -> None:
    _asked(raw, 400, "invalid_json")


def test_a1_the_text_of_a_broken_body_is_never_in_the_answer() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await client.post(PATH["chat"], b'{"messages": "CANARY-TEXT')
            assert b"CANARY" not in answer.body

    play(scenario)


@pytest.mark.parametrize("raw", [b"[]", b'"text"', b"1", b"null"])
def test_a2_json_that_is_no_object(raw: bytes) -> None:
    _asked(raw, 400, "invalid_json")


@pytest.mark.parametrize(
    "raw", [b'{"model": "\xff\xfe"}', '{"model": "m"}'.encode("utf-16"), b"\xef\xbb\xbf\xef\xbb\xbf{}"]
)
def test_a3_invalid_utf8_utf16_and_a_second_bom(raw: bytes) -> None:
    _asked(raw, 400, "invalid_json")


@pytest.mark.parametrize(("client_speaks", "upstream_speaks"), LANES)
def test_a3_one_bom_is_taken(client_speaks: str, upstream_speaks: str) -> None:
    async def scenario() -> None:
        reply = chat_reply() if upstream_speaks == "chat" else response()
        async with Upstream([json_reply(reply)]) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            body = b"\xef\xbb\xbf" + orjson.dumps(ASK[client_speaks])
            assert (await client.post(PATH[client_speaks], body)).status == 200

    play(scenario)


@pytest.mark.parametrize(("client_speaks", "upstream_speaks"), LANES)
def test_a4_a_lone_surrogate_escape_reaches_the_upstream_as_an_escape(client_speaks: str, upstream_speaks: str) -> None:
    async def scenario() -> None:
        reply = chat_reply() if upstream_speaks == "chat" else response()
        async with Upstream([json_reply(reply)]) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            body = orjson.dumps(ASK[client_speaks]).replace(b"Hi", b"\\ud83d")
            assert (await client.post(PATH[client_speaks], body)).status == 200
            assert b"\\ud83d" in up.seen[0].body

    play(scenario)


def test_a5_of_duplicate_keys_the_upstream_sees_only_the_one_that_was_checked() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            body = b'{"model":"secret","messages":[{"role":"user","content":"Hi"}],"model":"m"}'
            assert (await client.post(PATH["chat"], body)).status == 200
            assert up.seen[0].body.count(b'"model"') == 1
            assert up.seen[0].json["model"] == "m"

    play(scenario)


@pytest.mark.parametrize(
    "number", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"18446744073709551616", b"0.12345678901234567890123"]
)
def test_a6_numbers_that_would_not_survive(number: bytes) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"input":"Hi","temperature":' + number + b"}"
    _asked(body, 400)


@pytest.mark.parametrize("depth", [300, 2000])
@pytest.mark.parametrize(("client_speaks", "upstream_speaks"), LANES)
def test_a7_absurd_depth_is_refused_and_never_a_500(client_speaks: str, upstream_speaks: str, depth: int) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            deep = b"[" * depth + b"]" * depth
            tool = (
                b'[{"type":"function","name":"f","function":{"name":"f","parameters":{"a":'
                + deep
                + b'}},"parameters":{"a":'
                + deep
                + b"}}]"
            )
            body = orjson.dumps(ASK[client_speaks])[:-1] + b',"tools":' + tool + b"}"
            _refused(await client.post(PATH[client_speaks], body), 400)

    play(scenario)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "application/xml"],
)
def test_a8_content_types_that_are_not_json(content_type: str) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await client.post(PATH["chat"], ASK["chat"], content_type=content_type)
            _refused(answer, 415, "unsupported_media_type")
            assert not up.seen

    play(scenario)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf8",
        'application/json;charset="UTF-8"',
        "application/json; charset=utf-8; profile=x",
        "application/json; profile=x; charset=us-ascii;",
        "application/vnd.x+json",
    ],
)
def test_a8_content_types_that_are_json(content_type: str) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            assert (await client.post(PATH["chat"], ASK["chat"], content_type=content_type)).status == 200

    play(scenario)


def test_a8_an_absent_content_type_is_taken() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            assert (await client.request("POST", PATH["chat"], orjson.dumps(ASK["chat"]))).status == 200

    play(scenario)


def test_a9_an_unknown_parameter_passes_on_the_raw_lane_and_is_reported_across_dialects() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            assert (await client.ask("chat", brand_new=[1])).status == 200
            assert up.seen[0].json["brand_new"] == [1]
            answer = await client.ask("responses", brand_new=[1])
            assert answer.headers["x-adapter-losses"] == "brand_new;dropped"
            assert "brand_new" not in up.seen[1].json

    play(scenario)


def test_a12_unknown_parts_and_tools_pass_on_the_raw_lane_and_are_reported_across_dialects() -> None:
    video = {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}
    body = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, video]}],
        "tools": [{"type": "retrieval"}],
    }

    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            assert (await client.ask("chat", **body)).status == 200
            assert up.seen[0].json["messages"][0]["content"][1] == video
            assert up.seen[0].json["tools"] == body["tools"]
        async with Upstream([json_reply(response())]) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.ask("chat", **body)
            assert answer.headers["x-adapter-losses"] == "messages[0].content[1];dropped, tools[0];dropped"
            assert up.seen[0].json["input"][0]["content"] == [{"type": "input_text", "text": "Hi"}]

    play(scenario)


def test_a12_parts_in_the_words_of_responses_are_said_and_of_a_message_of_others_the_loss_is_told() -> None:
    image = {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"}
    said = [{"type": "input_text", "text": "Hi"}, image]

    async def scenario() -> None:
        async with Upstream([json_reply(response())]) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.ask("chat", messages=[{"role": "user", "content": said}])
            assert (answer.status, answer.headers.get("x-adapter-losses")) == (200, None)
            assert up.seen[0].json["input"][0]["content"] == said
            answer = await client.ask("chat", messages=[{"role": "user", "content": [{"type": "video"}]}])
            assert (answer.status, answer.headers["x-adapter-losses"]) == (200, "messages[0].content[0];dropped")
            assert up.seen[1].json["input"][0]["content"] == ""

    play(scenario)


def test_a12_policy_reject_refuses_what_would_be_lost() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), losses="reject") as client,
        ):
            _refused(await client.ask("responses", brand_new=[1]), 400, "unsupported_parameter", "brand_new")
            assert not up.seen

    play(scenario)


def test_policy_ignore_sends_no_header() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), losses="ignore") as client,
        ):
            assert "x-adapter-losses" not in (await client.ask("responses", brand_new=[1])).headers

    play(scenario)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stream", "yes"),
        ("temperature", "1"),
        ("top_p", []),
        ("tools", "all"),
        ("metadata", "m"),
        ("parallel_tool_calls", 1),
    ],
)
@pytest.mark.parametrize(("client_speaks", "upstream_speaks"), LANES)
def test_a10_wrong_types_name_the_field(client_speaks: str, upstream_speaks: str, field: str, value: Any) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            answer = await client.ask(client_speaks, **{field: value})
            _refused(answer, 400)
            assert answer.json["error"]["param"] == field
            assert not up.seen

    play(scenario)


@pytest.mark.parametrize(("client_speaks", "upstream_speaks"), LANES)
def test_unknown_roles_name_the_message(client_speaks: str, upstream_speaks: str) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            field = "messages" if client_speaks == "chat" else "input"
            turns = [{"role": "user", "content": "Hi"}, {"role": "wizard", "content": "Hi"}]
            _refused(await client.ask(client_speaks, **{field: turns}), 400, param=f"{field}[1].role")

    play(scenario)


@pytest.mark.parametrize(
    ("field", "value"), [("background", True), ("conversation", "conv_1"), ("previous_response_id", "resp_1")]
)
@pytest.mark.parametrize("upstream_speaks", DIALECTS)
def test_a11_a15_state_that_nobody_keeps_is_refused(upstream_speaks: str, field: str, value: Any) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            code = "previous_response_not_found" if field == "previous_response_id" else "unsupported_parameter"
            _refused(await client.ask("responses", **{field: value}), 400, code, field)
            assert not up.seen

    play(scenario)


@pytest.mark.parametrize("upstream_speaks", DIALECTS)
def test_an_item_reference_is_refused_by_whoever_keeps_no_items(upstream_speaks: str) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            items = [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "Hi"}]
            answer = await client.ask("responses", input=items)
            _refused(answer, 400)
            assert answer.json["error"]["param"].startswith("input[0]")

    play(scenario)


def test_a14_models_missing_empty_unknown_or_no_name() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, adapter(upstream(up.url, "chat", models=["known"])) as client:
            for dialect in DIALECTS:
                nameless = {key: value for key, value in ASK[dialect].items() if key != "model"}
                _refused(await client.post(PATH[dialect], nameless), 400, "missing_required_parameter", "model")
                _refused(await client.ask(dialect, model=None), 400, "missing_required_parameter", "model")
                _refused(await client.ask(dialect, model=""), 400, "missing_required_parameter", "model")
                _refused(await client.ask(dialect, model=7), 400, "invalid_type", "model")
                _refused(await client.ask(dialect, model="a\nb"), 400, "invalid_value", "model")
                _refused(await client.ask(dialect, model="http://evil.example/v1"), 404, "model_not_found", "model")
            assert not up.seen

    play(scenario)


@pytest.mark.parametrize("url", ["", "data:", "data:image/png", "data:image/png;base64,"])
@pytest.mark.parametrize(("client_speaks", "upstream_speaks"), [("chat", "responses"), ("responses", "chat")])
def test_a16_an_image_without_its_data_is_refused_where_it_stands(
    client_speaks: str, upstream_speaks: str, url: str
) -> None:
    if client_speaks == "chat":
        field, name, part = "messages", "image_url.url", {"type": "image_url", "image_url": {"url": url}}
    else:
        field, name, part = "input", "image_url", {"type": "input_image", "image_url": url, "detail": "auto"}

    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            answer = await client.ask(client_speaks, **{field: [{"role": "user", "content": [part]}]})
            _refused(answer, 400, "invalid_value")
            assert answer.json["error"]["param"] == f"{field}[0].content[0].{name}"
            assert not up.seen

    play(scenario)


@pytest.mark.parametrize(("client_speaks", "upstream_speaks"), LANES)
def test_a17_nothing_said_is_refused(client_speaks: str, upstream_speaks: str) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            field = "messages" if client_speaks == "chat" else "input"
            for nothing in ([], None, *([""] if client_speaks == "responses" else [])):
                _refused(await client.ask(client_speaks, **{field: nothing}), 400, param=field)

    play(scenario)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/responses", "/v1/v1/responses", "/v1/models", "/livez"])
@pytest.mark.parametrize("method", ["DELETE", "PUT", "OPTIONS", "PATCH"])
def test_a18_wrong_methods_say_what_is_allowed(path: str, method: str) -> None:
    async def scenario() -> None:
        async with adapter() as client:
            answer = await client.request(method, path)
            _refused(answer, 405)
            assert answer.headers["allow"] == ("POST" if "completions" in path or "responses" in path else "GET, HEAD")

    play(scenario)


@pytest.mark.parametrize("path", ["/", "/v2/responses", "/v1/embeddings", "/favicon.ico", "/%2e%2e/etc/passwd"])
def test_a18_unknown_paths_answer_in_the_apis_shape(path: str) -> None:
    async def scenario() -> None:
        async with adapter() as client:
            _refused(await client.post(path, {}), 404)
            _refused(await client.get(path), 404)

    play(scenario)


def test_a_misjoined_path_is_told_the_right_one() -> None:
    async def scenario() -> None:
        async with adapter() as client:
            answer = await client.post("/v1/chat/completions/v1/responses", {})
            assert "/v1/responses" in answer.json["error"]["message"]

    play(scenario)


def test_b2_a_stalled_upload_is_a_408() -> None:
    async def scenario() -> None:
        async with adapter(body_timeout=0.1) as client:
            raw = request_bytes("POST", PATH["chat"], b"", content_type="application/json").replace(
                b"content-length: 0", b"content-length: 100"
            )
            answer = await client.send(raw + b'{"model"')
            _refused(answer, 408, "request_timeout")
            assert answer.headers["connection"] == "close"

    play(scenario)


def test_b2_an_upload_that_came_in_time_is_not_late_while_it_is_answered() -> None:
    async def scenario() -> None:
        async with (
            Upstream([Sleep(0.4), json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), body_timeout=0.2) as client,
        ):
            asked = ask_bytes("chat")
            reader, writer = await client.open(asked[:-5])
            await asyncio.sleep(0.05)
            writer.write(asked[-5:])
            assert (await read_response(reader)).status == 200

    play(scenario)


def test_b5_a_body_that_says_it_is_too_large_is_refused_before_it_is_read() -> None:
    async def scenario() -> None:
        async with adapter(body_limit=1000) as client:
            raw = request_bytes("POST", PATH["chat"], b"").replace(b"content-length: 0", b"content-length: 1001")
            answer = await client.send(raw)
            _refused(answer, 413, "payload_too_large")
            assert answer.headers["connection"] == "close", "nobody reads the rest of it"

    play(scenario)


def test_behind_a_request_that_was_read_and_refused_its_connection_goes_on() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            reader, writer = await client.open(request_bytes("POST", PATH["chat"], b"{"))
            assert (await read_response(reader)).status == 400
            writer.write(ask_bytes("chat"))
            assert (await read_response(reader)).status == 200
            writer.close()

    play(scenario)


def test_b6_an_endless_chunked_body_is_cut_at_the_bound() -> None:
    async def scenario() -> None:
        async with adapter(body_limit=100_000) as client:
            head = f"POST {PATH['chat']} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
            reader, writer = await client.open(head)
            sent = 0
            block = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
            try:
                async with asyncio.timeout(5):
                    while not reader.at_eof() and sent < 50_000_000:
                        writer.write(block)
                        sent += len(block)
                        await writer.drain()
                        await asyncio.sleep(0)
                        if reader._buffer:  # type: ignore[attr-defined]
                            break
            except ConnectionError:
                pass
            assert b"413" in bytes(reader._buffer)[:20]  # type: ignore[attr-defined]
            assert sent < 10_000_000
            writer.close()

    play(scenario)


def test_b9_absurd_headers_are_a_431() -> None:
    async def scenario() -> None:
        async with adapter() as client:
            lines = {f"x-{number}": "y" for number in range(300)}
            _refused(await client.post(PATH["chat"], ASK["chat"], **lines), 431, "headers_too_large")
            _refused(await client.post(PATH["chat"], ASK["chat"], x_long="y" * 70_000), 431, "headers_too_large")

    play(scenario)


def test_b10_two_framings_are_refused() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            raw = ask_bytes("chat").replace(b"host: x", b"host: x\r\ntransfer-encoding: chunked", 1)
            assert (await client.send(raw)).status == 400
            assert not up.seen

    play(scenario)
