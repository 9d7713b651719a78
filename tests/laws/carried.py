"""A Chat client that sends back what it was answered, as those do that keep `reasoning_details`."""

from __future__ import annotations

from typing import Any, Final

from adapter import translate
from adapter.conform.laws import events_of
from adapter.conform.speaking import Spoken, response, responses_stream

CARRYING: Final = ["azure", "openai", "openrouter", "xai"]
"""The profiles of servers that give reasoning which only they can read."""
TOOLS: Final[list[dict[str, Any]]] = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
USER: Final = {"role": "user", "content": "Hi"}


def thought(number: int) -> dict[str, Any]:
    """A reasoning item of an answer."""
    return {"id": f"rs_{number}", "type": "reasoning", "summary": [], "encrypted_content": f"gAAA{number}"}


def chunks(stream: bytes) -> list[dict[str, Any]]:
    """The deltas of a Chat stream."""
    return [choice["delta"] for event in events_of(stream) for choice in event.get("choices", ())]


def answered(output: list[dict[str, Any]], *, stream: bool, width: int = 3, to: str = "openai") -> dict[str, Any]:
    """The message that a Chat client keeps of an answer, put together as it is where it was streamed."""
    exchange = translate.request(
        {"model": "m", "messages": [USER], "tools": TOOLS}, "chat", "responses", profile=to
    ).exchange
    spoken = Spoken(output, width=width)
    if not stream:
        reply = translate.reply(response(spoken), "responses", "chat", exchange=exchange).value
        message: dict[str, Any] = reply["choices"][0]["message"]
        return message
    message = {"role": "assistant", "content": None, "refusal": None}
    for delta in chunks(b"".join(translate.stream([responses_stream(spoken)], "responses", "chat", exchange=exchange))):
        for key in ("content", "refusal", "reasoning_content"):
            if delta.get(key):
                message[key] = (message.get(key) or "") + delta[key]
        message.setdefault("reasoning_details", []).extend(delta.get("reasoning_details", ()))
        for fragment in delta.get("tool_calls", ()):
            calls = message.setdefault("tool_calls", [])
            if fragment["index"] == len(calls):
                calls.append({key: fragment[key] for key in ("id", "type", fragment["type"])})
            else:
                (kind,) = fragment.keys() - {"index"}
                for key, text in fragment[kind].items():
                    calls[fragment["index"]][kind][key] += text
    return {key: value for key, value in message.items() if value != []}


def round_trip(output: list[dict[str, Any]], *, stream: bool = False, width: int = 3, to: str = "openai") -> Any:
    """What the upstream is asked next, of a client that was answered with these items."""
    message = answered(output, stream=stream, width=width, to=to)
    turns = [{"role": "tool", "tool_call_id": call["id"], "content": "1"} for call in message.get("tool_calls", ())]
    body = {
        "model": "m",
        "messages": [USER, message, *(turns or [{"role": "user", "content": "Go on."}])],
        "tools": TOOLS,
    }
    return translate.request(body, "chat", "responses", profile=to)
