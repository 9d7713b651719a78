"""One assistant turn of a history, and the messages that it comes to."""

from __future__ import annotations

from typing import Any

from adapter.dialects.chat.write_calls import Output, ToolCall
from adapter.dialects.chat.write_content import Part
from adapter.dialects.chat.writing import Writing
from adapter.errors import BadRequest

Message = dict[str, Any]

Pieces = str | list[str]
"""A text, or what it is to be joined from: a history may hold very many pieces of one message."""


def longer(so_far: Pieces, more: Pieces) -> Pieces:
    """`more` behind `so_far`, which is used up; nothing is copied until `whole`."""
    if not so_far or not more:
        return so_far or more
    pieces = [so_far] if isinstance(so_far, str) else so_far
    pieces += (more,) if isinstance(more, str) else more
    return pieces


def whole(text: Pieces) -> str:
    """The text in one piece."""
    return text if isinstance(text, str) else "".join(text)


class Call:
    """One tool call of a turn."""

    output: Output | None = None

    def __init__(self, turn: Turn, index: int, tool_call: ToolCall) -> None:
        self.turn = turn
        self.index = index
        self.tool_call = tool_call
        if turn.calls:
            turn.calls.append(self)
        else:
            turn.calls = [self]

    def says(self, tool_call: ToolCall) -> bool:
        """The same tool with the same arguments, whatever the id."""
        kind = tool_call["type"]
        return kind == self.tool_call["type"] and bool(tool_call[kind] == self.tool_call[kind])


class Turn:
    """One assistant message in the making. Most turns hold one thing, so the rest are defaults of the class."""

    text: Pieces = ""
    refusal: Pieces = ""
    reasoning: Pieces = ""
    reasoning_at = 0
    answered = False
    """An output for it has come: it takes nothing more."""
    calls: list[Call] | tuple[()] = ()


def write_turn(turn: Turn, writing: Writing, messages: list[Message]) -> bool:
    """Append the assistant message and its tool messages; False where the turn's reasoning was left out.

    Raises:
        BadRequest: a call has no output.
    """
    profile, calls = writing.profile, turn.calls
    content: str | None = whole(turn.text)
    if not content and calls and profile.assistant_null_content:
        content = None
    message: Message = {"role": "assistant", "content": content}
    messages.append(message)
    if turn.refusal:
        message["refusal"] = whole(turn.refusal)
    replayed = True
    if turn.reasoning:
        replay = profile.reasoning_replay
        replayed = replay == "all" or (replay == "tool_turns" and bool(calls))
        if replayed:
            message[profile.reasoning_field] = whole(turn.reasoning)
    if calls:
        message["tool_calls"] = [call.tool_call for call in calls]
        _write_outputs(calls, writing, messages)
    return replayed


def _write_outputs(calls: list[Call], writing: Writing, messages: list[Message]) -> None:
    following: list[Part] = []
    for call in calls:
        if call.output is None:
            raise _unanswered(call, writing)
        content, media = call.output
        wire_id = call.tool_call["id"]
        messages.append({"role": "tool", "tool_call_id": wire_id, "content": content})
        if media:
            following.append({"type": "text", "text": f"[output of tool call {wire_id}]"})
            following.extend(media)
    if following:
        messages.append({"role": "user", "content": following})


def _unanswered(call: Call, writing: Writing) -> BadRequest:
    item = writing.request.items[call.index]
    words = item["type"].replace("_", " ")
    call_id = str(item.get("call_id") or item.get("id") or "")
    return BadRequest(f"No tool output found for {words} {call_id[:128]}.", param="input")
