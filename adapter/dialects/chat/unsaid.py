"""What of an answer Chat Completions has no words for: hosted tools' items, annotations that are no URL citations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from adapter.dialects.chat.finishes import CALL_TYPES
from adapter.hub.fold import Answer
from adapter.hub.losses import Action, Loss
from adapter.hub.request import Exchange

_WORDLESS: Final = frozenset(
    {
        "apply_patch_call",
        "code_interpreter_call",
        "compaction",
        "computer_call",
        "file_search_call",
        "image_generation_call",
        "local_shell_call",
        "mcp_approval_request",
        "mcp_call",
        "mcp_list_tools",
        "program",
        "shell_call",
        "tool_search_call",
        "web_search_call",
    }
)
"""Items by their names in the loss report; types that we do not know are all called `item`: it is a metric's label."""

ANNOTATION: Final = Loss("output", Action.DROPPED, "annotation", "Chat Completions has URL citations only.")
FURTHER_CALL: Final = Loss(
    "output", Action.DROPPED, "function_call", "The deprecated function_call holds one call only."
)


def item_loss(kind: Any) -> Loss:
    """An item of this type, which is neither message, reasoning nor call."""
    word = kind if type(kind) is str and kind in _WORDLESS else "item"
    return Loss("output", Action.DROPPED, word, "Chat Completions has no such item.")


def unsaid(answers: Sequence[Answer], exchange: Exchange) -> list[Loss]:
    """What `write_reply` leaves out; the writer of a stream tells the same."""
    losses: list[Loss] = []
    for answer in answers:
        called = False
        for item in answer.items.values():
            kind = item.get("type")
            if kind == "message":
                for part in item.get("content") or ():
                    if annotations := part.get("annotations"):
                        losses += [ANNOTATION for one in annotations if one.get("type") != "url_citation"]
            elif kind in CALL_TYPES:
                if called and exchange.request.carry.get("functions"):
                    losses.append(FURTHER_CALL)
                called = True
            elif kind != "reasoning":
                losses.append(item_loss(kind))
    return losses
