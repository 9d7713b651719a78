"""The kit holds itself to its own grammars: what it says is grammatical and valid, and its laws can fail."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapter.conform import laws, strategies
from adapter.conform.peers import ChatPeer, fails, message, says, streams
from adapter.conform.report import Report, excerpt
from adapter.conform.speaking import (
    Spoken,
    chat_completion,
    chat_stream,
    hub_events,
    response,
    responses_stream,
)
from adapter.conform.strict_chat import problems
from adapter.hub.grammar import check_chat, check_hub, check_responses
from tests import validator


@given(strategies.spoken())
def test_what_is_spoken_is_grammatical_in_every_form(spoken: Spoken) -> None:
    """By construction: hub events, Responses stream, Chat stream."""

    assert check_hub(hub_events(spoken)) == []
    assert check_responses(responses_stream(spoken)) == []
    assert check_chat(chat_stream(spoken), include_usage=True, n=1) == []


@given(strategies.spoken())
def test_what_is_spoken_is_valid(spoken: Spoken) -> None:
    """The reference validator agrees, plain and streamed."""

    v = validator.load()
    if v is not None:
        assert v.errors(v.check(response(spoken), "response")) == []
        assert v.errors(v.check_responses_sse(responses_stream(spoken))) == []


@given(strategies.spoken(chat=True))
def test_what_is_spoken_in_chat_is_valid(spoken: Spoken) -> None:
    """The same of the Chat forms."""

    v = validator.load()
    if v is not None:
        assert v.errors(v.check(chat_completion(spoken), "chat.response")) == []
        assert v.errors(v.check_chat_sse(chat_stream(spoken), include_usage=True)) == []


@given(strategies.chat_requests(), strategies.responses_requests())
def test_good_requests_are_valid(chat: dict[str, Any], responses: dict[str, Any]) -> None:
    """The strategies of good requests keep to the official file."""

    v = validator.load()
    if v is not None:
        assert v.errors(v.check(chat, "chat.request")) == []
        assert v.errors(v.check(responses, "responses.request")) == []


@given(strategies.spoken(), st.data())
def test_cuts_lose_nothing(spoken: Spoken, data: st.DataObject) -> None:
    """Reads put together are the stream."""

    raw = chat_stream(spoken)
    assert b"".join(data.draw(strategies.splits(raw))) == raw


class Silent:
    """A translator that loses everything: no law may be satisfied with it."""

    def request(self, body: dict[str, Any], source: str, target: str) -> Any:
        """An answer without messages."""
        return self

    def reply(self, body: dict[str, Any], source: str, target: str) -> Any:
        """An answer that says nothing."""
        return self

    def stream(self, parts: Any, source: str, target: str) -> list[bytes]:
        """As many empty events as there are reads."""
        return [b": \n\n" for _ in parts]

    @property
    def value(self) -> dict[str, Any]:
        """An empty completion and an empty request."""
        choice = {"message": {"content": "x"}, "finish_reason": "stop"}
        return {"choices": [choice], "model": "m", "messages": []}


def test_the_laws_can_fail() -> None:
    """Each law finds fault with a translator that says nothing."""

    spoken = message(text="hello", calls=[("f", "{}")])
    raw = responses_stream(spoken)
    silent: Any = Silent()
    assert laws.any_cut_gives_the_same(silent, [b"a", b"b"], "chat", "responses")
    assert laws.output_is_grammatical(silent, raw, "responses", "chat")
    assert laws.responses_stream_comes_out_equal(silent, laws.events_of(raw), raw)
    assert laws.only_these_errors(lambda: {}["x"], ValueError)
    assert laws.replay_gives_back_the_message(silent, {"content": "x"}, {"output": []}, {"input": []})


def test_a_report_names_the_law_and_the_case() -> None:
    """What is broken can be found again."""

    report = Report()
    report.add("grammar", "case 1", [])
    assert report.ok
    report.add("grammar", "case 2", ["seq at event[0]: …"])
    assert not report.ok
    assert "FAIL  grammar: 2 cases" in report.text()
    told = json.loads(report.json())
    assert told["findings"][0]["case"] == "case 2"
    assert told["laws"] == {"grammar": {"cases": 2, "findings": 1, "broken": 1, "about": None}}


def test_an_excerpt_is_one_line_that_says_where_it_is_cut() -> None:
    assert excerpt(b"a \n\t b\xff") == "a b\ufffd"
    assert excerpt(b"x" * 200) == "x" * 200
    assert excerpt(b"x" * 201) == "x" * 199 + "…"
    assert len(excerpt("é".encode() * 201)) == 200


# ------------------------------------------------------------------------------------------------------------- peers


def ask(peer: ChatPeer, body: Any, path: str = "/v1/chat/completions") -> tuple[int, dict[bytes, bytes], bytes]:
    """One request to a peer."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    async def send(event: Any) -> None:
        sent.append(event)

    asyncio.run(peer.app({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(event.get("body", b"") for event in sent[1:])


HELLO = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_a_peer_follows_its_script_and_repeats_the_last_line() -> None:
    """Plain and streamed lines, an error with its header, then the last line for ever."""

    peer = ChatPeer([fails(429, "slow down", retry_after=2), says(message(text="hello"))])
    status, headers, _ = ask(peer, HELLO)
    assert (status, headers[b"retry-after"]) == (429, b"2")
    assert json.loads(ask(peer, HELLO)[2])["choices"][0]["message"]["content"] == "hello"
    assert check_chat(ask(peer, {**HELLO, "stream": True})[2]) == []
    assert peer.problems == []
    assert len(peer.requests) == 3


def test_raw_bytes_are_streamed_as_they_are() -> None:
    """A script may hold a broken stream."""

    assert ask(ChatPeer([streams(b"data: {oops\n\n")]), {**HELLO, "stream": True})[2] == b"data: {oops\n\n"


def test_a_strict_peer_refuses_what_real_servers_refuse() -> None:
    """Unknown fields, unpaired calls, developer messages, a choice without tools, another API."""

    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assistant = {"role": "assistant", "content": None, "tool_calls": [call]}
    for wrong in (
        {**HELLO, "top_k": 5},
        {**HELLO, "tool_choice": "auto"},
        {"model": "m", "messages": [{"role": "developer", "content": "x"}]},
        {"model": "m", "messages": [assistant, {"role": "user", "content": "x"}]},
        {"model": "m", "messages": [{"role": "tool", "tool_call_id": "c", "content": "x"}]},
        {"model": "m", "messages": ["x"]},
    ):
        peer = ChatPeer([says(message(text="never"))])
        assert ask(peer, wrong)[0] == 400
        assert peer.problems
    assert ask(ChatPeer([says(message())]), HELLO, "/v1/responses")[0] == 404


@given(strategies.wrong(strategies.REQUEST_KEYS))
def test_the_strict_checker_never_raises(body: dict[str, Any]) -> None:
    """Nonsense is a finding, not a crash."""

    assert isinstance(problems(body), list)
