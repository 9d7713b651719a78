"""Section C of the catalogue of faults: trouble before the first byte is an HTTP status, and never the upstream's page."""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import Callable
from typing import Any, cast

import orjson
import pytest

from tests.server.harness import Response, adapter, play, upstream
from tests.server.scripted import (
    END,
    SSE,
    Close,
    HalfClose,
    Reset,
    Script,
    Sleep,
    Stall,
    Upstream,
    chat_reply,
    chat_stream,
    chunk,
    event,
    head,
    json_reply,
    piece,
    response,
    responses_events,
    responses_stream,
)

CELLS = [
    pytest.param(client, up, stream, id=f"{client}-over-{up}-{'stream' if stream else 'plain'}")
    for client in ("chat", "responses")
    for up in ("chat", "responses")
    for stream in (False, True)
]
cells = pytest.mark.parametrize(("client_speaks", "upstream_speaks", "stream"), CELLS)


def answered(client_speaks: str, upstream_speaks: str, stream: bool, script: Script, **keys: Any) -> Response:
    """What the client gets when the upstream plays this script."""
    found: list[Response] = []

    async def scenario() -> None:
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks, **keys)) as client:
            found.append(await client.ask(client_speaks, stream=stream))

    play(scenario)
    return found[0]


def refused(answer: Response, status: int, code: str | None = None) -> None:
    """An error of the APIs' shape, with this status."""
    assert (answer.status, answer.whole) == (status, True), answer.body
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    if code is not None:
        assert error["code"] == code


