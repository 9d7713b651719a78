"""The items of a conversation as an upstream that speaks Responses takes them.

Items get no ids of ours: such servers refuse ids that they did not give. The one exception is raw reasoning for servers
whose profile takes it, where the schema demands an id; it is a hash of the text, so that prompt caches hit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adapter.dialects.responses.output_items import CALLS
from adapter.errors import BadRequest
from adapter.hub.events import Item
from adapter.hub.extra_content import EXTRA_CONTENT
from adapter.hub.items import detailed, readable_reasoning
from adapter.hub.losses import Action, Loss
from adapter.hub.names import LONGEST_CALL_ID, fitted_call_id
from adapter.hub.reasoning_details import as_item, parted
from adapter.hub.request import Request
from adapter.upstream.profiles import CallIdRule, Profile
from adapter.wire.jsonio import dumps, is_object

_LONGEST: Final = LONGEST_CALL_ID.max
_OF_CHAT: Final = frozenset({"name", EXTRA_CONTENT})
_OF_CHAT_CALLS: Final = frozenset({EXTRA_CONTENT})
_TEXT: Final = {"type", "text"}
_REASONING_ID: Final = CallIdRule(max=40, alphabet="alnum")


def checked_history(request: Request, profile: Profile) -> list[Item]:
    """A Responses client's own items: the same, but for what a server without memory must not be asked.

    Raises:
        BadRequest: an item reference, where nobody keeps items.
    """
    items = request.items
    kept: list[Item] | None = None
    for index in request.others:
        item = items[index]
        kind = item["type"]
        if kind == "item_reference" and not profile.stateful:
            raise BadRequest(
                "Items are not kept here (store is false), so an item_reference refers to nothing; send the item itself.",
                param=f"input[{index}].id",
            )
        if kind == "reasoning" and item.get("encrypted_content") == "":  # llama.cpp's; others refuse it as forged
            kept = list(items) if kept is None else kept
            kept[index] = {key: value for key, value in item.items() if key != "encrypted_content"}
    return items if kept is None else kept


def upstream_history(request: Request, profile: Profile, losses: list[Loss]) -> list[Item]:
    """A Chat client's conversation: the same items where they can go on as they are, which most can. What cannot be carried
    is added to `losses`, once a kind."""
    items: list[Item] = request.body["input"]
    unreadable = frozenset[int]() if profile.any_arguments else _unreadable(items)
    writing: _Writing | None = None
    for index in sorted(unreadable.union(request.others)) if unreadable else request.others:
        item = items[index]
        kind = item["type"]
        if kind == "message":
            if type(item["content"]) is str and _OF_CHAT.isdisjoint(item):
                continue
        elif kind == "function_call":
            if 0 < len(item["call_id"]) <= _LONGEST and _OF_CHAT_CALLS.isdisjoint(item) and index not in unreadable:
                continue
        elif kind == "function_call_output":
            if type(item["output"]) is str and 0 < len(item.get("call_id") or "") <= _LONGEST:
                continue
        elif kind not in _WRITERS:
            continue
        if writing is None:
            writing = _Writing(items, profile)
        if EXTRA_CONTENT in item and profile.carries_reasoning:
            item = writing.recall(index, item)
        writing.items[index] = _WRITERS[kind](writing, item)
    if writing is not None:
        losses += writing.losses.values()
        items = writing.whole()
    return _thoughtful(items) if profile.reasoning_demanded and profile.reasoning_input else items


def _thoughtful(items: list[Item]) -> list[Item]:
    """The same, with a thought that says nothing before each of the assistant's turns that has none."""
    made: list[Item] = []
    thought = False
    for item in items:
        kind = item["type"]
        spoken = kind in CALLS or (kind == "message" and item["role"] == "assistant")
        if spoken and not thought:
            made.append(_thinking("\N{HORIZONTAL ELLIPSIS}"))  # DeepSeek takes "" for none
        thought = spoken or kind == "reasoning"
        made.append(item)
    return made


def _thinking(text: str) -> Item:
    part = {"type": "reasoning_text", "text": text}
    return {"type": "reasoning", "id": _id_of(text), "summary": [], "content": [part]}


def _id_of(reasoning: str) -> str:
    """The same for equal texts, so that prompt caches hit."""
    return f"rs_{fitted_call_id(reasoning, _REASONING_ID)}"


def _unreadable(items: list[Item]) -> frozenset[int]:
    """Where calls are whose arguments are no JSON object."""
    return frozenset(
        index
        for index, item in enumerate(items)
        if item["type"] == "function_call" and not is_object(item["arguments"])
    )


