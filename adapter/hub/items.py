"""Small questions about items that more than one room asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from adapter.errors import BadRequest
from adapter.hub.events import Item

ID_PREFIXES: Final = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
    "tool_search_call": "tsc_",
    "tool_search_output": "tso_",
    "local_shell_call": "lsh_",
    "shell_call": "sh_",
    "apply_patch_call": "apc_",
    "web_search_call": "ws_",
    "file_search_call": "fs_",
    "code_interpreter_call": "ci_",
    "image_generation_call": "ig_",
    "mcp_call": "mcp_",
    "compaction": "cmp_",
    "additional_tools": "at_",
}
"""How the API begins the ids of its items, by their types."""
OTHER_ID: Final = "item_"
"""How ours of any other type begin."""
ENCRYPTED_ARGUMENTS: Final = "encrypted_function_args"
"""Where a function call names those of its arguments that are encrypted; Codex takes them for that where nothing is said."""
UPDATE: Final = "configuration_update"
"""The type of an item that changes settings of the conversation from there on."""
SETTINGS: Final = (("reasoning", "effort"), ("text", "format"))
"""Which: each is an option of a key of the request."""
_TEXT_KEYS: Final = ("text", "refusal", "arguments", "input", "output", "content", "summary")
"""Where an item or a part keeps what was said: a string, or a list of parts that have these keys again."""


def texts(item: Item) -> Iterator[str]:
    """Everything in an item that a model wrote or will read as text, in order; images and ciphertext are none."""
    for key in _TEXT_KEYS:
        value: Any = item.get(key)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, dict):
                    yield from texts(part)


def answers_no_call(output: Item, call_id: str, turns: str = "input") -> BadRequest:
    """What an output is refused with for whose call nobody asked, in the words of the API; `turns` is where the client put it."""
    words = str(output["type"]).replace("_", " ")
    return BadRequest(f"No tool call found for {words} with call_id {call_id[:128]}.", param=turns)


def is_cut_data_url(url: str) -> bool:
    """Whether it is a data URL without any data."""
    return url.startswith("data:") and ("," not in url[:256] or url[-1] == ",")


def readable_reasoning(item: Item) -> str:
    """The text of a reasoning item (`content`), else its summary; "" where all of it is encrypted.

    Reasoning is a hint: parts that are malformed are passed over, they are no reason to refuse a request.
    """
    return _joined(item.get("content"), "") or _joined(item.get("summary"), "\n\n")


def _joined(parts: Any, glue: str) -> str:
    if not parts or not isinstance(parts, list):
        return ""
    found = [part.get("text") for part in parts if isinstance(part, dict)]
    return glue.join([text for text in found if isinstance(text, str)])


def text_bytes(item: Item) -> int:
    """The size of `texts(item)` in UTF-8: what the token estimate counts."""
    return sum(len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")) for text in texts(item))


def detailed(parts: list[Any]) -> list[Any]:
    """`parts`, or a copy in which every image has the `detail` that the API wants."""
    if not any(map(_lacks_detail, parts)):
        return parts
    return [{**part, "detail": "auto"} if _lacks_detail(part) else part for part in parts]


def _lacks_detail(part: Any) -> bool:
    return type(part) is dict and part.get("type") == "input_image" and not part.get("detail")


def shown(item: Item) -> Item:
    """An item as answers and lists show it: in its long form, with what items of its kind always have there and clients need
    not send."""
    kind = item.get("type", "message")
    if (key := _PARTS.get(kind)) is not None and isinstance(parts := item.get(key), list):
        item = {**item, key: [_stated(part) if isinstance(part, dict) else part for part in detailed(parts)]}
    item = _stated(item)
    if kind == "shell_call" and isinstance(action := item.get("action"), dict):
        item["action"] = {"timeout_ms": None, "max_output_length": None} | action
    if kind in _SEARCHES and item.get("execution") is None:
        item["execution"] = "server" if item["call_id"] is None else "client"
    if kind != "message":
        return item
    content = item.get("content")
    if isinstance(content, str):
        if item.get("role") == "assistant":
            content = [_stated({"type": "output_text", "text": content})]
        else:
            content = [{"type": "input_text", "text": content}]
    return {"type": "message", "status": "completed", **item, "content": content or []}


def _stated(thing: dict[str, Any]) -> dict[str, Any]:
    """An item or a part with what there always is in those of its type."""
    kind = thing.get("type")
    always = _ALWAYS.get(kind) if isinstance(kind, str) else None
    if always is None:
        return thing
    return {**thing, **{key: value for key, value in always.items() if thing.get(key) is None}}


_PARTS: Final = {"message": "content", "function_call_output": "output", "custom_tool_call_output": "output"}
"""Where items have lists of content parts, those who have them."""
_SEARCHES: Final = ("tool_search_call", "tool_search_output")
_STATED: Final = {"status": "completed"}
_ALWAYS: Final[dict[str, dict[str, Any]]] = {
    "function_call": _STATED,
    "function_call_output": _STATED,
    "custom_tool_call": _STATED,
    "custom_tool_call_output": _STATED,
    "computer_call_output": _STATED,
    "tool_search_call": {**_STATED, "call_id": None},
    "tool_search_output": {**_STATED, "call_id": None},
    "local_shell_call": _STATED,
    "shell_call": {**_STATED, "environment": None},
    "shell_call_output": {**_STATED, "max_output_length": None},
    "output_text": {"annotations": [], "logprobs": []},
}
"""What clients may leave out of items and parts, and lists never do."""
