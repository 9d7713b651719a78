"""Chat messages -> hub items (map a2).

Order is kept and nothing is merged: one message becomes one message item, an assistant turn becomes its reasoning, its text
and its calls, in that order. Items get no ids: upstreams refuse ids that they did not give.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from operator import length_hint
from typing import Any, Final

from adapter.dialects.chat.request.read_content import read_assistant, read_text, read_user
from adapter.dialects.checks import (
    array,
    json_object,
    missing,
    name,
    no_string,
    string,
    wrong_type,
    wrong_value,
)
from adapter.errors import BadRequest, UnsupportedParameter
from adapter.hub.events import Item
from adapter.hub.extra_content import EXTRA_CONTENT
from adapter.hub.losses import Action, Loss, unknown_fields
from adapter.hub.names import LONGEST_CALL_ID
from adapter.hub.reasoning_details import REASONING_DETAILS, as_extra, spread
from adapter.hub.request import Seen

_LONGEST: Final = LONGEST_CALL_ID.max
_SPEAKERS: Final = ("user", "assistant", "system", "developer")
_ANSWERS: Final = ("tool", "function")
"""Whose `name` is the function's, which their call has too."""
_PLAIN: Final = frozenset({"role", "content", "name"})
_KNOWN: Final = {
    "system": _PLAIN,
    "developer": _PLAIN,
    "user": _PLAIN,
    "assistant": _PLAIN
    | {
        "refusal",
        "tool_calls",
        "function_call",
        "audio",
        "annotations",
        "parsed",
        "reasoning_content",
        "reasoning",
        EXTRA_CONTENT,
        REASONING_DETAILS,
    },
    "tool": _PLAIN | {"tool_call_id"},
    "function": _PLAIN,
}
"""The keys of each role. Others are no error (servers ignore them, and clients send back what they were given). `parsed` and
`parsed_arguments` are what SDKs made of the JSON beside them."""

_OF_CALLS: Final = frozenset({"id", "type", "function", "custom", "index", EXTRA_CONTENT})
"""`index` is of a stream, and says nothing here."""
_OF_FUNCTIONS: Final = frozenset({"name", "arguments", "parsed_arguments"})
_OF_CUSTOMS: Final = frozenset({"name", "input"})
_OF_PARTS: Final = frozenset({"type", "text", "image_url", "file", "refusal", "prompt_cache_breakpoint"})
_PARTS: Final = {
    **dict.fromkeys(("text", "image_url", "file", "refusal", "input_text"), _OF_PARTS),
    "input_image": _OF_PARTS | {"file_id", "detail"},
    "output_text": _OF_PARTS | {"annotations", "logprobs"},
}
"""The keys of each kind of part that is read. What came with an answer is no loss."""
_INSIDE_PARTS: Final = {
    "image_url": frozenset({"url", "detail", "media_type"}),
    "file": frozenset({"file_id", "filename", "file_data"}),
}


def read_messages(messages: Any, losses: list[Loss]) -> Seen:
    """The items of a conversation, and which of them are not plain.

    The forms that most messages have are read at sight, in half the time of a closer look (the same result, a law in the
    tests).

    Raises:
        BadRequest: with the path of what is wrong in `param`.
    """
    if not messages or type(messages) is not list:
        array(messages, "messages")
        raise wrong_value("messages", "at least one message")
    items: list[Item] = []
    others: list[int] = []
    closely: CloselyRead | None = None
    custom: Container[str] = ()
    rest, last = iter(messages), len(messages) - 1  # to ask the iterator where it stands is cheaper than to count along
    for message in rest:
        try:
            role, content, size = message["role"], message["content"], len(message)
            if size == 2:
                if type(content) is str and role in _SPEAKERS:
                    items.append({"type": "message", "role": role, "content": content})
                    continue
            elif size == 3 and not custom:
                if role == "tool":
                    call_id = message["tool_call_id"]
                    if type(content) is str and type(call_id) is str and call_id and len(call_id) <= _LONGEST:
                        items.append({"type": "function_call_output", "call_id": call_id, "output": content})
                        continue
                elif (
                    role == "assistant"
                    and (content is None or type(content) is str)
                    and (calls := _plain_calls(message["tool_calls"]))
                ):
                    if content:
                        items.append({"type": "message", "role": "assistant", "content": content})
                    items += calls
                    continue
        except (KeyError, TypeError):
            pass
        if closely is None:
            closely = CloselyRead(items, losses)
            custom = closely.custom
        at = len(items)
        closely.read(last - length_hint(rest), message)
        others += range(at, len(items))
    return items, others, None


