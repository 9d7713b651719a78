"""Calls without an output at the end of a conversation.

Chat knows none: every call is answered before the model speaks again. Responses has tools that run beside the conversation
(`async`): their output comes in a later turn. Until then the model is told so in its place; and if the model has spoken since,
that stays, since it is what it knew, and the user tells the output where it comes (`told`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adapter.dialects.chat.request.turns import Call, Message
from adapter.dialects.functions.calls import ToolCall
from adapter.dialects.functions.toolbox import Toolbox
from adapter.dialects.writing import Writing
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
            raise BadRequest(f"No tool output found for {words} {item['call_id'][:128]}.", param=writing.turns)
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
