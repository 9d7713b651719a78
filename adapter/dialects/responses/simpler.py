"""A request for a server whose Responses endpoint understands less than OpenAI's, in words that it understands.

`Profile.responses_tools` says which kinds of tools it knows, or `responses_unknown` which not. Those of another kind that the client
runs become functions wherever they are offered, and so do their calls in the history, and their outputs; what the server would have
to run is dropped, a loss. What agents say, and tools that nobody called, is said by the user. Such endpoints mostly stand before the
templates of models that take one system message at the beginning, so instructions are put where `Profile.late_system` has them; so
are messages of the system for a server that takes none. All as Chat servers are told it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from adapter.dialects.checks import array, json_object, json_text, string, wrong_value
from adapter.dialects.functions.calls import CALLS, TEXTS, is_server_search, opened, uncalled
from adapter.dialects.functions.choices import cannot_force, named
from adapter.dialects.functions.deferred import find_deferred
from adapter.dialects.functions.pairing import Pairing
from adapter.dialects.functions.toolbox import BRINGS_TOOLS, Tool, Toolbox
from adapter.dialects.writing import Writing
from adapter.hub.events import Item
from adapter.hub.items import ENCRYPTED_ARGUMENTS, texts
from adapter.hub.losses import Action, Loss
from adapter.hub.names import LONGEST_CALL_ID
from adapter.hub.request import Request, Tools
from adapter.upstream.profiles import LATE, SYSTEM, Profile
from adapter.wire.jsonio import is_object

_ABOUT: Final = {
    "custom_tool_call": "custom",
    "custom_tool_call_output": "custom",
    "tool_search_call": "tool_search",
    "tool_search_output": "tool_search",
    "local_shell_call": "local_shell",
    "local_shell_call_output": "local_shell",
    "shell_call": "shell",
    "shell_call_output": "shell",
    "apply_patch_call": "apply_patch",
    "apply_patch_call_output": "apply_patch",
    "additional_tools": "additional_tools",
    "agent_message": "agent_message",
}
"""Type of an item -> what a server must know to take it: a kind of tools, but for the last two."""
_SERVED: Final = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "image_generation_call": "image_generation",
    "computer_call": "computer",
    "computer_call_output": "computer",
    "mcp_list_tools": "mcp",
    "mcp_call": "mcp",
    "mcp_approval_request": "mcp",
    "mcp_approval_response": "mcp",
}
"""The same of what servers ran."""
_NEEDED: Final = _ABOUT | _SERVED
_UNCALLED: Final = "uncalled_output"
"""What a tool says that nobody called."""
OF_CLIENTS: Final = frozenset(_ABOUT.values()) | {"namespace", _UNCALLED}
"""The kinds that are said in other words where they are not known; others are dropped."""
_TEXTS: Final = ("input_text", "output_text", "text")
_OUTPUTS: Final = ("function_call_output", "custom_tool_call_output", "local_shell_call_output", *TEXTS)
_OF_CALLS: Final = frozenset(
    {"id", "name", "namespace", "input", "action", "operation", "execution", "environment", ENCRYPTED_ARGUMENTS}
)
_OF_OUTPUTS: Final = frozenset({"id", "name", "namespace", "execution", "tools", "max_output_length"})
"""What other kinds of calls and outputs have beside what those of functions have, or with another meaning."""


def fits(body: dict[str, Any], profile: Profile) -> bool:
    """Whether the server understands a Responses body as it is."""
    if not profile.rewords:
        return True
    return (
        all(_takes(tool, profile) for tool in _objects(body.get("tools")))
        and not any(_is_foreign(item, profile) for item in _objects(body.get("input")))
        and not _is_misplaced(body, profile)
    )


def kinds(body: dict[str, Any]) -> set[str]:
    """What of a Responses body it takes more to understand than messages and functions, in the words of
    `Profile.responses_unknown`."""
    items = _objects(body.get("input"))
    tools = _objects(body.get("tools"))
    tools += [tool for item in items if item.get("type") in BRINGS_TOOLS for tool in _objects(item.get("tools"))]
    tools += [inner for tool in tools if tool.get("type") == "namespace" for inner in _objects(tool.get("tools"))]
    found = {kind for tool in tools if isinstance(kind := tool.get("type"), str)}
    found |= {kind for item in items if (kind := _needed(item)) is not None}
    if _is_late(body):
        found.add(LATE)
    if any(_instructs(item) and item["role"] == "system" for item in items):
        found.add(SYSTEM)
    return found - {"function"}


def _leads(profile: Profile) -> bool:
    """Whether instructions are put where the server takes them."""
    return profile.late_system != "keep" and (_has_template(profile) or SYSTEM in profile.responses_unknown)


def _has_template(profile: Profile) -> bool:
    """Whether it may take them only at the beginning."""
    return bool(profile.responses_tools) or LATE in profile.responses_unknown


def _moves(item: Item, profile: Profile) -> bool:
    """Whether the item is an instruction that is put elsewhere."""
    return _instructs(item) and _leads(profile) and (item["role"] == "system" or _has_template(profile))


def _is_misplaced(body: dict[str, Any], profile: Profile) -> bool:
    """Whether instructions stand where the server does not take them."""
    if not _leads(profile):
        return False
    if SYSTEM in profile.responses_unknown and any(_moves(item, profile) for item in _objects(body.get("input"))):
        return True
    return _has_template(profile) and _is_late(body)


def _is_late(body: dict[str, Any]) -> bool:
    """Whether instructions stand where a template may not take them."""
    items = _objects(body.get("input"))
    second = items if body.get("instructions") else items[1:]
    return any(map(_instructs, second)) or any(item.get("role") == "developer" for item in items[:1])


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _takes(tool: dict[str, Any], profile: Profile) -> bool:
    """Whether the server knows the tool and, where it is a namespace, those in it."""
    kind = tool.get("type")
    return _is_known(kind, profile) and (
        kind != "namespace" or all(_is_known(inner.get("type"), profile) for inner in _objects(tool.get("tools")))
    )


def _is_known(kind: Any, profile: Profile) -> bool:
    known = profile.responses_tools
    return kind == "function" or ((not known or kind in known) and kind not in profile.responses_unknown)


def _needed(item: Item) -> str | None:
    """What a server must know to take the item, beside messages and functions."""
    match item:
        case {"type": "function_call"}:
            return None if item.get("namespace") is None else "namespace"
        case {"type": "function_call_output"}:
            return _UNCALLED if item.get("call_id") is None else None
        case {"type": str(kind)}:
            return _NEEDED.get(kind)
        case _:
            return None


def _is_foreign(item: Item, profile: Profile) -> bool:
    needed = _needed(item)
    if needed is None:
        return False
    known = profile.responses_tools
    if needed in profile.responses_unknown or (known and not any(tool.startswith(needed) for tool in known)):
        return True
    brought = _objects(item.get("tools")) if item["type"] in BRINGS_TOOLS else ()
    return not all(_takes(tool, profile) for tool in brought)


def _instructs(item: Item) -> bool:
    return item.get("role") in ("system", "developer") and item.get("type", "message") == "message"


def simplified(request: Request, profile: Profile, losses: list[Loss]) -> tuple[Request, Tools]:
    """The request as such a server takes it, and the client's tools behind the names of functions that are none of its own.

    Raises:
        BadRequest: what cannot be sent.
    """
    # its endpoint has `strict`, and of web searches it is told by tools
    profile = replace(profile, custom_tools=False, web_search_options=False, strict_tools=True)
    writing = _Writing(request, profile)
    try:
        body = writing.body()
        losses += writing.losses
        return replace(request, body=body, seen=None), writing.box.refs
    finally:
        del writing.box  # they hold each other, and all that was asked


class _Writing(Writing):
    """While one request is made fit."""

    __slots__ = ("_call_ids", "_calls", "_server_tools", "_spoken", "box", "lead")

    def __init__(self, request: Request, profile: Profile) -> None:
        super().__init__(request, profile)
        self._server_tools: dict[str, Tool] = {}
        """What goes on as it is, each by all that it says: Codex brings tools again."""
        self._calls: Pairing[Item] = Pairing()
        self._call_ids: dict[str, str] = {}
        """Item id -> call id, of the calls so far."""
        self._spoken = False
        """Something stands in the history that is no instruction."""
        instructions = request.body.get("instructions") or []
        self.lead = [instructions] if isinstance(instructions, str) else ["".join(texts(item)) for item in instructions]
        """The instructions, piece by piece."""
        self.box = Toolbox(self)
        self._offer_all(request.body.get("tools") or [], "tools")
        self.box.renew()
        for index, item in enumerate(request.items):
            if item["type"] in BRINGS_TOOLS and _is_foreign(item, self.profile):
                self._offer_all(item.get("tools") or [], self.at(index, ".tools"))
        if self.box.searched:
            find_deferred(self.box.find, self.box.refs, request)

    def body(self) -> dict[str, Any]:
        """All that is sent."""
        body = {**self.request.body, "input": self.items()}
        if self.lead and _leads(self.profile):
            lead, items = "\n\n".join(self.lead), body["input"]
            alone = "developer" if SYSTEM in self.profile.responses_unknown else "system"
            body |= {"instructions": lead} if items else {"input": [_message(alone, lead)], "instructions": None}
        if not body["input"]:
            raise wrong_value("input", "at least one item that the upstream takes")
        body["tools"] = tools = self.tools()
        if body.get("tool_choice") is not None:
            body["tool_choice"] = self.choice(body["tool_choice"], bool(tools))
        return body

    def _offer_all(self, tools: list[Tool], path: str) -> None:
        for index, tool in enumerate(tools):
            kind, place = tool["type"], f"{path}[{index}]"
            if kind == "function":
                self.box.keep(tool, place)
            elif _takes(tool, self.profile):
                self._server_tools.setdefault(json_text(tool, place), tool)
            else:
                self.box.add(tool, place)

    def tools(self) -> list[Tool]:
        """All that are offered."""
        made = [self._tool(wire, tool["function"]) for wire, tool in self.box.offered.items()]
        return [*made, *self._server_tools.values()]

    def _tool(self, wire: str, function: Tool) -> Tool:
        stands_in = wire in self.box.refs
        return {"type": "function", "strict": False, **function} if stands_in else {"type": "function", **function}

    def choice(self, choice: Any, offers: bool) -> Any:
        """The choice among these; `offers`: there are any."""
        match choice:
            case {"type": "allowed_tools", "tools": allowed}:
                tools = [self._chosen(tool, f"tool_choice.tools[{index}]") for index, tool in enumerate(allowed)]
                left = [tool for tool in tools if tool is not None]
                if choice["mode"] == "required" and not left:
                    raise cannot_force(self.box, "tool_choice.tools", hosted=True)
                return {**choice, "tools": left} if left else "none"
            case {"type": _}:
                chosen = self._chosen(choice, "tool_choice")
                if chosen is None:
                    raise cannot_force(self.box, "tool_choice", hosted=True)
                return chosen
            case "required" if not offers:
                raise cannot_force(self.box, "tool_choice")
            case _:
                return choice

    def _chosen(self, tool: Tool, path: str) -> Tool | None:
        kind = tool.get("type")
        if kind != "function" and _is_known(kind, self.profile):
            return tool
        wire = named(tool, path, self, self.box)
        return None if wire is None else {"type": "function", "name": wire}

    def items(self) -> list[Item]:
        """The history."""
        made: list[Item] = []
        for index, item in enumerate(self.request.items):
            written = self._item(index, item)
            if written is not None:
                made.append(written)
                self._spoken = True
        return made

    def _item(self, index: int, item: Item) -> Item | None:
        kind = item["type"]
        if _moves(item, self.profile):
            return self._instruction(index, item)
        if kind in CALLS:
            return self._call(index, item)
        if kind in _OUTPUTS:
            return self._output(index, item)
        if not _is_foreign(item, self.profile):
            return item
        if kind == "additional_tools":
            return None
        if kind in _SERVED:
            self.lose(self.at(index), kind, "The upstream's histories have no place for this kind of item.")
            return None
        reason = "The upstream has no messages between agents: the user tells it."
        self.lose(self.at(index), "agent_message", reason, Action.EMULATED)
        return _message("user", opened(self._said(item, "content", index)))

    def _instruction(self, index: int, item: Item) -> Item | None:
        content = item["content"]
        is_text = isinstance(content, str) or all(part.get("type") in _TEXTS for part in content)
        if self._spoken or not is_text:
            reason = "The upstream takes instructions only at the beginning, and as text."
            self.lose(self.at(index, ".role"), "late_system", reason, Action.APPROXIMATED)
            if not is_text or self.profile.late_system == "user":
                return {**item, "role": "user"}
        if "name" in item:
            self.lose_once(self.at(index), "name", "Instructions have no name.")
        self.lead.append("".join(texts(item)))
        return None

    def _call(self, index: int, item: Item) -> Item | None:
        kind, call_id = item["type"], item.get("call_id")
        foreign = _is_foreign(item, self.profile)
        if foreign and kind == "tool_search_call" and is_server_search(item):
            self.lose(self.at(index), kind, "The upstream does not search for tools.")
            return None
        call_id = string(call_id, self.at(index, ".call_id"))
        self._calls.add(call_id, item)
        if isinstance(item.get("id"), str):
            self._call_ids[item["id"]] = call_id
        if not foreign and (kind != "function_call" or self._stands(item)):
            return item
        call = CALLS[kind](item, index, self, self.box, call_id)["function"]
        return {**_without(item, _OF_CALLS), "type": "function_call", "call_id": call_id, **call}

    def _stands(self, call: Item) -> bool:
        """The server can read a function's call as it is."""
        called, arguments = call["name"], call["arguments"]
        return self.box.wire("function", called) == called and (self.profile.any_arguments or is_object(arguments))

    def _output(self, index: int, item: Item) -> Item | None:
        kind, call_id = item["type"], item.get("call_id")
        foreign = _is_foreign(item, self.profile)
        if foreign and kind == "tool_search_output" and is_server_search(item):
            return None
        call_id = (
            self._call_id_otherwise(index, item) if call_id is None else string(call_id, self.at(index, ".call_id"))
        )
        waits = call_id is not None and self._calls.waiting.get(call_id) is not None
        if isinstance(item.get("name"), str) and not waits:
            return self._uncalled(index, item)
        if call_id is not None:
            self._calls.answered(call_id)
        if not foreign:
            return item
        call_id, text = string(call_id, self.at(index, ".call_id")), TEXTS.get(kind)
        output = self._said(item, "output", index) if text is None else text(item, index, self, self.box)
        return {**_without(item, _OF_OUTPUTS), "type": "function_call_output", "call_id": call_id, "output": output}

    def _said(self, item: Item, field: str, index: int) -> str | list[Any]:
        """The text or the parts in this field."""
        said, path = item.get(field), self.at(index, f".{field}")
        if said is None or isinstance(said, str):
            return said or ""
        return [json_object(part, f"{path}[{place}]") for place, part in enumerate(array(said, path))]

    def _call_id_otherwise(self, index: int, item: Item) -> str | None:
        """Of an output that gives none: by the id of its call's item, or by the name of a call that waits."""
        if item["type"] == "local_shell_call_output":
            given = string(item.get("id"), self.at(index, ".id"))
            return self._call_ids.get(given, given)
        called = item.get("name")
        return self._calls.id_by_name(called, self.request.items) if isinstance(called, str) else None

    def _uncalled(self, index: int, item: Item) -> Item:
        reason = "The upstream takes one output of each call and no other: the user tells it."
        self.lose(self.at(index), "uncalled_output", reason, Action.EMULATED)
        words, output = uncalled(item, LONGEST_CALL_ID), self._said(item, "output", index)
        if isinstance(output, str):
            return _message("user", f"{words}\n{output}")
        return _message("user", [{"type": "input_text", "text": words}, *output])


def _message(role: str, content: Any) -> Item:
    return {"type": "message", "role": role, "content": content}


def _without(item: Item, fields: frozenset[str]) -> Item:
    return {key: value for key, value in item.items() if key not in fields}
