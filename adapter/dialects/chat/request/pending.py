"""Calls without an output at the end of a conversation, outputs that come when the model has spoken again, and those of no call.

Chat knows none of them: every call is answered before the model speaks again. Responses has tools that run beside the conversation
(`async`): their output comes in a later turn. Until then the model is told so in its place; and if the model has spoken since,
that stays, since it is what it knew, and the user tells the output where it comes. So does the user with what a tool says that
nobody called: Codex has what it does not answer for itself, the objective of a goal, said by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adapter.dialects.chat.request.pairing import Call
from adapter.dialects.chat.request.tools import Toolbox
from adapter.dialects.chat.request.turns import Message
from adapter.dialects.chat.request.write_calls import ToolCall
from adapter.dialects.chat.request.write_content import Part
from adapter.dialects.chat.request.writing import Writing
from adapter.errors import BadRequest
from adapter.hub.events import Item
from adapter.hub.losses import Action

PENDING: Final = "This call is still running. Its output will follow."


def leave_pending(calls: list[tuple[int, Call]], writing: Writing, box: Toolbox) -> None:
    """Says of `calls`, each with the place of its item, that they are still running.

    Raises:
        BadRequest: one of them cannot be.
    """
    for index, (tool_call, _, output, item) in calls:
        if not runs_beside(tool_call, item, box):
            words = item["type"].replace("_", " ")
            raise BadRequest(f"No tool output found for {words} {item['call_id'][:128]}.", param="input")
        output["content"] = PENDING
        reason = "Chat has no calls that are still running: the model is told so in the place of the output."
        writing.lose(writing.at(index), "pending_call", reason, Action.EMULATED)


def runs_beside(tool_call: ToolCall, item: Item, box: Toolbox) -> bool:
    """Whether a call may run on while the conversation does: it says so, or its tool."""
    ref = box.refs.get(tool_call[tool_call["type"]]["name"])
    return bool(item.get("async")) or (ref is not None and ref.beside)


def has_spoken_since(turn: Message, messages: Sequence[Message]) -> bool:
    """Whether the assistant has said something behind its message `turn`."""
    return next(message for message in reversed(messages) if message["role"] == "assistant") is not turn


def late_output(call: Call, content: str | list[Part], media: Sequence[Part], writing: Writing, index: int) -> Message:
    """The user's message that tells the output of an earlier call, which stays one that was running."""
    tool_call, _, output, _ = call
    output["content"] = PENDING
    reason = "Chat has no outputs of earlier turns: it follows in a user message."
    writing.lose(writing.at(index), "late_output", reason, Action.EMULATED)
    return _told(
        f"The call {tool_call['id']} of {tool_call[tool_call['type']]['name']} has ended. Its output:", content, media
    )


def uncalled_output(
    item: Item, content: str | list[Part], media: Sequence[Part], writing: Writing, index: int
) -> Message:
    """The user's message that tells what a tool says without having been called."""
    reason = "Chat has no outputs without a call: it is told in a user message."
    writing.lose(writing.at(index), "uncalled_output", reason, Action.EMULATED)
    name, space = item["name"], item.get("namespace")
    return _told(f"Output of {space}.{name}:" if space else f"Output of {name}:", content, media)


def _told(words: str, content: str | list[Part], media: Sequence[Part]) -> Message:
    if isinstance(content, str) and not media:
        return {"role": "user", "content": f"{words}\n{content}"}
    texts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    return {"role": "user", "content": [{"type": "text", "text": words}, *texts, *media]}
