"""Scripted servers that act by the tools they are offered, break off, rest, and share one address."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from adapter.conform.acting import NotOffered, use
from adapter.conform.peers import ChatPeer, Peer, ResponsesPeer, Slow, Switchboard, Torn, fails, message
from adapter.conform.strict_responses import problems
from adapter.hub.grammar import check_responses

SAY = {"type": "function", "name": "say", "parameters": {"type": "object", "properties": {"text": {}}}}
PATCH = {"type": "custom", "name": "apply_patch"}
ASKED = {"model": "m", "input": "hi", "store": False, "stream": True}


def ask(
    app: Any, body: dict[str, Any], path: str = "/v1/responses", key: str = "k", method: str = "POST"
) -> list[dict[str, Any]]:
    """What an application sends for one request."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"authorization", f"Bearer {key}".encode())]}
    asyncio.run(app(scope, receive, send))
    return sent


def streamed(peer: Peer) -> bytes:
    return b"".join(event.get("body", b"") for event in ask(peer.app, ASKED))


@pytest.mark.parametrize(
    ("tools", "name", "given", "expected"),
    [
        ([SAY], "say", {"text": "a"}, {"type": "function_call", "name": "say", "arguments": '{"text": "a"}'}),
        ([{**SAY, "name": "ns__say"}], "say", {}, {"type": "function_call", "name": "ns__say"}),
        ([{"type": "namespace", "name": "ns", "tools": [SAY]}], "say", {}, {"name": "say", "namespace": "ns"}),
        ([PATCH], "apply_patch", "*** x", {"type": "custom_tool_call", "input": "*** x"}),
        (
            [{"type": "tool_search"}],
            "tool_search",
            {"query": "q"},
            {"type": "tool_search_call", "arguments": {"query": "q"}},
        ),
    ],
)
def test_a_call_has_the_form_of_the_tool_that_was_offered(
    tools: list[Any], name: str, given: Any, expected: dict[str, Any]
) -> None:
    call = use({"input": "x", "tools": tools}, name, given, namespace="ns", id="1")
    assert expected.items() <= call.items()
    assert call["call_id"] == "call_1"


def test_tools_are_also_found_in_the_input_and_in_chat_requests() -> None:
    later = {
        "input": [
            {"role": "user", "content": "hi"},
            {"type": "additional_tools", "tools": [SAY]},
            {"type": "tool_search_output", "tools": [PATCH]},
        ]
    }
    assert use(later, "say", {}, id="1")["type"] == "function_call"
    assert use(later, "apply_patch", "x", id="1")["type"] == "custom_tool_call"
    schema = {"type": "object", "properties": {"input": {"type": "string"}}}
    chat = {"messages": [], "tools": [{"type": "function", "function": {"name": "apply_patch", "parameters": schema}}]}
    assert use(chat, "apply_patch", "x", id="1")["arguments"] == '{"input": "x"}'
    assert use(chat, "apply_patch", {"input": "x"}, id="1")["arguments"] == '{"input": "x"}'


def test_a_tool_that_is_not_offered_is_the_scripts_finding() -> None:
    with pytest.raises(NotOffered):
        use({"input": []}, "say", {}, id="1")
    peer = ResponsesPeer([lambda body: use(body, "say", {}, id="1")])  # type: ignore[list-item,return-value]
    assert ask(peer.app, ASKED)[0]["status"] == 400
    assert peer.problems


def test_an_answer_breaks_off_or_rests_where_the_script_says() -> None:
    whole = streamed(ResponsesPeer([message("hello there")]))
    assert check_responses(whole) == []
    torn = ask(ResponsesPeer([Torn(message("hello there"), 4)]).app, ASKED)
    assert whole.startswith(b"".join(event.get("body", b"") for event in torn))
    assert torn[-1]["more_body"], "the end was sent"
    assert streamed(ResponsesPeer([Slow(message("hello there"), 0.01)])) == whole


def test_a_switchboard_finds_the_script_by_the_key() -> None:
    board = Switchboard()
    board.peers = {"a": ResponsesPeer([message("for a")]), "b": ChatPeer([message("for b")])}
    assert b"for a" in b"".join(event.get("body", b"") for event in ask(board.app, {**ASKED, "stream": False}, key="a"))
    assert ask(board.app, ASKED, key="b")[0]["status"] == 404
    assert ask(board.app, ASKED, key="nobody")[0]["status"] == 401


def _told(sent: list[dict[str, Any]]) -> tuple[int, dict[bytes, bytes], Any]:
    start, *parts = sent
    return start["status"], dict(start["headers"]), json.loads(b"".join(part["body"] for part in parts))


