"""Servers that say with a 200, or amid a stream, that something is wrong, in an envelope of their own."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.dialects.intake import Intake, read_whole
from adapter.dialects.registry import DIALECTS
from adapter.errors import AdapterError
from adapter.hub.events import Failed
from adapter.hub.request import DialectName, Exchange
from adapter.wire.jsonio import dumps

ERRORS: dict[str, tuple[dict[str, Any], int, str]] = {
    "minimax_no_balance": (
        {"id": "x", "choices": None, "object": "", "base_resp": {"status_code": 1008, "status_msg": "no balance"}},
        429,
        "no balance",
    ),
    "minimax_with_an_empty_list": (
        {"choices": [], "base_resp": {"status_code": 1002, "status_msg": "rate limit exceeded(RPM)"}},
        429,
        "rate limit exceeded(RPM)",
    ),
    "minimax_a_refused_key": (
        {"base_resp": {"status_code": 1004, "status_msg": "login fail: carry the key"}},
        502,
        "The upstream refused this server's own key or account.",
    ),
    "minimax_too_long": (
        {"choices": None, "base_resp": {"status_code": 2013, "status_msg": "context window exceeds limit (2013)"}},
        400,
        "context window exceeds limit (2013)",
    ),
    "minimax_of_no_known_code": (
        {"base_resp": {"status_code": 1024, "status_msg": "internal error"}},
        502,
        "internal error",
    ),
    "fastapi": ({"detail": "Engine is dead"}, 502, "Engine is dead"),
    "fastapi_of_a_field": ({"detail": [{"loc": ["body", "stop"], "msg": "bad"}]}, 502, "stop: bad"),
    "cloudflare": (
        {"success": False, "errors": [{"code": 5007, "message": "No such model m"}]},
        404,
        "No such model m",
    ),
    "errors_that_are_words": ({"errors": ["Worker is gone"]}, 502, "Worker is gone"),
    "baidu": ({"error_code": 336003, "error_msg": "no odd number"}, 502, "no odd number"),
    "true": ({"error": True, "message": "It broke", "code": 503}, 503, "It broke"),
    "words": ({"error": "CUDA out of memory"}, 502, "CUDA out of memory"),
    "zhipu": ({"code": 500, "msg": "It broke", "success": False}, 500, "It broke"),
    "dashscope": ({"code": "InternalError", "message": "It broke", "request_id": "x"}, 502, "It broke"),
    "openai_without_its_envelope": (
        {"message": "bad", "type": "invalid_request_error", "param": None, "code": None},
        400,
        "bad",
    ),
}
BEGUN: dict[DialectName, bytes] = {
    "chat": b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}\n\n',
    "responses": (
        b'data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1"}}\n\n'
        b'data: {"type":"response.output_text.delta","sequence_number":1,"output_index":0,"delta":"Hel"}\n\n'
    ),
}
DONE = b"data: [DONE]\n\n"
lanes = pytest.mark.parametrize("dialect", list(BEGUN))
envelopes = pytest.mark.parametrize("name", ERRORS)


@lanes
@envelopes
@pytest.mark.parametrize("begun", [False, True])
def test_an_error_in_a_stream_that_is_translated(dialect: DialectName, name: str, begun: bool) -> None:
    error, status, message = ERRORS[name]
    intake = Intake(DIALECTS[dialect], Exchange.unasked("chat"))

    last = [
        *intake.feed(BEGUN[dialect] if begun else b""),
        *intake.feed(b"data: " + dumps(error) + b"\n\n" + DONE),
        *intake.close(),
    ][-1]

    assert isinstance(last, Failed)
    assert (last.error.http_status, last.error.message) == (status, message)


@lanes
@envelopes
@pytest.mark.parametrize("begun", [False, True])
def test_an_error_in_a_stream_that_passes(dialect: DialectName, name: str, begun: bool) -> None:
    error, status, message = ERRORS[name]
    stream = DIALECTS[dialect].raw_stream(Exchange.unasked(dialect))

    out = stream.feed(BEGUN[dialect] if begun else b"")
    out += stream.feed(b"data: " + dumps(error) + b"\n\n" + DONE) + stream.close()

    assert stream.answered is begun
    assert stream.answer.error is not None
    assert (stream.answer.error.http_status, stream.answer.error.message) == (status, message)
    assert b'"error":{"message":' + dumps(message) in out
    assert DONE not in out or dialect == "responses"


@lanes
@envelopes
def test_an_error_in_the_place_of_a_whole_answer(dialect: DialectName, name: str) -> None:
    error, status, message = ERRORS[name]

    for read in (
        lambda: DIALECTS[dialect].check_reply(error),
        lambda: read_whole(DIALECTS[dialect], Exchange.unasked("chat"), error),
        lambda: read_whole(DIALECTS[dialect], Exchange.unasked("chat"), error, told=True),
    ):
        with pytest.raises(AdapterError) as caught:
            read()
        assert (caught.value.http_status, caught.value.message) == (status, message)


@lanes
@pytest.mark.parametrize(
    "news",
    [
        {"base_resp": {"status_code": 0, "status_msg": ""}},
        {"code": 0, "message": "Success", "sid": "x"},
        {"type": "status", "detail": "Thinking"},
        {"type": "keepalive"},
        {"type": "codex.rate_limits", "rate_limits": {"limit_reached": True}},
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
    ],
)
def test_what_else_a_server_has_to_say_is_no_error(dialect: DialectName, news: dict[str, Any]) -> None:
    said = b"data: " + dumps(news) + b"\n\n"
    intake = Intake(DIALECTS[dialect], Exchange.unasked("chat"))
    stream = DIALECTS[dialect].raw_stream(Exchange.unasked(dialect))

    assert not any(isinstance(event, Failed) for event in intake.feed(said + BEGUN[dialect] + said))
    assert stream.feed(said + BEGUN[dialect] + said) == said + BEGUN[dialect] + said
    assert stream.answer.error is None


def test_an_error_that_is_only_so_named_has_the_type_that_it_gives() -> None:
    """A Responses event's own type is that of the event, but for one that has another name."""
    error = {"type": "invalid_request_error", "message": "bad", "code": None}
    intake = Intake(DIALECTS["responses"], Exchange.unasked("chat"))

    *_, last = [*intake.feed(b"event: error\ndata: " + dumps(error) + b"\n\n"), *intake.close()]

    assert isinstance(last, Failed)
    assert (last.error.http_status, last.error.type, last.error.message) == (400, "invalid_request_error", "bad")
