"""What turns an instance of a schema into something that can be asked or answered: the partners that it needs, and a stream."""

from __future__ import annotations

import json
from typing import Any

_FUNCTION = {"type": "function", "name": "f"}
_TOOLS = [_FUNCTION, {"type": "custom", "name": "g"}, {"type": "shell"}, {"type": "apply_patch"}]
_OUTPUTS: dict[str, dict[str, Any]] = {
    "function_call": {"type": "function_call_output", "output": "o"},
    "custom_tool_call": {"type": "custom_tool_call_output", "output": "o"},
    "tool_search_call": {"type": "tool_search_output", "execution": "client", "tools": []},
    "local_shell_call": {"type": "local_shell_call_output", "output": "o"},
    "shell_call": {"type": "shell_call_output", "output": []},
    "apply_patch_call": {"type": "apply_patch_call_output", "status": "completed"},
}
_CALLS: dict[str, dict[str, Any]] = {
    "function_call_output": {"type": "function_call", "name": "f", "arguments": "{}"},
    "custom_tool_call_output": {"type": "custom_tool_call", "name": "g", "input": "x"},
    "tool_search_output": {"type": "tool_search_call", "execution": "client", "arguments": {}},
    "local_shell_call_output": {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"], "env": {}}},
    "shell_call_output": {"type": "shell_call", "action": {"commands": ["ls"]}},
    "apply_patch_call_output": {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "p"}},
}


def responses_request(given: dict[str, Any]) -> dict[str, Any]:
    """A request that can be translated, with the first item of `given`, if it has one, as the second."""
    body = {"model": "m", "input": "hi"} | given
    if isinstance(body["input"], list):
        body["input"] = [{"role": "user", "content": "hi"}, *_paired(body["input"])]
    if "stream_options" in body:
        body["stream"] = True
    if "tools" not in body and not {"tool_choice", "parallel_tool_calls"}.isdisjoint(body):
        choice = body.get("tool_choice")
        chosen = [choice, *choice.get("tools", ())] if isinstance(choice, dict) else []
        named = [{"type": one["type"], "name": one["name"]} for one in chosen if {"type", "name"} <= one.keys()]
        body["tools"] = [*_TOOLS, *named]
    return body


def _paired(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for item in items:
        kind = item.get("type", "")
        call_id = item.get("call_id") or item.get("id")
        if kind in _OUTPUTS:
            return [item, _OUTPUTS[kind] | {"call_id": call_id}]
        if kind in _CALLS:
            return [_CALLS[kind] | {"call_id": call_id}, item]
        if kind == "reasoning":
            return [item, {"role": "assistant", "content": "x"}]
    return items


def chat_request(given: dict[str, Any]) -> dict[str, Any]:
    """A request that can be translated, with the first message of `given`, if it has one, as the last."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
    for message in given.get("messages", ()):
        if message["role"] == "function":
            called = {"name": message["name"], "arguments": "{}"}
            messages.append({"role": "assistant", "content": None, "function_call": called})
        messages.append(message)
    body = {"model": "m"} | given | {"messages": messages}
    if "stream_options" in body:
        body["stream"] = True
    if "top_logprobs" in body:
        body["logprobs"] = True
    if "tools" not in body and not {"tool_choice", "parallel_tool_calls"}.isdisjoint(body):
        body["tools"] = [{"type": "function", "function": {"name": "f"}}]
    if "functions" not in body and "function_call" in body:
        body["functions"] = [{"name": "f"}]
    return body


def chat_reply(given: dict[str, Any]) -> dict[str, Any]:
    """A plain answer of a Chat server."""
    return given


def chat_stream(given: dict[str, Any]) -> list[bytes]:
    """A stream of a Chat server with `given` as a chunk amid text."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunks = [head | {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]}]
    for choice in given.get("choices", ()):
        delta = choice.get("delta", {})
        if choice.get("logprobs"):
            delta = {"content": "said", "refusal": "no", **delta}
        if "function_call" in delta:
            delta = {**delta, "function_call": {"name": "f", **delta["function_call"]}}
        for call in delta.get("tool_calls", ()):
            call["function"] = {"name": "f"} | call.get("function", {})
        chunks.append({**head, **given, "choices": [{**choice, "index": 0, "delta": delta}]})
    if not given.get("choices"):
        chunks.append({**head, **given})
    if not any(choice.get("finish_reason") for choice in given.get("choices", ())):
        chunks.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return [b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks] + [b"data: [DONE]\n\n"]


_SAID = {"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}
_MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [_SAID]}


def responses_reply(given: dict[str, Any]) -> dict[str, Any]:
    """A plain answer of a Responses server."""
    return {"status": "completed", **given, "output": given.get("output") or [_MESSAGE]}


def responses_stream(given: dict[str, Any]) -> list[bytes]:
    """The same answer, streamed."""
    whole = responses_reply(given)
    events: list[dict[str, Any]] = []

    def event(kind: str, **fields: Any) -> None:
        events.append({"type": f"response.{kind}", "sequence_number": len(events), **fields})

    event("created", response={**whole, "status": "in_progress", "output": [], "error": None})
    for index, item in enumerate(whole["output"]):
        begun = {**item, "content": [], "status": "in_progress"} if item["type"] == "message" else item
        event("output_item.added", output_index=index, item=begun)
        if item["type"] == "message":
            for number, part in enumerate(item["content"]):
                place = {"output_index": index, "content_index": number, "item_id": item["id"]}
                _streamed(part, place, event)
        event("output_item.done", output_index=index, item=item)
    event({"in_progress": "completed", "cancelled": "failed"}.get(whole["status"], whole["status"]), response=whole)
    return [b"event: %b\ndata: %b\n\n" % (one["type"].encode(), json.dumps(one).encode()) for one in events]


def _streamed(part: dict[str, Any], place: dict[str, Any], event: Any) -> None:
    if part["type"] == "output_text":
        event("content_part.added", **place, part=part | {"text": "", "annotations": [], "logprobs": []})
        logprobs = part.get("logprobs", [])
        event("output_text.delta", **place, delta=part["text"], logprobs=logprobs)
        for number, annotation in enumerate(part["annotations"]):
            event("output_text.annotation.added", **place, annotation_index=number, annotation=annotation)
        event("output_text.done", **place, text=part["text"], logprobs=logprobs)
    elif part["type"] == "refusal":
        event("content_part.added", **place, part=part | {"refusal": ""})
        event("refusal.delta", **place, delta=part["refusal"])
        event("refusal.done", **place, refusal=part["refusal"])
    else:
        event("content_part.added", **place, part=part)
    event("content_part.done", **place, part=part)
