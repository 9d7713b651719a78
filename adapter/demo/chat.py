"""The demo's Chat Completions speaker: a request into a question, an answer into a reply or into chunks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from adapter.demo.asking import Bad, image_type, structured, text_of
from adapter.demo.brain import Question, Said, Tool, answer, pieces, tokens

CREATED = 1_764_000_000
"""The demo has no clock: the same request gets the same bytes."""


def question(body: dict[str, Any]) -> Question:
    """What a Chat body asks.

    Raises:
        Bad: no model or no messages.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Bad("Missing required parameter: 'messages'.", "messages")
    tools = tuple(_tools(body))
    must, may, only = _choice(body.get("tool_choice"))
    if must and not tools:
        raise Bad("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    turn = _last_turn(messages)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    stop = body.get("stop")
    return Question(
        user=turn["user"],
        images=tuple(turn["images"]),
        files=tuple(turn["files"]),
        tools=tools,
        must_call=must,
        may_call=may,
        only=only,
        parallel=body.get("parallel_tool_calls") is not False,
        outputs=tuple(turn["outputs"]),
        reasons=body.get("reasoning_effort") not in (None, "none"),
        schema=structured(body.get("response_format"), nested=True),
        limit=limit if isinstance(limit, int) else None,
        stop=tuple([stop] if isinstance(stop, str) else [s for s in stop if isinstance(s, str)] if stop else []),
    )


def _tools(body: dict[str, Any]) -> Iterator[Tool]:
    for tool in body.get("tools") or ():
        inner = tool.get(tool.get("type")) if isinstance(tool, dict) else None
        if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
            raise Bad("Invalid value for 'tools': each tool needs a type and a name.", "tools")
        yield Tool(name=inner["name"], custom=tool["type"] == "custom", schema=inner.get("parameters"))


def _choice(choice: Any) -> tuple[bool, bool, tuple[str, ...]]:
    match choice:
        case "required":
            return True, True, ()
        case "none":
            return False, False, ()
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}:
            return mode == "required", True, tuple(tool[tool["type"]]["name"] for tool in tools)
        case {"type": "function" | "custom" as kind}:
            return True, True, (choice[kind]["name"],)
        case _:
            return False, True, ()


def _last_turn(messages: list[Any]) -> dict[str, Any]:
    """The last run of user messages, and the tool outputs after it."""
    turn: dict[str, Any] = {"user": "", "images": [], "files": [], "outputs": []}
    names: dict[Any, str] = {}
    before: Any = ""
    for message in messages:
        if not isinstance(message, dict):
            raise Bad("Invalid type for 'messages': expected objects.", "messages")
        role = message.get("role")
        if role == "user":
            if before != "user":
                turn = {"user": "", "images": [], "files": [], "outputs": turn["outputs"] if before == "tool" else []}
            _user(message.get("content"), turn)
        elif role == "assistant":
            for call in message.get("tool_calls") or ():
                names[call.get("id")] = call.get(call.get("type") or "function", {}).get("name", "tool")
        elif role == "tool":
            name = names.get(message.get("tool_call_id"))
            if name is None:
                raise Bad("messages with role 'tool' must be a response to a preceding message with 'tool_calls'.")
            turn["outputs"].append((name, text_of(message.get("content"))))
        before = role
    return turn


def _user(content: Any, turn: dict[str, Any]) -> None:
    turn["user"] = f"{turn['user']} {text_of(content)}".strip()
    for part in content if isinstance(content, list) else ():
        match part:
            case {"type": "image_url", "image_url": {"url": str(url)}}:
                turn["images"].append(image_type(url))
            case {"type": "file", "file": dict(file)}:
                turn["files"].append(str(file.get("filename", "file")))


# --------------------------------------------------------------------------------------------------------- speaking


