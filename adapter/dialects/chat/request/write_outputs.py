"""Outputs of calls -> what tool messages hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adapter.dialects.chat.request.write_content import Part, write_part
from adapter.dialects.checks import array
from adapter.dialects.functions.calls import TEXTS
from adapter.dialects.functions.toolbox import Toolbox
from adapter.dialects.writing import Writing
from adapter.hub.events import Item
from adapter.hub.losses import Action

OUTPUTS: Final = ("function_call_output", "custom_tool_call_output", "local_shell_call_output", *TEXTS)
Output = tuple[str | list[Part], Sequence[Part]]
"""(content of the tool message, media that have to follow in a user message)."""


def write_output(item: Item, index: int, writing: Writing, box: Toolbox) -> Output:
    """The output of any call.

    Raises:
        BadRequest: it is none, or holds what cannot be sent.
    """
    text = TEXTS.get(item["type"])
    return _said(item, index, writing) if text is None else (text(item, index, writing, box), ())


def _said(item: Item, index: int, writing: Writing) -> Output:
    """The output of a function or custom tool: text, or a list of parts."""
    output = item.get("output")
    if isinstance(output, str):
        return output, ()
    if output is None:
        return "", ()
    texts: list[str] = []
    parts: list[Part] = []
    media: list[Part] = []
    for j, part in enumerate(array(output, writing.at(index, ".output"))):
        made = write_part(part, j, writing, index, "output")
        if made is None:
            continue
        parts.append(made)
        if made["type"] == "text":
            texts.append(made["text"])
        else:
            media.append(made)
            texts.append(f"[{_NOUNS[made['type']]}: it follows in the next user message]")
    if not media:
        return "\n".join(texts), ()
    if writing.profile.tool_media:
        return parts, ()
    reason = "The upstream takes only text from tools; what is more follows in a user message."
    writing.lose(writing.at(index, ".output"), "tool_media", reason, Action.APPROXIMATED)
    return "\n".join(texts), media


_NOUNS: Final = {"image_url": "image", "file": "file"}
