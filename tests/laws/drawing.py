"""Whole requests as the official file allows them: any fields at once, rare ones too, nulls, empty lists, odd characters.

Drawn at random from a seed. Every free text begins with a mark that stands nowhere else, every free number is one of its kind:
what of a request comes out, and what does not, can be told leaf by leaf.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from tests.laws.places import SCARCE, flat, forms

_ODD: Final = ("é", "\u2028", "😀", "\x00", '"', "\\", "\ufeff", "\u202e", "a\r\nb", "data: x\n\n", "\ud7ff", "\uffff")
_DEEP: Final = 9
_UNIQUE_FROM: Final = 10_000
_ROLES: Final = ("System", "Developer", "User", "User", "Assistant", "Assistant", "Assistant")
_MESSAGES: Final = ("EasyInputMessage", "InputMessage", "OutputMessage")
_CALLS: Final = {
    "FunctionToolCall": "FunctionCallOutputItemParam",
    "CustomToolCall": "CustomToolCallOutput",
    "ToolSearchCallItemParam": "ToolSearchOutputItemParam",
    "LocalShellToolCall": "LocalShellToolCallOutput",
    "FunctionShellCallItemParam": "FunctionShellCallOutputItemParam",
    "ApplyPatchToolCallItemParam": "ApplyPatchToolCallOutputItemParam",
}
_ALONE: Final = (
    *("ReasoningItem", "ReasoningItem", "AdditionalToolsItemParam", "WebSearchToolCall", "FileSearchToolCall"),
    *("ComputerToolCall", "CodeInterpreterToolCall", "ImageGenToolCall", "MCPToolCall", "MCPListTools"),
)
_TOOLS: Final = (
    *("FunctionTool", "FunctionTool", "FunctionTool", "CustomToolParam", "CustomToolParam", "NamespaceToolParam"),
    *("WebSearchTool", "ToolSearchToolParam", "FunctionShellToolParam", "ApplyPatchToolParam", "LocalShellToolParam"),
    *("FileSearchTool", "CodeInterpreterTool", "ImageGenTool"),
)
_REFUSED: Final = ("previous_response_id", "conversation", "prompt", "background", "audio", "modalities", "n")
"""What is refused, or is for the server: a request that has it tells nothing."""


class Drawing:
    """Draws instances of the official file's schemas."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._rich = self._random.choice([0.1, 0.3, 0.6])
        """How likely an optional field is."""
        self._count = 0

    def mark(self, *, plain: bool = True) -> str:
        """A text that stands nowhere else; unless it is to be `plain`, perhaps with odd characters behind it."""
        self._count += 1
        odd = "" if plain or self._random.random() < 0.7 else self._random.choice(_ODD) + self._random.choice(_ODD)
        return f"mark{self._count}x{odd}"

    def instance(self, schema: dict[str, Any], key: str = "", depth: int = 0) -> Any:
        """An instance of `schema`, which stands under `key`."""
        if _nullable(schema) and self._random.random() < 0.15:
            return None
        form = self._random.choice(forms(schema) or [{"type": "null"}])
        if "enum" in form:
            return self._random.choice([word for word in form["enum"] if word is not None])
        match form.get("type"):
            case "array":
                least, most = form.get("minItems", 0), min(form.get("maxItems", 3), 3)
                size = least if depth > _DEEP else max(least, min(most, self._random.choice([0, 1, 1, 2, 3])))
                return [self.instance(form["items"], key, depth + 1) for _ in range(size)]
            case "integer":
                self._count += 1
                high = form.get("maximum", _UNIQUE_FROM + 7 * self._count)
                return high if high > _UNIQUE_FROM else self._random.randint(form.get("minimum", 0), high)
            case "number":
                return round(self._random.uniform(form.get("minimum", 0), form.get("maximum", 1)), 9)
            case "boolean":
                return self._random.random() < 0.5
            case "string":
                if form.get("format") == "uri" or key in ("image_url", "file_url", "url"):
                    return f"https://x/{self.mark()}"
                return self.mark(plain="pattern" in form or form.get("maxLength", 99) < 32)
            case "null":
                return None
            case _:
                return self._object(form, key, depth)

    def named(self, name: str) -> dict[str, Any]:
        """An instance of the schema of that name, an object."""
        made: dict[str, Any] = self._object(flat({"$ref": name}), "", 0)
        return made

    def _object(self, form: dict[str, Any], key: str, depth: int) -> dict[str, Any]:
        known = form.get("properties")
        if not known:
            if key in ("parameters", "schema", "output_schema"):
                return {"type": "object", "properties": {self.mark(): {"type": "string"}}}
            return {self.mark(): self.mark(plain=False)} if self._random.random() < self._rich else {}
        required = form.get("required", ())
        likely = self._rich if depth < _DEEP else 0
        keys = [one for one in known if one in required or self._random.random() < likely]
        drawn = {one: self.instance(known[one], one, depth + 1) for one in keys}
        needed = SCARCE.get(form.get("name", ""), {})
        return needed | {one: value for one, value in drawn.items() if value is not None or one not in needed}

    # --------------------------------------------------------------------------------------------------- requests

    def responses_request(self) -> dict[str, Any]:
        """A Responses request that can be answered."""
        body = self._settings("CreateResponse")
        tools = self._tools([self.named(self._random.choice(_TOOLS)) for _ in range(self._random.randint(0, 4))])
        if tools:
            body["tools"] = tools
        names = [(tool["type"], tool["name"]) for tool in tools if tool["type"] in ("function", "custom")]
        body.pop("tool_choice", None)
        if names and self._random.random() < 0.5:
            kind, name = self._random.choice(names)
            chosen = {"type": kind, "name": name}
            allowed = {"type": "allowed_tools", "mode": "auto", "tools": [chosen]}
            body["tool_choice"] = self._random.choice([chosen, allowed, "auto", "required", "none"])
        for entry in body.get("context_management") or ():
            entry["type"] = "compaction"
        body["input"] = self._items() if self._random.random() < 0.9 else self.mark(plain=False)
        return body

    def _items(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        waiting: list[dict[str, Any]] = []
        for _ in range(self._random.randint(1, 8)):
            kind = self._random.choice([_MESSAGES, tuple(_CALLS), _ALONE])
            name = self._random.choice(kind)
            item = self.named(name)
            items.append(item)
            if kind is _CALLS or name in _CALLS:
                item["call_id"] = self.mark()
                waiting.append(self.named(_CALLS[name]) | {"call_id": item["call_id"]})
                if name == "ToolSearchCallItemParam":
                    item["execution"] = waiting[-1]["execution"] = "client"
            while waiting and self._random.random() < 0.5:
                items.append(waiting.pop(self._random.randrange(len(waiting))))
        items += [*waiting, {"role": "user", "content": self.mark(plain=False)}]
        for item in items:
            if "tools" in item and item["type"] in ("additional_tools", "tool_search_output"):
                item["tools"] = self._tools(item["tools"])
        return items

    def chat_request(self) -> dict[str, Any]:
        """A Chat request that can be answered."""
        body = self._settings("CreateChatCompletionRequest")
        for key in ("functions", "function_call", "tool_choice", "tools"):
            body.pop(key, None)
        kinds = ("ChatCompletionTool", "CustomToolChatCompletions")
        tools = [self.named(self._random.choice(kinds)) for _ in range(self._random.randint(0, 3))]
        if tools:
            body["tools"] = tools
            kind = self._random.choice(tools)["type"]
            named = [{"type": tool["type"], kind: {"name": tool[kind]["name"]}} for tool in tools if kind in tool]
            allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": named}}
            body["tool_choice"] = self._random.choice([named[0], allowed, "auto", "required", "none"])
        if body.get("top_logprobs") is not None:
            body["logprobs"] = True
        if body.get("logit_bias"):
            body["logit_bias"] = {"1000": self._random.randint(-99, 99)}
        messages: list[dict[str, Any]] = []
        for _ in range(self._random.randint(1, 6)):
            messages += self._turn()
        body["messages"] = [*messages, {"role": "user", "content": self.mark(plain=False)}]
        return body

    def _turn(self) -> Iterator[dict[str, Any]]:
        message = self.named(f"ChatCompletionRequest{self._random.choice(_ROLES)}Message")
        for key in ("audio", "function_call"):
            message.pop(key, None)
        if isinstance(content := message.get("content"), list):
            message["content"] = [part for part in content if part["type"] != "input_audio"]
            for part in message["content"]:
                if part["type"] == "file":
                    part["file"] = {"filename": self.mark(), "file_data": self.mark()}
        if message["role"] == "assistant" and self._random.random() < 0.3:
            message["reasoning_content"] = self.mark(plain=False)
        yield message
        for call in message.get("tool_calls") or ():
            yield self.named("ChatCompletionRequestToolMessage") | {"tool_call_id": call["id"]}

    def _settings(self, name: str) -> dict[str, Any]:
        body = {key: value for key, value in self.named(name).items() if key not in _REFUSED} | {"model": self.mark()}
        for key in ("max_tokens", "max_completion_tokens", "max_output_tokens", "context_management"):
            if body.get(key) == 0:
                del body[key]
        if body.get("stream_options") is not None:
            body["stream"] = True
        return body

    def _tools(self, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Some of them have the name of another one."""
        names: list[str] = []
        for tool in tools:
            if "name" in tool and names and self._random.random() < 0.4:
                tool["name"] = self._random.choice(names)
            names += [tool["name"]] if "name" in tool else []
        return tools


def _nullable(schema: dict[str, Any]) -> bool:
    found = flat(schema)
    union = [flat(one) for one in found.get("oneOf") or found.get("anyOf") or ()]
    return bool(found.get("nullable")) or {"type": "null"} in union or "null" in (found.get("type") or ())


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of everything in `value` that is neither an object nor a list."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{number}]")
    else:
        yield path, value


def unique(value: Any) -> str:
    """What of a leaf stands nowhere else in its request; empty where nothing does."""
    if isinstance(value, str) and "mark" in value:
        start = value.index("mark")
        return value[start : value.index("x", start) + 1]
    return json.dumps(value) if type(value) is int and value >= _UNIQUE_FROM else ""
