"""Short forms for the tests of the Chat writer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adapter.conform.strict_chat import problems
from adapter.dialects.chat.write_request import write_request
from adapter.hub.request import Request, Written
from adapter.upstream.profiles import GENERIC, Profile, profile

OPENAI = profile("openai")


def written(*items: dict[str, Any], to: Profile = GENERIC, **body: Any) -> Written:
    """A Responses request as the profile's server gets it; every body is held to the strict checker."""
    made = write_request(Request({"model": "m", "input": list(items), **body}), to)
    assert problems(made.body, to) == []
    return made


def messages(*items: dict[str, Any], to: Profile = GENERIC, **body: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = written(*items, to=to, **body).body["messages"]
    return found


def generic(**capabilities: Any) -> Profile:
    return replace(GENERIC, **capabilities)


def lost(made: Written) -> list[tuple[str, str, str]]:
    return [(loss.path, loss.action.value, loss.kind) for loss in made.losses]


def user(text: str = "hi") -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {
        "type": "message",
        "role": "assistant",
        "id": "msg_1",
        "status": "completed",
        "phase": "final_answer",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }


def call(id: str, name: str = "f", arguments: str = "{}", **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_" + id, "call_id": id, "name": name, "arguments": arguments, **more}


def output(id: str, output: Any = "ok", **more: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": id, "output": output, **more}


def chat_call(id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(id: str, content: Any = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def bot(content: str | None, *calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content, **more}
    return message | {"tool_calls": list(calls)} if calls else message
