"""The items of a Responses request, checked one by one: explicit types in, nonsense out.

One dictionary look-up per item and per part; paths are put together only for what is refused. Items of types we do not know
pass as they are: the API grows by new ones every month.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adapter.dialects.responses.tools import check_tools
from adapter.errors import BadRequest, InvalidType, InvalidValue, MissingParameter
from adapter.hub.events import Item
from adapter.hub.forms import forms
from adapter.hub.items import is_cut_data_url
from adapter.hub.request import Seen

_ROLES: Final = frozenset({"user", "assistant", "system", "developer"})


def checked_items(items: list[Any], name: str) -> list[Item]:
    """`items` (the list at `name` in the body) with explicit types; where nothing had to change, the caller's own list.

    Raises:
        BadRequest: an item is not what its type says, with its path.
    """
    return seen_items(items, name)[0]


def seen_items(items: list[Any], name: str) -> Seen:
    """As `checked_items`, and what was seen of them. An item that has a form needs no closer look (the same result, a law in
    the tests).

    Raises:
        BadRequest: an item is not what its type says, with its path.
    """
    checked = items
    seen, others = forms(items)
    for index in others:
        item = checked_item(items, index, name)
        if item is not items[index]:
            checked = items.copy() if checked is items else checked
            checked[index] = item
            seen[index] = forms([item])[0][0]
    return checked, others, seen


def checked_item(items: list[Any], index: int, name: str) -> Item:
    """The item at `index` of `items`, looked at closely.

    Raises:
        BadRequest: as `checked_items`.
    """
    item: Item = items[index]
    if type(item) is not dict:
        raise InvalidType("An input item must be an object.", param=f"{name}[{index}]")
    kind = item.get("type")
    if kind is None:
        item = _typed(item, f"{name}[{index}]")
        kind = item["type"]
    elif type(kind) is not str:
        raise InvalidType("The type of an input item must be a string.", param=f"{name}[{index}].type")
    check = _CHECKS.get(kind)
    if check is None:
        return item
    try:
        item = check(item)
    except _Refused as refused:
        raise refused.error(f"{name}[{index}]") from None
    if check is _trigger and index != len(items) - 1:
        raise InvalidValue(
            "A compaction_trigger must be the last input item, and there can be only one.", param=f"{name}[{index}]"
        )
    return item


class _Refused(Exception):
    """Something is wrong at `place` inside the item; the path of the item is known one level up."""

    def __init__(self, kind: type[BadRequest], message: str, place: str) -> None:
        self._kind, self._message, self._place = kind, message, place

    def error(self, path: str) -> BadRequest:
        return self._kind(self._message, param=f"{path}{self._place}")


def _typed(item: Item, path: str) -> Item:
    """An item without a type: a message when it has a role, a reference when it has only an id."""
    if "role" in item:
        return {**item, "type": "message"}
    if isinstance(item.get("id"), str) and item.keys() <= {"id", "type"}:
        return {**item, "type": "item_reference"}
    raise MissingParameter("An input item needs a type (or a role, for a message).", param=f"{path}.type")


def _message(item: Item) -> Item:
    role, content = item.get("role"), item.get("content")
    if type(role) is not str or role not in _ROLES:
        if role is None:
            raise _Refused(MissingParameter, "A message needs a role.", ".role")
        raise _Refused(InvalidValue, "A role must be user, assistant, system or developer.", ".role")
    if type(content) is str:
        return item
    if type(content) is not list:
        if content is None:
            raise _Refused(MissingParameter, "A message needs content.", ".content")
        raise _Refused(InvalidType, "The content of a message must be a string or a list of parts.", ".content")
    parts = _parts(content, ".content")
    return item if parts is content else {**item, "content": parts}


def _parts(parts: list[Any], place: str) -> list[Any]:
    """The list itself, or a copy in which image parts have their flat form."""
    changed: list[Any] | None = None
    for index, part in enumerate(parts):
        if type(part) is not dict:
            raise _Refused(InvalidType, "A content part must be an object.", f"{place}[{index}]")
        kind = part.get("type")
        if type(kind) is not str:
            error = MissingParameter if kind is None else InvalidType
            raise _Refused(error, "A content part needs a type, a string.", f"{place}[{index}].type")
        if kind in _TEXT_PARTS:
            if type(part.get(_TEXT_PARTS[kind])) is not str:
                error = MissingParameter if part.get(_TEXT_PARTS[kind]) is None else InvalidType
                raise _Refused(error, "The text of a part must be a string.", f"{place}[{index}].{_TEXT_PARTS[kind]}")
        elif kind == "input_image":
            flat = _flat_image(part, f"{place}[{index}]")
            if flat is not part:
                changed = list(parts) if changed is None else changed
                changed[index] = flat
        elif kind == "input_audio":
            raise _Refused(
                InvalidValue,
                "Audio input is not part of the Responses API; send text, images or files.",
                f"{place}[{index}].type",
            )
    return parts if changed is None else changed


_TEXT_PARTS: Final = {
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "reasoning_text": "text",
    "summary_text": "text",
}


def _flat_image(part: dict[str, Any], place: str) -> dict[str, Any]:
    """`image_url` as a string, which some clients send as `{url, detail, media_type}`."""
    url = part.get("image_url")
    if type(url) is dict:
        address = url.get("url")
        if type(address) is not str:
            raise _Refused(InvalidType, "The url of an image must be a string.", f"{place}.image_url.url")
        media_type = url.get("media_type")
        if type(media_type) is str and ":" not in address:  # bare base64: a data URL in two pieces
            address = f"data:{media_type};base64,{address}"
        _check_address(address, f"{place}.image_url.url")
        flat = {**part, "image_url": address}
        if "detail" not in part and type(url.get("detail")) is str:
            flat["detail"] = url["detail"]
        return flat
    if type(url) is not str and type(part.get("file_id")) is not str:
        if url is None:
            raise _Refused(MissingParameter, "An image needs an image_url or a file_id.", f"{place}.image_url")
        raise _Refused(InvalidType, "An image_url must be a string.", f"{place}.image_url")
    if type(url) is str and (url or type(part.get("file_id")) is not str):
        _check_address(url, f"{place}.image_url")
    return part


def _check_address(url: str, place: str) -> None:
    if not url or is_cut_data_url(url):
        raise _Refused(InvalidValue, "An image_url must be a URL or a complete data URL.", place)


def _needs(**fields: type) -> Callable[[Item], Item]:
    """A check that these fields are there and of these types."""
    wanted = tuple(fields.items())

    def check(item: Item) -> Item:
        for name, kind in wanted:
            value = item.get(name)
            if type(value) is not kind:
                if value is None:
                    raise _Refused(MissingParameter, f"A {item['type']} item needs {name}.", f".{name}")
                raise _Refused(InvalidType, f"{name} of a {item['type']} item must be a {_WORDS[kind]}.", f".{name}")
        return item

    return check


_WORDS: Final[dict[type, str]] = {str: "string", list: "list", dict: "JSON object"}


def _output(item: Item) -> Item:
    """A tool's output: text or parts, for a call that is named by its id (Codex also pairs by name alone)."""
    call_id = item.get("call_id")
    if type(call_id) is not str and (call_id is not None or type(item.get("name")) is not str):
        if call_id is None:
            raise _Refused(MissingParameter, f"A {item['type']} item needs a call_id.", ".call_id")
        raise _Refused(InvalidType, "A call_id must be a string.", ".call_id")
    output = item.get("output")
    if type(output) is str:
        return item
    if type(output) is not list:
        if output is None:
            raise _Refused(MissingParameter, f"A {item['type']} item needs an output.", ".output")
        raise _Refused(InvalidType, "An output must be a string or a list of parts.", ".output")
    parts = _parts(output, ".output")
    return item if parts is output else {**item, "output": parts}


