"""The keys of input items and of their parts that go to a Chat server, or say nothing to a model; any other is a loss.

Clients send items back as they were given them: with ids and status, who called, how likely a text was, what an SDK made of
its JSON. To leave that out is no loss, and to tell of it would be noise in every turn.
"""

from __future__ import annotations

from typing import Final

from adapter.dialects.writing import Writing
from adapter.hub.events import Item
from adapter.hub.extra_content import EXTRA_CONTENT
from adapter.hub.forms import GIVEN, OF_CALLS, OF_MESSAGES, OF_OUTPUTS, OF_TEXTS
from adapter.hub.items import ENCRYPTED_ARGUMENTS, UPDATE

_FIELDS: Final[dict[str, frozenset[str]]] = {
    "message": OF_MESSAGES | {EXTRA_CONTENT},
    "reasoning": GIVEN | {"summary", "content", "encrypted_content"},
    "function_call": OF_CALLS | {"namespace", ENCRYPTED_ARGUMENTS, EXTRA_CONTENT},
    "custom_tool_call": GIVEN | {"call_id", "name", "namespace", "input", EXTRA_CONTENT},
    "function_call_output": OF_OUTPUTS,
    "custom_tool_call_output": OF_OUTPUTS,
    "local_shell_call": GIVEN | {"call_id", EXTRA_CONTENT, "action"},
    "local_shell_call_output": OF_OUTPUTS,
    "shell_call": GIVEN | {"call_id", EXTRA_CONTENT, "action", "environment"},
    "shell_call_output": OF_OUTPUTS | {"max_output_length"},
    "apply_patch_call": GIVEN | {"call_id", EXTRA_CONTENT, "operation"},
    "apply_patch_call_output": OF_OUTPUTS,
    "tool_search_call": GIVEN | {"call_id", EXTRA_CONTENT, "execution", "arguments"},
    "tool_search_output": GIVEN | {"call_id", "execution", "tools"},
    "additional_tools": GIVEN | {"role", "tools"},
    UPDATE: GIVEN | {"reasoning", "text"},
}
"""Of items that are left out, none of the keys is looked at: the whole is a loss."""
_PARTS: Final[dict[str, frozenset[str]]] = {
    "input_text": OF_TEXTS | {"prompt_cache_breakpoint"},
    "output_text": OF_TEXTS | {"prompt_cache_breakpoint"},
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