def test_a_peer_that_is_not_strict_takes_what_comes_and_keeps_it() -> None:
    asked = {"model": "m", "input": "hi"}
    for strict in (True, False):
        peer = ResponsesPeer([message("hello")], strict=strict)
        status, headers, told = _told(ask(peer.app, asked, key="mine"))
        assert status == (400 if strict else 200)
        assert headers[b"openai-model"] != told.get("model", "m").encode()
        assert (bool(peer.problems), peer.requests) == (strict, [asked])
        assert peer.headers == [{"authorization": "Bearer mine"}]


def test_a_peer_speaks_one_path_and_lists_its_model() -> None:
    peer = ChatPeer([message("hello")])
    assert _told(ask(peer.app, {}, "/v1/models", method="GET"))[2]["data"][0]["id"] == "m"
    assert peer.problems == []
    for method, path in (("GET", "/v1/chat/completions"), ("POST", "/v1/models"), ("POST", "/v1/responses")):
        status, _, told = _told(ask(peer.app, {}, path, method=method))
        assert (status, told["error"]["message"]) == (404, "This server speaks /chat/completions only.")
        assert peer.problems.pop() == f"{method} {path}"
    assert peer.requests == []


def test_a_failure_has_the_shape_of_both_apis() -> None:
    peer = ResponsesPeer([fails(429, "slow down", code="rate_limit_exceeded", retry_after=3), message("hello")])
    status, headers, told = _told(ask(peer.app, ASKED))
    error = {"message": "slow down", "type": "invalid_request_error", "param": None, "code": "rate_limit_exceeded"}
    assert (status, headers[b"retry-after"], told) == (429, b"3", {"error": error})
    assert b"retry-after" not in _told(ask(peer.app, {**ASKED, "stream": False}))[1]


def test_an_answer_is_made_of_its_words() -> None:
    spoken = message("hello", reasoning="Hm.", calls=[("f", "{}"), ("g", "[]")], number=7, width=2)
    assert [item["type"] for item in spoken.items] == ["reasoning", "message", "function_call", "function_call"]
    assert [(call["call_id"], call["name"]) for call in spoken.calls] == [("call_7_0", "f"), ("call_7_1", "g")]
    assert (spoken.id, spoken.cut("hello"), spoken.text) == ("resp_7", ["he", "ll", "o"], "hello")
    assert [item["type"] for item in message(calls=[("f", "{}")]).items] == ["function_call"]
    assert [item["type"] for item in message().items] == ["message"]


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (ASKED, False),
        ({**ASKED, "input": [CALL, OUTPUT]}, False),
        (
            {**ASKED, "input": [{**CALL, "type": "custom_tool_call"}, {**OUTPUT, "type": "custom_tool_call_output"}]},
            False,
        ),
        ({**ASKED, "input": [{**CALL, "type": "tool_search_call"}, {**OUTPUT, "type": "tool_search_output"}]}, False),
        ({**ASKED, "input": [{"role": "user", "content": "hi"}, CALL, {**CALL, "call_id": "d"}, OUTPUT]}, True),
        ({**ASKED, "input": [CALL, CALL, OUTPUT]}, True),
        ({**ASKED, "input": [CALL, OUTPUT, OUTPUT]}, True),
        ({**ASKED, "input": [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}]}, False),
        ({**ASKED, "input": [{"type": "reasoning", "id": "rs_1", "summary": [], "content": [{}]}]}, False),
        ({**ASKED, "input": [{"type": "reasoning", "summary": []}]}, False),
        ({**ASKED, "previous_response_id": None, "conversation": None}, False),
        ({**ASKED, "conversation": "c"}, True),
        ({**ASKED, "model": None}, True),
        ({"model": "m", "store": False}, True),
        ({"model": "m", "input": "hi"}, True),
        ({**ASKED, "store": True}, True),
        ({**ASKED, "previous_response_id": "r"}, True),
        ({**ASKED, "input": [CALL]}, True),
        ({**ASKED, "input": [OUTPUT]}, True),
        ({**ASKED, "input": [{**CALL, "type": "custom_tool_call"}, OUTPUT]}, True),
        ({**ASKED, "input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, True),
        ({**ASKED, "input": [1]}, True),
        ({**ASKED, "input": [{"type": "function_call_output", "name": "goal", "output": "x"}]}, False),
        ({**ASKED, "input": [{"type": "function_call_output", "output": "x"}]}, True),
        ({**ASKED, "input": [CALL, OUTPUT, {**OUTPUT, "name": "exec"}]}, False),
        ({**ASKED, "input": [CALL, {**OUTPUT, "name": "exec", "call_id": "d"}, OUTPUT]}, True),
    ],
)
def test_a_server_without_a_store_wants_everything_in_the_request(body: dict[str, Any], found: bool) -> None:
    assert len(problems(body)) == found