def _reasoning(item: Item) -> Item:
    for name in ("summary", "content"):
        parts = item.get(name)
        if type(parts) is list:
            _parts(parts, f".{name}")
        elif parts is not None:
            raise _Refused(InvalidType, f"{name} of a reasoning item must be a list.", f".{name}")
    return item


def _brought_tools(item: Item) -> Item:
    """`additional_tools` and `tool_search_output` bring tools along."""
    try:
        check_tools(item.get("tools"), "")
    except BadRequest as refused:
        raise _Refused(type(refused), refused.message, f".tools{refused.param}") from None
    return item


def _trigger(item: Item) -> Item:
    """Wrong only by its place, which is looked at where the places are known."""
    return item


_CHECKS: Final[dict[str, Callable[[Item], Item]]] = {
    "message": _message,
    "function_call": _needs(call_id=str, name=str, arguments=str),
    "function_call_output": _output,
    "custom_tool_call": _needs(call_id=str, name=str, input=str),
    "custom_tool_call_output": _output,
    "reasoning": _reasoning,
    "item_reference": _needs(id=str),
    "compaction": _needs(encrypted_content=str),
    "compaction_trigger": _trigger,
    "additional_tools": _brought_tools,
    "tool_search_output": _brought_tools,
    "local_shell_call": _needs(call_id=str, action=dict),
    "shell_call": _needs(call_id=str, action=dict),
    "shell_call_output": _needs(call_id=str, output=list),
    "apply_patch_call": _needs(call_id=str, operation=dict),
    "apply_patch_call_output": _needs(call_id=str),
}
"""Types with a check; every other type passes."""
