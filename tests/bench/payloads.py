"""The canned bytes: what clients send and what the upstream answers, in both dialects, rendered once."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import orjson

CHAT: Final = "chat"
RESPONSES: Final = "responses"
PATHS: Final = {CHAT: "/v1/chat/completions", RESPONSES: "/v1/responses"}
END_MARKS: Final = {CHAT: b"data: [DONE]\n\n", RESPONSES: b'"type":"response.completed"'}
"""What the end of a whole stream holds, whoever wrote it."""
DELTA_MARKS: Final = {CHAT: b'"content":" ', RESPONSES: b'"delta":" '}
"""Once in every text delta, and nowhere else: each canned delta is one word with its leading space."""

_PHRASE: Final = "the model writes one word after another and every word comes as a delta of its own"
_WORDS: Final = _PHRASE.split()
_CREATED: Final = 1_760_000_000
_USAGE_CHAT: Final = {
    "prompt_tokens": 90,
    "completion_tokens": 200,
    "total_tokens": 290,
    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
_USAGE_RESPONSES: Final = {
    "input_tokens": 90,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 200,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 290,
}


def words(count: int) -> list[str]:
    """`count` deltas."""
    return [" " + _WORDS[i % len(_WORDS)] for i in range(count)]


# ------------------------------------------------------------------------------------------------- what clients send


KB30: Final = 15
KB300: Final = 190
MB1: Final = 650
"""Turns of four items that make a history of this size."""


def request(dialect: str, model: str, *, stream: bool, history: int = 0) -> bytes:
    """A request body: about 0.4 kB, or with a `history` of so many turns and 12 tools; 15 turns are 30 kB in 60 items."""
    if dialect == CHAT:
        body: dict[str, Any] = {"model": model, "messages": _chat_history(history) if history else _chat_short()}
        if history:
            body["tools"] = [{"type": "function", "function": _function(i)} for i in range(12)]
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return orjson.dumps(body)
    body = {
        "model": model,
        "instructions": _SYSTEM,
        "input": _responses_history(history) if history else _responses_short(),
    }
    body["store"] = False
    if history:
        body["tools"] = [{"type": "function", **_function(i)} for i in range(12)]
    if stream:
        body["stream"] = True
    return orjson.dumps(body)


_SYSTEM: Final = "You are a careful assistant. Answer in one short paragraph, in the language of the question, and say so when you do not know."
_QUESTION: Final = (
    "How does a stream of deltas become one answer, and what does it cost to carry each of them through a proxy?"
)


def _chat_short() -> list[dict[str, Any]]:
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _QUESTION}]


def _responses_short() -> list[dict[str, Any]]:
    return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": _QUESTION}]}]


_TEXT: Final = 'Looked at the file and found "three" places where the loop ends early;\nthe second one is wrong. ' * 6
_ARGUMENTS: Final = orjson.dumps(
    {"path": "src/loop/inner.py", "from": 120, "to": 180, "why": "see the second place"}
).decode()


def _chat_history(turns: int) -> list[dict[str, Any]]:
    messages = _chat_short()[:1]
    for turn in range(turns):
        call = f"call_Fz3kQ9aBxYmNpLwRtV{turn:02d}"
        called = {"id": call, "type": "function", "function": {"name": "tool_3", "arguments": _ARGUMENTS}}
        messages += [
            {"role": "user", "content": _QUESTION},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": call, "content": _TEXT},
            {"role": "assistant", "content": _TEXT},
        ]
    return [*messages, {"role": "user", "content": _QUESTION}]


def _responses_history(turns: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for turn in range(turns):
        call = f"call_Fz3kQ9aBxYmNpLwRtV{turn:02d}"
        said = {"type": "output_text", "text": _TEXT, "annotations": []}
        items += [
            *_responses_short(),
            {"type": "function_call", "call_id": call, "name": "tool_3", "arguments": _ARGUMENTS},
            {"type": "function_call_output", "call_id": call, "output": _TEXT},
            {
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "id": f"msg_0c5dfe61a9b2{turn:02d}",
                "content": [said],
            },
        ]
    return [*items, *_responses_short()]


def _function(number: int) -> dict[str, Any]:
    properties = {
        f"{name}_{number}": {
            "type": "string",
            "description": f"The {name} that the tool works on, as the user gave it.",
        }
        for name in ("path", "pattern", "reason")
    }
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {
        "name": f"tool_{number}",
        "description": "Reads, searches or changes a file in the workspace and says what it found there, line by line.",
        "parameters": schema,
        "strict": True,
    }


# -------------------------------------------------------------------------------------------- what the upstream says


@cache
def plain(dialect: str) -> bytes:
    """A whole answer of about 1 kB."""
    text = "".join(words(70))
    if dialect == CHAT:
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        reply = {
            "id": "chatcmpl-Bq7cannedanswer0001",
            "object": "chat.completion",
            "created": _CREATED,
            "model": "canned",
        }
        return orjson.dumps({**reply, "choices": [choice], "usage": _USAGE_CHAT, "service_tier": "default"})
    return orjson.dumps(_response("completed", [_message(text, "completed")], _USAGE_RESPONSES))


@cache
def stream(dialect: str, deltas: int) -> tuple[bytes, ...]:
    """The events of one streamed answer: opening, one for each delta, closing."""
    return tuple(_chat_stream(deltas) if dialect == CHAT else _responses_stream(deltas))


def _chat_stream(deltas: int) -> list[bytes]:
    head = {
        "id": "chatcmpl-Bq7cannedanswer0001",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": "canned",
    }
    head |= {"service_tier": "default", "system_fingerprint": "fp_50cad350e4"}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: " + orjson.dumps({**head, "choices": [choice], "usage": None}) + b"\n\n"

    opening = chunk({"role": "assistant", "content": "", "refusal": None})
    usage = b"data: " + orjson.dumps({**head, "choices": [], "usage": _USAGE_CHAT}) + b"\n\n"
    closing = chunk({}, "stop") + usage + END_MARKS[CHAT]
    return [opening, *(chunk({"content": word}) for word in words(deltas)), closing]


def _responses_stream(deltas: int) -> list[bytes]:
    sequence = iter(range(deltas + 10))

    def event(type: str, **fields: Any) -> bytes:
        data = orjson.dumps({"type": type, "sequence_number": next(sequence), **fields})
        return b"event: " + type.encode() + b"\ndata: " + data + b"\n\n"

    at = {"item_id": _message("", "in_progress")["id"], "output_index": 0, "content_index": 0}
    said = words(deltas)
    text = "".join(said)
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    opening = (
        event("response.created", response=_response("in_progress", [], None))
        + event("response.in_progress", response=_response("in_progress", [], None))
        + event("response.output_item.added", output_index=0, item={**_message("", "in_progress"), "content": []})
        + event("response.content_part.added", **at, part=part)
    )
    middle = [event("response.output_text.delta", **at, delta=word, logprobs=[]) for word in said]
    closing = (
        event("response.output_text.done", **at, text=text, logprobs=[])
        + event("response.content_part.done", **at, part={**part, "text": text})
        + event("response.output_item.done", output_index=0, item=_message(text, "completed"))
        + event("response.completed", response=_response("completed", [_message(text, "completed")], _USAGE_RESPONSES))
    )
    return [opening, *middle, closing]


def _message(text: str, status: str) -> dict[str, Any]:
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {"id": "msg_0cannedanswer0001", "type": "message", "status": status, "role": "assistant", "content": [part]}


def _response(status: str, output: list[dict[str, Any]], usage: dict[str, Any] | None) -> dict[str, Any]:
    head: dict[str, Any] = {"id": "resp_0cannedanswer0001", "object": "response", "created_at": _CREATED}
    head |= {"status": status, "error": None, "incomplete_details": None, "instructions": None, "model": "canned"}
    head |= {"max_output_tokens": None, "output": output, "parallel_tool_calls": True, "previous_response_id": None}
    head |= {
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
    }
    head |= {
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
    }
    return {**head, "usage": usage, "user": None, "metadata": {}}
