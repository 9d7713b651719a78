"""Assistant messages that say more than one thing, and what follows the outputs of their calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from adapter.dialects.chat.request.write_content import Part
from adapter.dialects.functions.calls import ToolCall
from adapter.hub.events import Item
from adapter.hub.extra_content import EXTRA_CONTENT, UNSIGNED
from adapter.hub.reasoning_details import REASONING_DETAILS
from adapter.upstream.profiles import Profile

Message = dict[str, Any]
Call = tuple[ToolCall, Message, Message, Item]
"""(the call, the assistant's message that it stands in, the tool message that waits for its output, its item)."""

_NO_REASONING: Final = " "
"""Moonshot takes "" for none."""
_SILENT: Final = frozenset({"role", "name", "content"})
"""What a message has that says nothing but its content."""


def same_call(one: ToolCall, other: ToolCall) -> bool:
    """The same tool with the same arguments, whatever the id."""
    kind = one["type"]
    return kind == other["type"] and bool(one[kind] == other[kind])


class Turn:
    """An assistant's message with reasoning, a refusal, or a text that comes in pieces; most have none of these.

    Kept as pieces until all is said: a history may hold very many of one message.
    """

    __slots__ = ("message", "reasoning", "reasoning_at", "refusal", "text")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.text: list[str] = [message["content"] or ""]
        self.refusal: list[str] = []
        self.reasoning: list[str] = []
        self.reasoning_at = 0
        """Index of the item that the reasoning begins with."""

    def complete(self, profile: Profile, silence: str | None) -> bool:
        """Puts all of it into the message; False where the reasoning was left out. `silence` stands beside calls for no text."""
        message, calls = self.message, self.message.get("tool_calls")
        message["content"] = "".join(self.text) or (silence if calls else "")
        refusal, reasoning = "".join(self.refusal), "".join(self.reasoning)
        if refusal:
            message["refusal"] = refusal
        replayed = _replays(profile, calls)
        if reasoning and replayed:
            message[profile.reasoning_field] = reasoning
        return replayed or not reasoning or REASONING_DETAILS in message


def _replays(profile: Profile, calls: Any) -> bool:
    """Whether reasoning goes back on a message with these calls."""
    return profile.reasoning_replay == "all" or (profile.reasoning_replay == "tool_turns" and bool(calls))


def demand_reasoning(messages: list[Message], profile: Profile) -> None:
    """Every message that reasoning goes back on has some."""
    for message in messages:
        if message["role"] == "assistant" and _replays(profile, message.get("tool_calls")):
            message[profile.reasoning_field] = message.get(profile.reasoning_field) or _NO_REASONING


def without_silence(messages: list[Message], silence: str | None) -> list[Message]:
    """The messages without those of the assistant that say nothing; blanks are nothing. `silence`: as in `Turn.complete`."""
    written: list[Message] = []
    for message in messages:
        if message["role"] != "assistant" or (message["content"] or "").strip():
            written.append(message)
        elif not _SILENT.issuperset(message):
            written.append({**message, "content": silence if "tool_calls" in message else ""})
    return written


def demand_signatures(messages: list[Message]) -> None:
    """The calls of every message are signed: the first is, as it is where they were made at once."""
    for message in messages:
        calls = message.get("tool_calls")
        if calls and not any(call.get(EXTRA_CONTENT) for call in calls):
            calls[0][EXTRA_CONTENT] = UNSIGNED


def with_media(messages: list[Message], media: dict[int, Sequence[Part]]) -> list[Message]:
    """The messages, and behind the tool messages of each turn a user message with the media that they could not hold.

    `media` is by the `id()` of the tool message.
    """
    written: list[Message] = []
    following: list[Part] = []
    for message in messages:
        if following and message["role"] != "tool":
            written.append({"role": "user", "content": following})
            following = []
        written.append(message)
        if id(message) in media:
            following.append({"type": "text", "text": f"[output of tool call {message['tool_call_id']}]"})
            following += media[id(message)]
    if following:
        written.append({"role": "user", "content": following})
    return written