class _Writing:
    def __init__(self, items: list[Item], profile: Profile) -> None:
        self.items: list[Item | None] = list(items)
        """None for what is left out."""
        self._profile = profile
        self.losses: dict[str, Loss] = {}
        self._recalled: dict[int, list[Item]] = {}
        """Reasoning by the index of the item that it goes before."""
        self._known: set[str] = set()
        """What of it is there already: some clients keep it with every call of a turn, and servers refuse it then."""

    def recall(self, index: int, item: Item) -> Item:
        """The item without the reasoning that its client has carried for the upstream, which goes before it."""
        details, extra = parted(item[EXTRA_CONTENT])
        found = [thought for detail in details if (thought := as_item(detail)) is not None]
        for thought in found:
            if thought["encrypted_content"] not in self._known:
                self._known.add(thought["encrypted_content"])
                self._recalled.setdefault(index, []).append(thought)
        return item if extra or len(found) < len(details) else _without(item, _OF_CHAT_CALLS)

    def whole(self) -> list[Item]:
        """All that is sent."""
        if not self._recalled:
            return [item for item in self.items if item is not None]
        told = ((*self._recalled.get(index, ()), item) for index, item in enumerate(self.items))
        return [item for group in told for item in group if item is not None]

    def message(self, item: Item) -> Item:
        item = self._plain(item, _OF_CHAT)
        content = item["content"]
        if type(content) is str:
            return item
        if item["role"] == "assistant":
            return {**item, "content": self._spoken(content)}
        parts = detailed(content)
        return item if parts is content else {**item, "content": parts}

    def _spoken(self, parts: list[dict[str, Any]]) -> str:
        """The easy form: part lists of an assistant need an id, which only the upstream could have given."""
        if any(part["type"] == "refusal" for part in parts):
            self._lose("refusal", Action.APPROXIMATED, "An earlier refusal goes to the upstream as plain text.")
        return "".join(part.get("text") or part.get("refusal") or "" for part in parts)

    def call(self, item: Item) -> Item:
        item = self._plain(item, _OF_CHAT_CALLS)
        given = item.get("call_id")
        call_id = None if given is None else fitted_call_id(given, LONGEST_CALL_ID)
        return item if call_id == given else {**item, "call_id": call_id}

    def function_call(self, item: Item) -> Item:
        item = self.call(item)
        arguments = item["arguments"]
        if self._profile.any_arguments or is_object(arguments):
            return item
        if not arguments:
            return {**item, "arguments": "{}"}
        reason = "The upstream refuses calls whose arguments are no JSON object; these are the text in one."
        self._lose("arguments", Action.APPROXIMATED, reason)
        return {**item, "arguments": dumps({"arguments": arguments}).decode()}

    def output(self, item: Item) -> Item:
        item = self.call(item)
        output = item["output"]
        if type(output) is str:
            return item
        if len(output) == 1 and output[0].keys() == _TEXT:  # the same, and Ollama refuses any list
            return {**item, "output": output[0]["text"]}
        parts = detailed(output)
        return item if parts is output else {**item, "output": parts}

    def reasoning(self, item: Item) -> Item | None:
        if item.get("id") or item.get("encrypted_content"):
            return item
        if not self._profile.reasoning_input:
            self._lose("reasoning_content", Action.DROPPED, "The upstream takes no reasoning that it did not give.")
            return None
        text = readable_reasoning(item)
        return {"type": "reasoning", "id": _id_of(text), **item}

    def _plain(self, item: Item, others: frozenset[str]) -> Item:
        """Without what only Chat messages and calls have."""
        for key in others & item.keys():
            self._lose(key, Action.DROPPED, f"Responses items have no {key}.")
        return item if others.isdisjoint(item) else _without(item, others)

    def _lose(self, kind: str, action: Action, reason: str) -> None:
        self.losses.setdefault(kind, Loss("messages", action, kind, reason))


def _without(item: Item, others: frozenset[str]) -> Item:
    return {key: value for key, value in item.items() if key not in others}


_WRITERS: Final[dict[str, Callable[[_Writing, Item], Item | None]]] = {
    "message": _Writing.message,
    "function_call": _Writing.function_call,
    "function_call_output": _Writing.output,
    "custom_tool_call": _Writing.call,
    "custom_tool_call_output": _Writing.output,
    "reasoning": _Writing.reasoning,
}