def message_origins(messages: list[Any]) -> list[int]:
    """For each item that `read_messages` makes of these messages, which it has read before: the index of its message."""
    closely = CloselyRead([], [])
    origins: list[int] = []
    for index, message in enumerate(messages):
        closely.read(index, message)
        origins += [index] * (len(closely.items) - len(origins))
    return origins


class CloselyRead:
    """Any messages, one by one.

    What has to be remembered from one to the next: which calls were custom, which were legacy.
    """

    __slots__ = ("_legacy", "_losses", "_told", "custom", "items")

    def __init__(self, items: list[Item], losses: list[Loss]) -> None:
        self._losses = losses
        self._told: set[str] = set()
        """The unknown keys that were reported."""
        self.items = items
        """Those of the messages so far."""
        self.custom: set[str] = set()
        """The ids of custom calls."""
        self._legacy: dict[str, str] = {}
        """Function name -> call id of its last deprecated `function_call`."""

    def read(self, i: int, message: Any) -> None:
        """Adds the items of one message."""
        if not isinstance(message, dict):
            raise wrong_type(f"messages[{i}]", "an object", message)
        role = message.get("role")
        reader = _READERS.get(role) if isinstance(role, str) else None
        if reader is None:
            string(role, f"messages[{i}].role")
            raise wrong_value(f"messages[{i}].role", f"one of {', '.join(_READERS)}")
        at = len(self.items)
        reader(self, i, message)
        if message.get("name") is not None and role not in _ANSWERS:
            self._name(at, message["name"], f"messages[{i}].name")
        self._report_unknown(f"messages[{i}]", message, _KNOWN[message["role"]])
        if type(content := message.get("content")) is list:
            for j, part in enumerate(content):
                if (known := _PARTS.get(part["type"])) is None:  # lost as a whole
                    continue
                self._report_unknown(f"messages[{i}].content[{j}]", part, known)
                for key, of in _INSIDE_PARTS.items():
                    if type(inner := part.get(key)) is dict:
                        self._report_unknown(f"messages[{i}].content[{j}].{key}", inner, of)

    def _instructions(self, i: int, message: dict[str, Any]) -> None:
        content = read_text(message.get("content"), f"messages[{i}].content", self._losses)
        self.items.append({"type": "message", "role": message["role"], "content": content})

    def _user(self, i: int, message: dict[str, Any]) -> None:
        content = message.get("content")
        if not isinstance(content, str):
            content = read_user(content, f"messages[{i}].content", self._losses)
        self.items.append({"type": "message", "role": "user", "content": content})

    def _assistant(self, i: int, message: dict[str, Any]) -> None:
        if message.get("audio") is not None:
            raise UnsupportedParameter("Audio answers are not supported.", param=f"messages[{i}].audio")
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        if reasoning and not isinstance(reasoning, str):
            self._lose(f"messages[{i}].reasoning", "unknown_field", "Reasoning is carried as a string only.")
        elif reasoning:
            part = {"type": "reasoning_text", "text": reasoning}
            self.items.append({"type": "reasoning", "summary": [], "content": [part]})
        at = len(self.items)
        calls = message.get("tool_calls")
        legacy = message.get("function_call")
        content, refusal = message.get("content"), message.get("refusal")
        if content is None and refusal is None:  # as most messages with calls are
            content = ""
        elif refusal is not None or not isinstance(content, str):
            content = read_assistant(content, refusal, i, self._losses)
        if content or not (calls or legacy):
            self.items.append({"type": "message", "role": "assistant", "content": content})
            if message.get(EXTRA_CONTENT):
                self.items[-1][EXTRA_CONTENT] = message[EXTRA_CONTENT]
        elif message.get(EXTRA_CONTENT):
            self._lose(f"messages[{i}].{EXTRA_CONTENT}", EXTRA_CONTENT, "It is carried of calls and of texts.")
        if calls is not None:
            for j, call in enumerate(calls if type(calls) is list else array(calls, f"messages[{i}].tool_calls")):
                self.items.append(self._call(call, f"messages[{i}].tool_calls[{j}]"))
        if legacy is not None:
            path = f"messages[{i}].function_call"
            called, arguments = _called(json_object(legacy, path), path)
            self._report_unknown(path, legacy, _OF_FUNCTIONS)
            self._legacy[called] = call_id = f"call_legacy_{i}"
            self.items.append({"type": "function_call", "call_id": call_id, "name": called, "arguments": arguments})
        if (details := message.get(REASONING_DETAILS)) and type(details) is list:
            said = self.items[at:]
            for item, those in zip(said, spread(details, len(said)), strict=True):
                if those:
                    extra = item.get(EXTRA_CONTENT)
                    item[EXTRA_CONTENT] = as_extra(those) | (extra if type(extra) is dict else {})

    def _call(self, call: Any, path: str) -> Item:
        call_id = string(json_object(call, path).get("id"), f"{path}.id")
        kind = call.get("type", "function")
        self._report_unknown(path, call, _OF_CALLS)
        item: Item
        if kind == "function":
            function = json_object(call.get("function"), f"{path}.function")
            called, arguments = _called(function, f"{path}.function")
            self._report_unknown(f"{path}.function", function, _OF_FUNCTIONS)
            self.custom.discard(call_id)  # the id may have been a custom call's before
            item = {"type": "function_call", "call_id": call_id, "name": called, "arguments": arguments}
        elif kind == "custom":
            custom = json_object(call.get("custom"), f"{path}.custom")
            called = name(custom.get("name"), f"{path}.custom.name")
            self.custom.add(call_id)
            text = string(custom.get("input"), f"{path}.custom.input")
            self._report_unknown(f"{path}.custom", custom, _OF_CUSTOMS)
            item = {"type": "custom_tool_call", "call_id": call_id, "name": called, "input": text}
        else:
            string(kind, f"{path}.type")
            raise wrong_value(f"{path}.type", "function or custom")
        if call.get(EXTRA_CONTENT):
            item[EXTRA_CONTENT] = call[EXTRA_CONTENT]
        return item

    def _tool(self, i: int, message: dict[str, Any]) -> None:
        call_id, output = message.get("tool_call_id"), message.get("content")
        if not isinstance(call_id, str):
            raise no_string(call_id, f"messages[{i}].tool_call_id")
        if not isinstance(output, str):
            output = read_user(output, f"messages[{i}].content", self._losses)
        kind = "custom_tool_call_output" if call_id in self.custom else "function_call_output"
        self.items.append({"type": kind, "call_id": call_id, "output": output})

    def _function(self, i: int, message: dict[str, Any]) -> None:
        called = name(message.get("name"), f"messages[{i}].name")
        content = message.get("content")
        if "content" not in message:
            raise missing(f"messages[{i}].content")
        output = "" if content is None else read_text(content, f"messages[{i}].content", self._losses)
        call_id = self._legacy.pop(called, None)
        if call_id is None:
            raise BadRequest("This function message answers no earlier function_call.", param=f"messages[{i}].name")
        self.items.append({"type": "function_call_output", "call_id": call_id, "output": output})

    def _name(self, at: int, given: Any, path: str) -> None:
        """Gives the message among the items from `at` on its speaker's name."""
        for item in self.items[at:]:
            if item["type"] == "message":
                item["name"] = string(given, path)
                return
        self._lose(path, "name", "Only messages that say something have the name of a participant.")

    def _report_unknown(self, path: str, holder: dict[str, Any], known: frozenset[str]) -> None:
        """Reported once a key: what stands on one message or call stands on all of a long history."""
        for loss in unknown_fields(path, holder, known):
            if (key := loss.path[len(path) :]) not in self._told:
                self._told.add(key)
                self._losses.append(loss)

    def _lose(self, path: str, kind: str, reason: str) -> None:
        self._losses.append(Loss(path, Action.DROPPED, kind, reason))


def _plain_calls(calls: Any) -> list[Item] | None:
    """Function calls in which nothing is wrong or unusual; None where any of them needs a closer look.

    Raises:
        KeyError, TypeError: one of them does.
    """
    if type(calls) is not list:
        return None
    read: list[Item] = []
    for call in calls:
        function = call["function"]
        call_id, called, arguments = call["id"], function["name"], function["arguments"]
        if (
            len(call) + len(function) != 5
            or call["type"] != "function"
            or type(call_id) is not str
            or not call_id
            or len(call_id) > _LONGEST
            or type(called) is not str
            or not called
            or type(arguments) is not str
        ):
            return None
        read.append({"type": "function_call", "call_id": call_id, "name": called, "arguments": arguments})
    return read


def _called(function: dict[str, Any], path: str) -> tuple[str, str]:
    return name(function.get("name"), f"{path}.name"), string(function.get("arguments"), f"{path}.arguments")


_READERS: Final[dict[str, Callable[[CloselyRead, int, dict[str, Any]], None]]] = {
    "system": CloselyRead._instructions,
    "developer": CloselyRead._instructions,
    "user": CloselyRead._user,
    "assistant": CloselyRead._assistant,
    "tool": CloselyRead._tool,
    "function": CloselyRead._function,
}
