"""The history as text for the summariser.

One block an item, made one at a time: long texts are clipped in the middle before they are copied, so a block costs what it
shows and not what it stands for. Nothing here raises on odd items: a summary of a strange history is better than none.
Reasoning is left out (the next model has its own); images, files and sound become markers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from adapter.compaction.anatomy import CALLS, COMPACTIONS, OUTPUTS, Voice, first_text, is_summary, type_of, voice
from adapter.compaction.options import Clips
from adapter.hub.events import Item
from adapter.wire.jsonio import dumps

_SILENT: Final = frozenset({"reasoning", "compaction_trigger", "item_reference", "additional_tools", "mcp_list_tools"})
"""Nothing in these can be told to a summariser; tools are offered again with every request."""

_LONGEST_LABEL: Final = 200


def clip(text: str, most: int) -> str:
    """`text`, or its two ends around a marker that says how much is gone; never longer than `text`."""
    if len(text) <= most:
        return text
    marker = f"\n[… {len(text) - most} characters clipped …]\n"
    if len(text) <= most + len(marker):
        return text
    head = most * 2 // 3  # what a tool prints first says what it is; its end says how it went
    tail = most - head
    return text[:head] + marker + (text[-tail:] if tail else "")


def blocks(items: Iterable[Item], clips: Clips) -> Iterator[str]:
    """The history, block by block; items with nothing to say give none."""
    for item in items:
        block = rendered(item, clips)
        if block:
            yield block


def transcript(items: Iterable[Item], clips: Clips) -> str:
    """The whole history as one text."""
    return "\n\n".join(blocks(items, clips))


def rendered(item: Item, clips: Clips) -> str:
    """One item with its heading; "" where there is nothing to say."""
    type_ = type_of(item)
    if type_ in _SILENT:
        return ""
    if type_ == "message":
        return _message(item, clips)
    if type_ in CALLS:
        return _call(item, clips)
    if type_ in OUTPUTS:
        return _headed("tool output", item.get("call_id"), _content(_output(item), clips.output))
    return _OTHERS.get(type_, _unknown)(item, clips)


def _message(item: Item, clips: Clips) -> str:
    role = item.get("role")
    if voice(item) is Voice.INSTRUCTION:
        return _headed(_label(role) or "message", None, _content(item.get("content"), clips.instructions))
    if role == "user" and is_summary(item):
        return _headed("earlier summary", None, clip(first_text(item), clips.message))
    return _headed(_label(role) or "message", None, _content(item.get("content"), clips.message))


_ACTION_KEYS: Final = ("arguments", "input", "operation", "action", "actions")


def _call(item: Item, clips: Clips) -> str:
    given = next((item[key] for key in _ACTION_KEYS if item.get(key) is not None), "")
    name = item.get("name") or item.get("type")
    space = item.get("namespace")
    label = f"tool call {_label(space)}.{_label(name)}" if space else f"tool call {_label(name)}"
    return _headed(label, item.get("call_id"), _text(given, clips.arguments))


def _output(item: Item) -> Any:
    for key in ("output", "tools", "error"):
        if item.get(key) is not None:
            return item[key]
    return {"approved": item["approve"]} if "approve" in item else ""


def _mcp_call(item: Item, clips: Clips) -> str:
    said = _text(item.get("arguments"), clips.arguments)
    got = _content(_output(item), clips.output)
    return _headed(f"tool call {_label(item.get('server_label'))}.{_label(item.get('name'))}", None, f"{said}\n→ {got}")


def _web_search(item: Item, clips: Clips) -> str:
    return _headed("web search", None, _text(item.get("action"), clips.arguments))


def _file_search(item: Item, clips: Clips) -> str:
    return _headed(
        "file search",
        None,
        f"{_text(item.get('queries'), clips.arguments)}\n→ {_text(item.get('results'), clips.output)}",
    )


def _code(item: Item, clips: Clips) -> str:
    ran, gave = _text(item.get("code"), clips.arguments), _content(item.get("outputs"), clips.output)
    return _headed("code interpreter", None, f"{ran}\n→ {gave}")


def _generated_image(item: Item, clips: Clips) -> str:
    return _headed("generated image", None, f"{_text(item.get('revised_prompt'), clips.arguments)} [image]")


def _opaque_summary(item: Item, clips: Clips) -> str:
    return "[earlier summary]\n(held by the provider in a form that is not readable here)"


def _unknown(item: Item, clips: Clips) -> str:
    return _headed(
        _label(item.get("type")), None, _text({k: v for k, v in item.items() if k != "encrypted_content"}, clips.output)
    )


_OTHERS: Final[dict[str, Callable[[Item, Clips], str]]] = {
    "mcp_call": _mcp_call,
    "web_search_call": _web_search,
    "file_search_call": _file_search,
    "code_interpreter_call": _code,
    "image_generation_call": _generated_image,
    **dict.fromkeys(COMPACTIONS, _opaque_summary),
}


def _headed(heading: str, call_id: object, body: str) -> str:
    name = f" {_label(call_id)}" if isinstance(call_id, str) and call_id else ""
    return f"[{heading}{name}]\n{body}" if body else f"[{heading}{name}]"


def _label(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return text[:_LONGEST_LABEL].replace("\n", " ")


def _content(value: Any, most: int) -> str:
    """A message's content or a tool's output: text, or parts of which each long one is clipped."""
    if not isinstance(value, list):
        return _text(value, most)
    return clip("\n".join(_part(part, most) for part in value), most)


def _part(part: Any, most: int) -> str:
    if not isinstance(part, dict):
        return _text(part, most)
    for key in ("text", "refusal", "logs"):
        if isinstance(part.get(key), str):
            return clip(part[key], most)
    kind = type_of(part)
    if "stdout" in part or "stderr" in part:
        streams = [_text(part.get("stdout"), most), _text(part.get("stderr"), most), _text(part.get("outcome"), most)]
        return "\n".join(stream for stream in streams if stream)
    if "image" in kind or "screenshot" in kind or "image_url" in part:
        return _media("image", part.get("image_url"), part.get("file_id"))
    if "file" in kind:
        return _media("file", part.get("filename"), part.get("file_url"), part.get("file_id"))
    if "audio" in kind:
        return "[audio]"
    return _text(part, most)


def _media(what: str, *names: Any) -> str:
    """A marker with the first name that a person could follow; never the data itself."""
    for name in names:
        if isinstance(name, str) and name and not name.startswith("data:"):
            return f"[{what} {_label(name)}]"
    return f"[{what}]"


def _text(value: Any, most: int) -> str:
    """Any JSON value as text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return clip(value, most)
    if isinstance(value, dict) and isinstance(value.get("image_url"), str):
        return _media("image", value["image_url"])
    try:
        return clip(dumps(value).decode("utf-8"), most)
    except ValueError:
        return "[not readable]"