def reply(body: dict[str, Any], size: int, token: str) -> dict[str, Any]:
    """The plain `chat.completion`."""
    asked = question(body)
    choices, spoken = [], []
    for index in range(_n(body)):
        said = answer(asked)
        spoken.append(said)
        message: dict[str, Any] = {"role": "assistant", "content": said.text or None, "refusal": said.refusal or None}
        if said.reasoning:
            message["reasoning_content"] = said.reasoning
        if said.calls:
            message["tool_calls"] = [
                {"id": _call_id(token, index, k), "type": call.tool.kind, call.tool.kind: _named(call.tool, call.text)}
                for k, call in enumerate(said.calls)
            ]
        elif not said.refusal:
            message["content"] = said.text
        choices.append(
            {
                "index": index,
                "message": message,
                "logprobs": _logprobs(body, pieces(said.text)) if said.text else None,
                "finish_reason": _finish(said),
            }
        )
    return {**_head(body, token, "chat.completion"), "choices": choices, "usage": _usage(spoken, size)}


def chunks(body: dict[str, Any], size: int, token: str) -> Iterator[dict[str, Any]]:
    """The `chat.completion.chunk`s; `[DONE]` is the caller's."""
    asked = question(body)
    options = body.get("stream_options")
    with_usage = isinstance(options, dict) and options.get("include_usage") is True
    head = _head(body, token, "chat.completion.chunk")
    pad = {"usage": None} if with_usage else {}
    spoken = []
    for index in range(_n(body)):
        said = answer(asked)
        spoken.append(said)
        for delta, logprobs, finish in _deltas(body, said, token, index):
            choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
            yield {**head, "choices": [choice], **pad}
    if with_usage:
        yield {**head, "choices": [], "usage": _usage(spoken, size)}


def _deltas(
    body: dict[str, Any], said: Said, token: str, index: int
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None, str | None]]:
    yield {"role": "assistant", "content": None if said.calls else "", "refusal": None}, None, None
    for piece in pieces(said.reasoning):
        yield {"reasoning_content": piece}, None, None
    for piece in pieces(said.text):
        yield {"content": piece}, _logprobs(body, [piece]), None
    for piece in pieces(said.refusal):
        yield {"refusal": piece}, None, None
    for k, call in enumerate(said.calls):
        field = "input" if call.tool.custom else "arguments"
        first = {"id": _call_id(token, index, k), "type": call.tool.kind, call.tool.kind: _named(call.tool, "")}
        yield {"tool_calls": [{"index": k, **first}]}, None, None
        for piece in pieces(call.text):
            yield {"tool_calls": [{"index": k, call.tool.kind: {field: piece}}]}, None, None
    yield {}, None, _finish(said)


def _head(body: dict[str, Any], token: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{token}", "object": kind, "created": CREATED, "model": body["model"]}


def _named(tool: Tool, text: str) -> dict[str, Any]:
    return {"name": tool.name, "input" if tool.custom else "arguments": text}


def _call_id(token: str, index: int, k: int) -> str:
    return f"call_{token[:16]}_{index}{k}"


def _finish(said: Said) -> str:
    return "length" if said.cut else "tool_calls" if said.calls else "stop"


def _n(body: dict[str, Any]) -> int:
    n = body.get("n")
    return n if isinstance(n, int) and 1 <= n <= 16 else 1


def _logprobs(body: dict[str, Any], words: list[str]) -> dict[str, Any] | None:
    if not body.get("logprobs"):
        return None
    top = body.get("top_logprobs") or 0
    content = []
    for word in words:
        entry: dict[str, Any] = {"token": word, "logprob": -0.1, "bytes": list(word.encode())}
        content.append({**entry, "top_logprobs": [entry] if top else []})
    return {"content": content, "refusal": None}


def _usage(spoken: list[Said], size: int) -> dict[str, Any]:
    tokens_in, tokens_out = tokens(size), sum(said.tokens_out for said in spoken)
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": sum(said.tokens_reasoning for said in spoken)},
    }


def framed(body: dict[str, Any], size: int, token: str) -> Iterator[bytes]:
    """The stream as it goes out."""
    for chunk in chunks(body, size, token):
        yield b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"
