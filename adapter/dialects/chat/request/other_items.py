"""Items that Chat histories have no place for: refused where leaving them out would mislead, else a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from adapter.dialects.functions.calls import CALLS
from adapter.dialects.writing import Writing
from adapter.errors import BadRequest, InvalidEncryptedContent, UnsupportedParameter
from adapter.hub.events import Item
from adapter.hub.items import UPDATE

HOSTED_ITEMS: Final = frozenset(
    {
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "computer_call",
        "computer_call_output",
        "mcp_list_tools",
        "mcp_call",
        "mcp_approval_request",
        "mcp_approval_response",
        "program",
        "program_output",
    }
)
"""What model servers ran themselves."""

_NAMED_LOSSES: Final = HOSTED_ITEMS | CALLS.keys()


def leave_out(index: int, item: Item, writing: Writing) -> None:
    """An item that is in no message.

    Raises:
        BadRequest: leaving it out would mislead.
    """
    kind = item.get("type")
    known = _OTHERS.get(kind) if isinstance(kind, str) else None
    if known is not None:
        known(index, writing)
        return
    if kind == "mcp_approval_response" and index == len(writing.request.items) - 1:
        raise UnsupportedParameter("The upstream cannot run MCP tools.", param=writing.at(index))
    word = kind if isinstance(kind, str) and kind in _NAMED_LOSSES else "unknown_item"
    writing.lose(writing.at(index), word, "Chat histories have no place for this kind of item.")


def _nothing(_index: int, _writing: Writing) -> None:
    """Says nothing to the model by itself."""


def _compaction(index: int, writing: Writing) -> None:
    raise InvalidEncryptedContent(
        "This compaction item was not made here, or can no longer be opened.",
        param=writing.at(index, ".encrypted_content"),
    )


def _marker(index: int, writing: Writing) -> None:
    """Codex's sign that something was compacted; only with a blob does it stand for anything."""
    if writing.request.items[index].get("encrypted_content") is not None:
        _compaction(index, writing)


def _trigger(index: int, writing: Writing) -> None:
    raise UnsupportedParameter("compaction_trigger is not supported here.", param=writing.at(index))


def _reference(index: int, writing: Writing) -> None:
    raise BadRequest(
        "item_reference items need stored responses, which are not kept here: send the item itself.",
        param=writing.at(index, ".id"),
    )


_OTHERS: Final[dict[str, Callable[[int, Writing], None]]] = {
    "additional_tools": _nothing,
    "compaction": _compaction,
    "compaction_summary": _compaction,
    "context_compaction": _marker,
    "compaction_trigger": _trigger,
    UPDATE: _nothing,
    "item_reference": _reference,
}
