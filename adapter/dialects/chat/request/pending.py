"""Calls without an output at the end of a conversation.

Chat knows none: every call is answered before the model speaks again. Responses has tools that run beside the conversation
(`async`): their output comes in a later turn, and until then the model is told so where the output will stand.
"""

from __future__ import annotations

from typing import Final

from adapter.dialects.chat.request.pairing import Call
from adapter.dialects.chat.request.tools import Toolbox
from adapter.dialects.chat.request.writing import Writing
from adapter.errors import BadRequest
from adapter.hub.losses import Action

PENDING: Final = "This call is still running. Its output will follow."


def leave_pending(calls: list[tuple[int, Call]], writing: Writing, box: Toolbox) -> None:
    """Says of `calls`, each with the place of its item, that they are still running.

    Raises:
        BadRequest: one of them cannot be.
    """
    for index, (tool_call, _, output, item) in calls:
        ref = box.refs.get(tool_call[tool_call["type"]]["name"])
        if not item.get("async") and (ref is None or not ref.beside):
            words = item["type"].replace("_", " ")
            raise BadRequest(f"No tool output found for {words} {item['call_id'][:128]}.", param="input")
        output["content"] = PENDING
        reason = "Chat has no calls that are still running: the model is told so in the place of the output."
        writing.lose(writing.at(index), "pending_call", reason, Action.EMULATED)
