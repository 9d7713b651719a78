"""What of an answer Chat Completions has no words for: hosted tools' items, annotations that are no URL citations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from adapter.dialects.chat.answer.finishes import CALL_TYPES
from adapter.dialects.chat.answer.served import SERVED_CALL, served
from adapter.hub.events import Item
from adapter.hub.extra_content import EXTRA_CONTENT
from adapter.hub.fold import Answer
from adapter.hub.losses import Action, Fields, Loss, unread
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


def more_of(index: int, item: Item) -> Iterator[Loss]:
    """What a whole message, reasoning item or call says beyond what its kind has; other items are losses as a whole."""
    known = _FIELDS.get(item["type"])
    return iter(()) if known is None else unread(f"output[{index}]", item, known)


_CITATION: Final[Fields] = dict.fromkeys(
    ("type", "url", "title", "start_index", "end_index", "file_id", "filename", "container_id", "index")
)
_PART: Final[Fields] = {**dict.fromkeys(("type", "text", "refusal", "logprobs")), "annotations": _CITATION}
_ITEM: Final = dict.fromkeys(("id", "type", "status", "role", "phase", EXTRA_CONTENT))
_CALL: Final[Fields] = {**_ITEM, **dict.fromkeys(("call_id", "name", "namespace", "caller", "arguments", "input"))}
_FIELDS: Final[Mapping[str, Fields]] = {
    "message": {**_ITEM, "content": _PART},
    "reasoning": {**_ITEM, "content": _PART, "summary": _PART, "encrypted_content": None},
    "function_call": _CALL,
    "custom_tool_call": _CALL,
}


def unsaid(answers: Sequence[Answer], exchange: Exchange) -> list[Loss]:
    """What `write_reply` leaves out; the writer of a stream tells the same."""
    losses: list[Loss] = []
    for answer in answers:
        losses += answer.losses
        called = False
        done = served(answer.output, exchange) if len(answer.items) > 1 else ()
        for index, item in answer.items.items():
            kind = item.get("type")
            if kind == "message":
                plain = len(item) == 5
                for part in item["content"]:
                    annotations = part.get("annotations")
                    if annotations != [] or len(part) != 4:
                        plain = False
                        losses += [ANNOTATION for one in annotations or () if one.get("type") != "url_citation"]
                if plain:
                    continue
            losses += more_of(index, item)
            if kind in CALL_TYPES and item["call_id"] in done:
                losses.append(SERVED_CALL)
            elif kind in CALL_TYPES:
                if called and exchange.request.carry.get("functions"):
                    losses.append(FURTHER_CALL)
                called = True
            elif kind not in ("message", "reasoning"):
                losses.append(item_loss(kind))
    return losses
