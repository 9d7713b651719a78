"""Plain Responses replies, read and written."""

from __future__ import annotations

from typing import Any

import pytest

from adapter import translate
from adapter.dialects import chat
from adapter.dialects.responses import read_answer, read_reply, read_request, write_reply
from adapter.errors import AdapterError, UpstreamInvalid
from adapter.hub.events import Failed
from adapter.hub.fold import fold
from adapter.hub.grammar import check_hub
from adapter.hub.request import ClientTraits, Exchange
from adapter.upstream.profiles import GENERIC
from adapter.wire.jsonio import dumps
from tests.validator import load, needs_validator

UNASKED = Exchange.unasked("responses")
CHAT = Exchange.unasked("chat")
MINIMAL: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "model": "m",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hey"}]}],
    "usage": {"input_tokens": 42, "output_tokens": 36, "total_tokens": 79},
}


def through(body: dict[str, Any], exchange: Exchange = UNASKED) -> dict[str, Any]:
    """An upstream's reply as the client gets it."""
    events, _ = read_reply(body, exchange, clock=lambda: 5)
    assert check_hub(events) == []
    return write_reply([fold(events)], exchange)


def test_a_minimal_reply_gets_every_key() -> None:
    reply = through(MINIMAL)

    assert reply["status"] == "completed"
    assert reply["created_at"] == 5
    assert reply["output"] == [
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hey", "annotations": [], "logprobs": []}],
            "id": "msg_1_0",
            "status": "completed",
        }
    ]
    assert reply["usage"]["total_tokens"] == 79


@needs_validator
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"status": "incomplete"},
        {"status": "failed", "error": {"code": "server_error", "message": "no"}},
        {"output": []},
        {"tools": "none", "temperature": None, "metadata": 3, "text": None},
    ],
)
def test_the_official_file_takes_what_is_written(changes: dict[str, Any]) -> None:
    validate = load()
    assert validate is not None

    assert validate.errors(validate.check(through({**MINIMAL, **changes}), "response")) == []


LIMITED = translate.request({"model": "m", "input": "hi", "max_output_tokens": 36}, "responses", "responses").exchange


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "incomplete"),
        ({"incomplete_details": None}, "completed"),
        ({"usage": {"input_tokens": 42, "output_tokens": 35, "total_tokens": 77}}, "completed"),
        ({"usage": {"input_tokens": 42, "output_tokens": True, "total_tokens": 43}}, "completed"),
    ],
)
def test_an_answer_of_all_the_tokens_that_it_was_allowed_is_cut_where_the_server_has_no_word_for_it(
    changes: dict[str, Any], status: str
) -> None:
    reply = through({**MINIMAL, "status": "completed", **changes}, LIMITED)

    assert (reply["status"], reply["incomplete_details"]) == (
        status,
        {"reason": "max_output_tokens"} if status == "incomplete" else None,
    )


@needs_validator
def test_nulls_that_the_api_does_not_know_are_left_out() -> None:
    """vLLM writes every field of its models, said or not."""
    output = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": None, "status": None},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}", "namespace": None},
    ]
    stream = b"".join(
        b"data: %b\n\n" % dumps(event)
        for event in (
            {"type": "response.created", "response": {"id": "resp_1", "model": "m"}},
            *({"type": "response.output_item.added", "output_index": n, "item": output[n]} for n in (0, 1)),
            *({"type": "response.output_item.done", "output_index": n, "item": output[n]} for n in (0, 1)),
            {"type": "response.completed", "response": {**MINIMAL, "output": output, "status": "completed"}},
        )
    )
    validate = load()
    assert validate is not None

    whole = translate.reply({**MINIMAL, "output": output}, "responses", "responses", clock=lambda: 5).value
    streamed = b"".join(translate.stream([stream], "responses", "responses", clock=lambda: 5))

    assert validate.errors(validate.check(whole, "response")) == []
    assert validate.errors(validate.check_responses_sse(streamed, allow_overlap=True)) == []
    assert whole["output"][0]["status"] == "completed"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        *((reason, reason) for reason in ("max_output_tokens", "content_filter", "max_messages", "steered")),
        *((odd, "max_output_tokens") for odd in ("max_tokens", None, ["steered"])),
    ],
)
def test_an_incomplete_reply_says_why_and_ends_in_an_incomplete_item(said: Any, told: str) -> None:
    reply = through({**MINIMAL, "status": "incomplete", "incomplete_details": {"reason": said}})

    assert reply["incomplete_details"] == {"reason": told}
    assert reply["output"][0]["status"] == "incomplete"