REFUSALS: list[tuple[str, Script, int, str]] = [
    ("c17_a_5xx_page", [head(500, "text/html", length=22) + b"<html>SECRET-PAGE</htm"], 502, "upstream_bad_content"),
    ("c18_a_500_without_a_body", [head(500, length=0)], 502, "upstream_bad_content"),
    ("c18_a_503_without_a_body", [head(503, length=0)], 502, "upstream_bad_content"),
    ("c19_a_login_page", [head(200, "text/html", length=16) + b"<html>hello</htm"], 502, "upstream_bad_content"),
    ("c21_an_empty_body", [head(200, length=0)], 502, "upstream_empty"),
    ("c21_a_204", [b"HTTP/1.1 204 X\r\n\r\n"], 502, "upstream_empty"),
    ("c22_json_cut_by_its_length", [head(200, length=100) + b'{"id":', Close()], 502, "upstream_truncated"),
    ("c22_json_cut_by_a_clean_end", [head(200) + piece(b'{"id":"x"') + END], 502, "upstream_truncated"),
    ("c22_json_cut_in_a_string", [head(200, length=12) + b'{"id":"x\\u00'], 502, "upstream_truncated"),
    ("c23_not_json", [head(200, length=12) + b"{not json at"], 502, "upstream_invalid"),
    ("c23_a_nan", [head(200, length=12) + b'{"usage":NaN'], 502, "upstream_invalid"),
    ("c23_more_than_json", [head(200, length=8) + b'{"id":1}'[:7] + b"]"], 502, "upstream_invalid"),
    ("c23_the_wrong_top_type", [head(200, length=4) + b"[{}]"], 502, "upstream_invalid"),
    ("c23_no_choices_and_no_output", [json_reply({"id": "x"})], 502, "upstream_invalid"),
    (
        "c26_a_redirect",
        [b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n"],
        502,
        "upstream_redirect",
    ),
    (
        "c28_a_compressed_answer",
        [json_reply(zlib.compress(b"{}"), 200, "content-encoding: gzip")],
        502,
        "upstream_bad_content",
    ),
    ("c5_closed_before_any_byte", [Close()], 502, "upstream_unreachable"),
    ("c5_reset_before_any_byte", [Reset()], 502, "upstream_unreachable"),
    (
        "c7_a_status_that_http_does_not_have",
        [json_reply({"error": {"message": "x"}}, 999)],
        502,
        "upstream_bad_content",
    ),
    ("c7_garbage_instead_of_http", [b"SSH-2.0-OpenSSH\r\n\r\n", Close()], 502, "upstream_bad_content"),
]


@pytest.mark.parametrize(("script", "status", "code"), [pytest.param(s, n, c, id=i) for i, s, n, c in REFUSALS])
@cells
def test_trouble_before_the_first_byte(
    client_speaks: str, upstream_speaks: str, stream: bool, script: Script, status: int, code: str
) -> None:
    answer = answered(client_speaks, upstream_speaks, stream, script)

    refused(answer, status, code)
    assert b"SECRET" not in answer.body


@pytest.mark.parametrize("status", [429, 500])
@pytest.mark.parametrize(("said", "told"), [("true", "true"), ("false", "false"), ("maybe", None)])
@cells
def test_c14_an_upstream_that_was_asked_once_says_whether_to_come_again(
    client_speaks: str, upstream_speaks: str, stream: bool, said: str, told: str | None, status: int
) -> None:
    """It is what the official clients go by, before the status."""
    refusal: Script = [json_reply({"error": {"message": "not now"}}, status, f"x-should-retry: {said}")]
    answer = answered(client_speaks, upstream_speaks, stream, refusal)
    refused(answer, status)
    assert answer.headers.get("x-should-retry") == told


@pytest.mark.parametrize("upstream_speaks", ["chat"])
@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_c23_a_chat_answer_with_an_empty_list_of_choices(
    client_speaks: str, upstream_speaks: str, stream: bool
) -> None:
    """Clients take the first choice without a look. An empty output of a Responses server is one that says nothing."""
    refused(
        answered(client_speaks, upstream_speaks, stream, [json_reply(chat_reply(choices=[]))]), 502, "upstream_invalid"
    )


@cells
def test_c1_refused(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    async def scenario() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound, not listening
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
            async with adapter(upstream(url, upstream_speaks)) as client:
                refused(await client.ask(client_speaks, stream=stream), 502, "upstream_unreachable")

    play(scenario)


def test_c2_no_such_host() -> None:
    async def scenario() -> None:
        async with adapter(upstream("http://no-such-host.invalid/v1", "chat")) as client:
            refused(await client.ask("chat"), 502, "upstream_unreachable")

    play(scenario)


def test_c3_connecting_takes_too_long() -> None:
    async def scenario() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            address = full.getsockname()
            waiting = [socket.socket() for _ in range(4)]
            for each in waiting:  # fill the backlog: further connections hang
                each.setblocking(False)
                each.connect_ex(address)
            try:
                async with adapter(
                    upstream(f"http://127.0.0.1:{address[1]}/v1", "chat", connect_timeout=0.2)
                ) as client:
                    refused(await client.ask("chat"), 504, "upstream_timeout")
            finally:
                for each in waiting:
                    each.close()

    play(scenario)


@cells
def test_c8_a_stall_before_the_head(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    refused(
        answered(client_speaks, upstream_speaks, stream, [Stall()], first_byte_timeout=0.1), 504, "upstream_timeout"
    )


@cells
def test_a_stall_behind_the_head(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    script: Script = [SSE if stream else head(200), Stall()]
    refused(answered(client_speaks, upstream_speaks, stream, script, idle_timeout=0.1), 504, "upstream_timeout")


@cells
def test_d5_comments_and_white_space_for_ever_are_no_data(
    client_speaks: str, upstream_speaks: str, stream: bool
) -> None:
    keepalive = piece(b": ping\n\n") if stream else piece(b" ")
    script: Script = [SSE if stream else head(200), *[keepalive, Sleep(0.03)] * 40]
    refused(answered(client_speaks, upstream_speaks, stream, script, idle_timeout=0.2), 504, "upstream_timeout")


@pytest.mark.parametrize(
    ("client_speaks", "upstream_speaks", "named", "told"),
    [
        ("responses", "responses", "response_format", "response_format"),
        ("responses", "responses", "max_tokens", "max_tokens"),
        ("chat", "chat", "input", "input"),
        ("responses", "chat", "response_format", "text.format"),
        ("chat", "responses", "max_output_tokens", "max_completion_tokens"),
    ],
)
def test_a_field_of_the_other_api_keeps_its_name_where_the_client_sent_it_itself(
    client_speaks: str, upstream_speaks: str, named: str, told: str
) -> None:
    """As who moves from one API to the other does: the upstream was told just that."""
    error = {"message": f"Unknown parameter: '{named}'.", "type": "invalid_request_error", "param": named, "code": None}
    answer = answered(client_speaks, upstream_speaks, False, [json_reply({"error": error}, 400)])
    assert (answer.status, answer.json["error"]["param"]) == (400, told)


@cells
def test_c9_a_400_keeps_its_message_and_param(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    error = {"message": "temperature is too hot", "type": "invalid_request_error", "param": "temperature", "code": None}
    answer = answered(client_speaks, upstream_speaks, stream, [json_reply({"error": error}, 400)])

    refused(answer, 400)
    assert (answer.json["error"]["message"], answer.json["error"]["param"]) == ("temperature is too hot", "temperature")


@pytest.mark.parametrize("status", [401, 403])
def test_c10_a_refused_key_of_ours_is_a_502_and_the_callers_own_is_his(status: int) -> None:
    script: Script = [
        json_reply({"error": {"message": "Incorrect API key sk-CANARYCANARY", "code": "invalid_api_key"}}, status)
    ]
    answer = answered("chat", "responses", False, script, api_key="sk-of-the-operator")
    refused(answer, 502, "upstream_auth")
    assert b"CANARY" not in answer.body
    refused(answered("chat", "responses", False, script), status)


@cells
def test_c14_a_rate_limit_keeps_its_headers(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    error = {"error": {"message": "Slow down", "type": "requests", "code": "rate_limit_exceeded", "param": None}}
    answer = answered(client_speaks, upstream_speaks, stream, [json_reply(error, 429, "retry-after: 7")])

    refused(answer, 429, "rate_limit_exceeded")
    assert answer.headers["retry-after"] == "7"


@cells
def test_c20_an_error_inside_a_200(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    error = {"error": {"message": "The model crashed", "type": "server_error", "code": None, "param": None}}
    answer = answered(client_speaks, upstream_speaks, stream, [json_reply(error)])
    assert answer.status >= 500
    refused(answer, answer.status)


@cells
def test_c20_an_error_as_the_first_event(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    error = {"message": "The model crashed", "type": "server_error", "code": None, "param": None}
    frame: dict[str, Any] = {"error": error}
    if upstream_speaks == "responses":
        frame |= {"type": "error", "sequence_number": 0, **{k: v for k, v in error.items() if k != "type"}}
    answer = answered(client_speaks, upstream_speaks, stream, [SSE, event(frame), END])
    assert answer.status >= 500, answer.body
    refused(answer, answer.status)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_c20_an_error_without_its_envelope(client_speaks: str, stream: bool) -> None:
    """vLLM's form, in a 200: the client's fault is his on either lane, whether the server streams or not."""
    error = {"object": "error", "message": "Too long", "type": "BadRequestError", "param": None, "code": 400}
    script = [SSE, event(error), event(b"[DONE]"), END] if stream else [json_reply(error)]

    refused(answered(client_speaks, "chat", stream, script), 400)


@pytest.mark.parametrize(
    ("choice", "status"),
    [
        ({"finish_reason": "error", "error": {"code": 503, "message": "Overloaded"}}, 503),
        ({"finish_reason": "insufficient_system_resource"}, 502),
    ],
    ids=["openrouter", "deepseek"],
)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_c20_a_choice_that_was_broken_off_is_no_answer(
    client_speaks: str, stream: bool, choice: dict[str, Any], status: int
) -> None:
    """In a plain reply nothing has been said yet: it is refused, and another upstream may be asked."""
    half = {"index": 0, "message": {"role": "assistant", "content": "Hal"}, **choice}
    refused(answered(client_speaks, "chat", stream, [json_reply(chat_reply(choices=[half]))]), status)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_c20_an_error_beside_choices_is_no_answer(client_speaks: str, stream: bool) -> None:
    reply = chat_reply("Hel") | {"error": {"code": 503, "message": "Overloaded"}}
    refused(answered(client_speaks, "chat", stream, [json_reply(reply)]), 503)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_d36_an_error_without_its_envelope_amid_a_stream(client_speaks: str) -> None:
    error = {"object": "error", "message": "The model crashed", "type": "InternalServerError", "code": 500}
    begun = chat_stream("Hel")[:3]
    answer = answered(client_speaks, "chat", True, [*begun, event(error), event(b"[DONE]"), END])

    assert (answer.status, answer.whole) == (200, True)
    assert b"[DONE]" not in answer.body
    last = answer.events[-1]
    assert (last if client_speaks == "chat" else last["response"])["error"]["message"] == "The model crashed"


GOOD_PLAIN: dict[str, Callable[[], Any]] = {"chat": chat_reply, "responses": response}
GOOD_STREAM: dict[str, Callable[[], Script]] = {
    "chat": lambda: chat_stream("Hel", "lo"),
    "responses": lambda: responses_stream("Hello"),
}


def says_hello(client_speaks: str, stream: bool, answer: Response) -> None:
    """A whole good answer in the form that was asked for."""
    assert (answer.status, answer.whole) == (200, True), answer.body
    if stream:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = answer.events
        if client_speaks == "chat":
            assert "".join(c["delta"].get("content") or "" for e in events[:-1] for c in e["choices"]) == "Hello"
            assert events[-1] == "[DONE]"
        else:
            assert events[-1]["type"] == "response.completed"
            assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hello"
            assert events[-1]["response"]["usage"]["total_tokens"] == 5
    elif client_speaks == "chat":
        assert answer.json["choices"][0]["message"]["content"] == "Hello"
        assert answer.json["usage"]["total_tokens"] == 5
    else:
        assert answer.json["output"][0]["content"][0]["text"] == "Hello"
        assert answer.json["usage"]["total_tokens"] == 5


@cells
def test_a_good_answer(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    script = GOOD_STREAM[upstream_speaks]() if stream else [json_reply(GOOD_PLAIN[upstream_speaks]())]
    says_hello(client_speaks, stream, answered(client_speaks, upstream_speaks, stream, script))


@cells
def test_c24_c25_json_for_a_stream_and_a_stream_for_json(
    client_speaks: str, upstream_speaks: str, stream: bool
) -> None:
    script = [json_reply(GOOD_PLAIN[upstream_speaks]())] if stream else GOOD_STREAM[upstream_speaks]()
    says_hello(client_speaks, stream, answered(client_speaks, upstream_speaks, stream, script))


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain", "Text/Event-Stream; charset=UTF-8"])
@cells
def test_d47_the_body_tells_what_it_is(
    client_speaks: str, upstream_speaks: str, stream: bool, content_type: str | None
) -> None:
    if stream:
        script: Script = [head(200, content_type), *GOOD_STREAM[upstream_speaks]()[1:]]
    else:
        body = orjson.dumps(GOOD_PLAIN[upstream_speaks]())
        script = [head(200, content_type, length=len(body)) + body]
    says_hello(client_speaks, stream, answered(client_speaks, upstream_speaks, stream, script))


@pytest.mark.parametrize("cut", [0, 1, 3, 4])
@cells
def test_one_bom_before_json_is_taken(client_speaks: str, upstream_speaks: str, stream: bool, cut: int) -> None:
    """As before a stream, and before a client's body."""
    body = b"\xef\xbb\xbf" + orjson.dumps(GOOD_PLAIN[upstream_speaks]())
    script: Script = [head(200), *map(piece, filter(None, (body[:cut], body[cut:]))), END]
    says_hello(client_speaks, stream, answered(client_speaks, upstream_speaks, stream, script))


@cells
def test_d48_one_byte_at_a_time(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    whole = b"".join(s for s in GOOD_STREAM[upstream_speaks]() if isinstance(s, bytes))
    begin = whole.index(b"\r\n\r\n") + 4
    script: Script = [whole[:begin], *(whole[i : i + 1] for i in range(begin, len(whole)))]
    if not stream:
        script = [json_reply(GOOD_PLAIN[upstream_speaks]())]
    says_hello(client_speaks, stream, answered(client_speaks, upstream_speaks, stream, script))


@cells
def test_c27_early_hints_before_the_head(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    script = GOOD_STREAM[upstream_speaks]() if stream else [json_reply(GOOD_PLAIN[upstream_speaks]())]
    answer = answered(client_speaks, upstream_speaks, stream, [b"HTTP/1.1 103 X\r\nlink: <x>\r\n\r\n", *script])
    says_hello(client_speaks, stream, answer)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("upstream_speaks", ["chat", "responses"])
def test_c29_an_endless_plain_reply_is_cut(client_speaks: str, upstream_speaks: str) -> None:
    async def scenario() -> None:
        script: Script = [head(200), piece(b'{"a":"'), *[piece(b"x" * 60_000)] * 100]
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks), reply_limit=200_000) as client:
            refused(await client.ask(client_speaks), 502, "upstream_invalid")

    play(scenario)


def test_c6_a_pooled_connection_that_the_upstream_had_closed_is_no_failure() -> None:
    async def scenario() -> None:
        good: Script = [json_reply(chat_reply())]
        async with Upstream(good) as up, adapter(upstream(up.url, "chat")) as client:
            up.scripts = [good, [Reset()], good]  # the second request meets a connection that dies under it
            assert (await client.ask("chat")).status == 200
            assert (await client.ask("chat")).status == 200
            assert (len(up.seen), up.connections) == (3, 2)

    play(scenario)


def begun(upstream_speaks: str) -> Script:
    """A stream that has begun to answer and is not at its end."""
    if upstream_speaks == "chat":
        return [SSE, event(chunk({"role": "assistant", "content": "Hel"}))]
    return [SSE, *(event(e, e["type"]) for e in responses_events()[:5])]


BREAKS: dict[str, Script] = {
    "d1_chunked_body_cut": [Sleep(0.05), Close()],
    "d2_clean_end": [END],
    "d3_reset": [Sleep(0.05), Reset()],
    "d4_stall": [Stall()],
    "half_close": [Sleep(0.05), HalfClose(), Sleep(0.2)],
    "d12_a_line_without_end": [*[piece(b"data: " + b"x" * 1_000_000)] + [piece(b"x" * 1_000_000)] * 17],
}


ERROR = {"message": "out of memory", "type": "server_error", "code": None, "param": None}
ERROR_FRAME = {
    "chat": event({"error": ERROR}),
    "responses": event(
        {"type": "error", "sequence_number": 5, "message": "x", "code": None, "param": None, "error": ERROR}
    ),
}


@pytest.mark.parametrize("how", [*BREAKS, "d36_an_error_frame"])
@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("upstream_speaks", ["chat", "responses"])
def test_a_stream_that_breaks_ends_in_exactly_one_failure(client_speaks: str, upstream_speaks: str, how: str) -> None:
    rest = BREAKS.get(how, [ERROR_FRAME[upstream_speaks], END])
    answer = answered(client_speaks, upstream_speaks, True, [*begun(upstream_speaks), *rest], idle_timeout=0.3)

    assert (answer.status, answer.whole) == (200, True)
    events = answer.events
    if client_speaks == "chat":
        assert "[DONE]" not in events
        assert [set(e) for e in events if "error" in e] == [{"error"}]
        assert "error" in events[-1]
    else:
        assert answer.types.count("response.failed") == 1
        assert answer.types[-2:] == ["error", "response.failed"]
        numbers = [e["sequence_number"] for e in events]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_d51_a_broken_tail_behind_the_finish_is_no_failure(client_speaks: str) -> None:
    script = [
        SSE,
        event(chunk({"content": "Hello"})),
        event(chunk({}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5})),
        piece(b"data: [DON"),
        Sleep(0.05),
        Reset(),
    ]
    says_hello(client_speaks, True, answered(client_speaks, "chat", True, script))


@pytest.mark.parametrize("pauses", [True, False], ids=["in_several_reads", "in_one_read"])
@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_an_answer_that_is_complete_does_not_wait_long_for_its_usage(client_speaks: str, pauses: bool) -> None:
    async def scenario() -> None:
        events = [event(chunk({"content": "Hello"})), event(chunk({"content": "!"})), event(chunk({}, "stop"))]
        steps: Script = [step for one in events for step in (one, Sleep(0.05))] if pauses else [b"".join(events)]
        script: Script = [SSE, *steps, Stall()]
        async with Upstream(script) as up, adapter(upstream(up.url, "chat"), settle_within=0.2) as client:
            begin = asyncio.get_running_loop().time()
            answer = await client.ask(client_speaks, stream=True)
            assert asyncio.get_running_loop().time() - begin < 2
            assert (
                answer.events[-1] == "[DONE]" if client_speaks == "chat" else answer.types[-1] == "response.completed"
            )

    play(scenario)


TOKENS = [orjson.dumps(chunk({"role": "assistant", "content": text})) for text in ("Hel", "lo")]
STOP = orjson.dumps(chunk({}, "stop"))


def slowly_in_crlf(*events: bytes) -> Script:
    """In lines that end as those of HTTP do, and in a read for every event; nothing follows."""
    return [SSE, *(step for data in events for step in (piece(data + b"\r\n\r\n"), Sleep(0.03))), Stall()]


CRLF_ENDS: dict[str, tuple[str, Script]] = {
    "done": ("chat", slowly_in_crlf(*(b"data: " + data for data in (*TOKENS, STOP, b"[DONE]")))),
    "finish": ("chat", slowly_in_crlf(*(b"data: " + data for data in (*TOKENS, STOP)))),
    "terminal_event": ("responses", slowly_in_crlf(*(b"data: " + orjson.dumps(e) for e in responses_events()))),
}


@pytest.mark.parametrize("end", CRLF_ENDS)
@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_whatever_ends_a_line_the_end_of_the_answer_is_not_waited_for(client_speaks: str, end: str) -> None:
    upstream_speaks, script = CRLF_ENDS[end]

    async def scenario() -> None:
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks), settle_within=0.2) as client:
            answer = await client.ask(client_speaks, stream=True)
            assert answer.whole
            assert (b"[DONE]" if client_speaks == "chat" else b'"response.completed"') in answer.body

    play(scenario, within=4)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("upstream_speaks", ["chat", "responses"])
def test_framing_that_is_no_http_ends_the_answer_at_once(client_speaks: str, upstream_speaks: str) -> None:
    """And not when its silence has become too long: nothing of it can be read any more."""

    async def scenario() -> None:
        script: Script = [*begun(upstream_speaks), Sleep(0.05), b"no size\r\nno chunk\r\n", Stall()]
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            answer = await client.ask(client_speaks, stream=True)
            assert answer.whole
            assert b"upstream_bad_content" in answer.body

    play(scenario, within=4)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
@pytest.mark.parametrize("later", [True, False], ids=["later", "with the end"])
def test_an_answer_that_nobody_asked_for_is_not_the_next_ones(client_speaks: str, stream: bool, later: bool) -> None:
    """Whoever asks next may be somebody else."""

    async def scenario() -> None:
        more = json_reply(chat_reply("Somebody else's"))
        script: Script = [json_reply(chat_reply("Hello"))]
        if stream:
            script = [SSE, event(chunk({"content": "Hel"})), Sleep(0.03), event(chunk({"content": "lo"})), Sleep(0.03)]
            script += [event(chunk({}, "stop")) + event(b"[DONE]") + END]
        if later:
            script += [Sleep(0.03), more]
        else:
            script[-1] = cast(bytes, script[-1]) + more
        async with (
            Upstream(script, [json_reply(chat_reply("Mine"))]) as up,
            adapter(upstream(up.url, "chat")) as client,
        ):
            assert (await client.ask(client_speaks, stream=stream)).whole
            await asyncio.sleep(0.1)
            assert b"Mine" in (await client.ask(client_speaks)).body
            assert up.connections == 2

    play(scenario, within=4)


@cells
def test_c9_a_param_is_told_in_the_words_of_the_client(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    field = {"chat": "messages", "responses": "input"}
    error = {"message": "bad content", "type": "invalid_request_error", "param": f"{field[upstream_speaks]}[0].content"}
    answer = answered(client_speaks, upstream_speaks, stream, [json_reply({"error": error}, 400)])

    refused(answer, 400)
    assert answer.json["error"]["param"].startswith(field[client_speaks])
