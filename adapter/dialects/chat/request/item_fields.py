"""The keys of input items and of their parts that go to a Chat server, or say nothing to a model; any other is a loss.

Clients send items back as they were given them: with ids and status, who called, how likely a text was, what an SDK made of
its JSON. To leave that out is no loss, and to tell of it would be noise in every turn.
"""

from __future__ import annotations

from typing import Final

from adapter.dialects.chat.extra_content import EXTRA_CONTENT
from adapter.dialects.chat.request.writing import Writing
from adapter.hub.events import Item

_GIVEN: Final = frozenset(
    {"type", "id", "status", "created_by", "caller", "async", "internal_chat_message_metadata_passthrough"}
)
_MESSAGE: Final = _GIVEN | {"role", "content", "phase"}
_CALL: Final = _GIVEN | {"call_id", "name", "arguments", "parsed_arguments"}
_OUTPUT: Final = _GIVEN | {"call_id", "name", "namespace", "output"}
"""The call has the name as well."""
_TEXT: Final = frozenset({"type", "text", "annotations", "logprobs", "parsed"})

is_message: Final = _MESSAGE.issuperset
is_call: Final = (_CALL - {"async"}).issuperset
is_output: Final = _OUTPUT.issuperset
is_text: Final = _TEXT.issuperset
"""Whether an object has no other keys than these, which need no closer look; that a call is `async` does."""

_FIELDS: Final[dict[str, frozenset[str]]] = {
    "message": _MESSAGE | {EXTRA_CONTENT},
    "reasoning": _GIVEN | {"summary", "content", "encrypted_content"},
    "function_call": _CALL | {"namespace", EXTRA_CONTENT},
    "custom_tool_call": _GIVEN | {"call_id", "name", "namespace", "input", EXTRA_CONTENT},
    "function_call_output": _OUTPUT,
    "custom_tool_call_output": _OUTPUT,
    "local_shell_call": _GIVEN | {"call_id", EXTRA_CONTENT, "action"},
    "local_shell_call_output": _OUTPUT,
    "shell_call": _GIVEN | {"call_id", EXTRA_CONTENT, "action", "environment"},
    "shell_call_output": _OUTPUT | {"max_output_length"},
    "apply_patch_call": _GIVEN | {"call_id", EXTRA_CONTENT, "operation"},
    "apply_patch_call_output": _OUTPUT,
    "tool_search_call": _GIVEN | {"call_id", EXTRA_CONTENT, "execution", "arguments"},
    "tool_search_output": _GIVEN | {"call_id", "execution", "tools"},
    "additional_tools": _GIVEN | {"role", "tools"},
}
"""Of items that are left out, none of the keys is looked at: the whole is a loss."""
_PARTS: Final[dict[str, frozenset[str]]] = {
    "input_text": _TEXT | {"prompt_cache_breakpoint"},
    "output_text": _TEXT | {"prompt_cache_breakpoint"},
    "refusal": frozenset({"type", "refusal"}),
    "input_image": frozenset({"type", "image_url", "file_id", "detail", "prompt_cache_breakpoint"}),
    "input_file": frozenset(
        {"type", "file_id", "filename", "file_data", "file_url", "detail", "prompt_cache_breakpoint"}
    ),
}
_PARTED: Final = {
    "message": "content",
    "function_call_output": "output",
    "custom_tool_call_output": "output",
}
"""Where items have parts."""


def report_unknown(index: int, item: Item, writing: Writing) -> None:
    """Declares what an item that was written says under keys that cannot be carried."""
    kind = item.get("type")
    known = _FIELDS.get(kind) if type(kind) is str else None
    if known is None:
        return
    if not known.issuperset(item):
        writing.lose_unknown(writing.at(index), item, known)
    field = _PARTED.get(item["type"])
    if field is not None and type(parts := item.get(field)) is list:
        for j, part in enumerate(parts):
            of = _PARTS.get(said) if type(said := part.get("type")) is str else None
            if of is not None and not of.issuperset(part):
                writing.lose_unknown(writing.at(index, f".{field}[{j}]"), part, of)