def test_calls_are_given_what_servers_leave_out() -> None:
    output = [
        {"type": "function_call", "name": "f", "arguments": {"a": 1}},
        {"type": "function_call", "name": "f", "arguments": "", "call_id": "c", "id": "fc_9"},
    ]
    first, second = through({**MINIMAL, "output": output})["output"]

    assert (first["id"], first["call_id"], first["arguments"]) == ("fc_1_0", "call_1_0", '{"a":1}')
    assert (second["id"], second["call_id"], second["arguments"]) == ("fc_9", "c", "{}")


@pytest.mark.parametrize("content", [5, "why", [{"type": "odd"}], [{"type": "refusal", "text": {"a": 1}}], {"a": 1}])
def test_a_chat_client_gets_of_reasoning_what_can_be_read(content: Any) -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": content}
    answer, _ = read_answer({**MINIMAL, "output": [thought, {**MINIMAL["output"][0], "id": "msg_1"}]}, CHAT)
    (choice,) = chat.write_reply([answer], CHAT)["choices"]

    assert choice["message"]["content"] == "Hey"
    assert choice["message"].get("reasoning_content") == ("why" if content == "why" else None)


@pytest.mark.parametrize("name", [None, "", 3])
def test_a_call_without_a_name_is_no_answer(name: Any) -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": name, "arguments": "{}"}
    with pytest.raises(UpstreamInvalid):
        read_answer({**MINIMAL, "output": [call]}, UNASKED)


def test_only_output_text_is_a_message_too() -> None:
    assert through({"id": "resp_1", "output_text": "Hey"})["output"][0]["content"][0]["text"] == "Hey"


def test_an_answer_of_nothing_is_an_answer() -> None:
    reply = through({"id": "resp_1", "status": "completed", "output": []})

    assert (reply["status"], reply["output"]) == ("completed", [])


def test_a_failed_reply_is_a_failure() -> None:
    events, _ = read_reply({"status": "failed", "error": {"code": "server_error", "message": "no"}}, UNASKED)

    assert isinstance(events[-1], Failed)


@pytest.mark.parametrize("body", [None, [], {}, {"id": "resp_1"}, {"error": {"message": "no"}}, {"error": "no"}])
def test_what_is_no_response_is_refused(body: Any) -> None:
    with pytest.raises(AdapterError):
        read_reply(body, UNASKED)


def test_a_compaction_is_no_response() -> None:
    with pytest.raises(UpstreamInvalid):
        read_reply({**MINIMAL, "object": "response.compaction"}, UNASKED)


def test_codex_reads_a_refusal_as_text() -> None:
    output = [{"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}]
    codex = Exchange.unasked("responses", GENERIC, ClientTraits.CODEX)

    assert through({**MINIMAL, "output": output}, codex)["output"][0]["content"][0]["type"] == "output_text"
    assert through({**MINIMAL, "output": output})["output"][0]["content"][0]["type"] == "refusal"


def test_the_client_sees_its_own_request_where_the_upstream_got_another() -> None:
    asked = {"model": "m", "input": "hi", "previous_response_id": "resp_0", "metadata": {"a": "b"}, "temperature": 0}
    exchange = Exchange(request=read_request(asked))
    said = {
        **MINIMAL,
        "previous_response_id": None,
        "metadata": {},
        "service_tier": "flex",
        "store": False,
        "billing": 1,
    }

    reply = through(said, exchange)
    assert (reply["previous_response_id"], reply["metadata"], reply["temperature"]) == ("resp_0", {"a": "b"}, 0)
    assert (reply["service_tier"], reply["billing"]) == ("flex", 1)


STRICT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
LOOSE = {**STRICT, "properties": {"a": {"type": "object"}}}


@pytest.mark.parametrize(
    ("given", "effective"),
    [({"strict": True}, True), ({"parameters": STRICT}, True), ({"parameters": LOOSE}, False), ({}, False)],
)
def test_strict_is_echoed_as_it_takes_effect(given: dict[str, Any], effective: bool) -> None:
    tools = [{"type": "function", "name": "f", **given}]
    exchange = Exchange(request=read_request({"model": "m", "input": "hi", "tools": tools}))

    assert through(MINIMAL, exchange)["tools"][0]["strict"] is effective


def test_replies_do_not_share_their_defaults() -> None:
    through(MINIMAL)["metadata"]["mine"] = "yes"

    assert through(MINIMAL)["metadata"] == {}


@pytest.mark.parametrize("asked", [{}, {"ttl": "30m"}, {"mode": "explicit"}])
def test_cache_options_are_echoed_with_their_defaults(asked: dict[str, Any]) -> None:
    """Optional in a request, each of them, and required in a Response."""

    exchange = Exchange(request=read_request({"model": "m", "input": "hi", "prompt_cache_options": asked}))
    assert through(MINIMAL, exchange)["prompt_cache_options"] == {"ttl": "30m", "mode": "implicit"} | asked
