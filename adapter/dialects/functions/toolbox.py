"""Hub tools -> functions, and the names under which the upstream knows them (map a4).

A Responses client offers tools in three places (`tools`, `additional_tools` items, the tools that a `tool_search_output`
brings) and of many kinds; most servers know functions and some custom tools, in one flat list. So:

* namespaces are flattened to `namespace__name` (the namespace `functions`, an empty one and none mean the top level), and what
  is said of one is told with its first tool;
* custom tools become functions with one string property `input` where the server has no custom tools;
* tool_search, local_shell, shell and apply_patch become functions whose arguments are the arguments, the action (without its
  `type`), the action and the operation of the call item;
* arguments that Codex wants encrypted, of tools that send messages to agents, are not, and it is told so with each call;
* hosted tools cannot be had and are dropped, a loss; `web_search` lives on as `web_search_options` where a Chat server has it;
* the schema of a function's arguments is that of an object, with properties.

A `ToolRef` for every name that does not speak for itself goes into the exchange, and the reader of the answer restores kind,
name and namespace from it, and that the tool is `async`. Names are given in the order in which tools were offered, so that
tools that come later never change the name of an earlier one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from operator import length_hint
from typing import Any, Final

from adapter.dialects.checks import array, json_object, name, string, wrong_type
from adapter.dialects.functions.deferred import find_deferred
from adapter.dialects.functions.parameters import UNITED, object_schema
from adapter.dialects.functions.patches import takes_patches
from adapter.dialects.functions.schemas import APPLY_PATCH, LOCAL_SHELL, SHELL, TOOL_SEARCH, freeform, unencrypted
from adapter.dialects.writing import Writing
from adapter.hub.losses import Action
from adapter.hub.names import fitted_name
from adapter.hub.request import ToolKind, ToolRef
from adapter.hub.strict import meets_strict_rules
from adapter.wire.jsonio import same

Tool = dict[str, Any]

WEB_SEARCHES: Final = frozenset(
    {"web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"}
)
SERVED: Final = WEB_SEARCHES | frozenset({"code_interpreter", "file_search", "image_generation", "mcp"})
"""Tools that the model server runs to their end: whoever offers them has to know no calls of them."""
HOSTED: Final = SERVED | frozenset(
    {
        "computer",
        "computer_use",
        "computer_use_preview",
        "programmatic_tool_calling",
        "tool_search",
    }
)
"""Tools that the model server itself runs."""

_UNFIT: Final = re.compile(r"[^A-Za-z0-9_-]")
_OF_FUNCTIONS: Final = frozenset({"type", "name", "description", "parameters", "strict", "defer_loading", "async"})
"""That a tool need not be known before it is searched for (`defer_loading`) forbids nobody to offer it at once."""
_OF_CALLS: Final = frozenset({"defer_loading", "async"})
_NO_CHAT_FIELDS: Final = frozenset({"output_schema", "allowed_callers"})
_FIELDS: Final = {
    "function": _OF_FUNCTIONS | _NO_CHAT_FIELDS,
    "custom": frozenset({"type", "name", "description", "format", "defer_loading", "async"}) | _NO_CHAT_FIELDS,
    "namespace": frozenset({"type", "name", "description", "tools"}),
    "tool_search": frozenset({"type", "execution", "description", "parameters"}),
    "local_shell": frozenset({"type"}),
    "shell": frozenset({"type", "environment", "allowed_callers"}),
    "apply_patch": frozenset({"type", "allowed_callers"}),
    "web_search": frozenset({"type", "user_location", "search_context_size", "filters", "external_web_access"}),
}
"""What of a tool that is offered is carried, means nothing here, or is declared by its own name."""
_OF_FORMATS: Final = frozenset({"type", "syntax", "definition"})
_OF_ENVIRONMENTS: Final = frozenset({"type"})
_TOP_LEVEL: Final = (None, "", "functions")


class Toolbox:
    """The tools of one request as the upstream gets them, in the form that Chat has for them."""

    __slots__ = (
        "_again",
        "_kept",
        "_name_max",
        "_strict",
        "_wires",
        "_writing",
        "dropped",
        "functions",
        "offered",
        "refs",
        "searched",
        "web_search_options",
    )

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._name_max = writing.profile.name_max
        self._strict = writing.profile.strict_tools
        self.functions: dict[str, str] = {}
        """Name -> wire name of the functions that are in no namespace, which most tools are."""
        self._again: dict[str, int] = {}
        """The last number that was put behind a name to tell it from others that are spelled alike."""
        self._wires: dict[tuple[str, str | None, str], str] = {}
        """(kind, namespace, name) -> wire name, of all others; the kind by its value, because hashing an enum is slow."""
        self.offered: dict[str, Tool] = {}
        """Wire name -> Chat tool, in the order of the offer."""
        self._kept: Collection[str] = self.offered
        """Wire names of tools that none of the same name replaces."""
        self.refs: dict[str, ToolRef] = {}
        """Wire name -> the client's tool, for the names that do not speak for themselves."""
        self.dropped = False
        """Some hosted tool was offered and could not be kept."""
        self.searched = False
        """The server was to search for the deferred ones."""
        self.web_search_options: Tool | None = None

    def wire(self, kind: str, called: str, namespace: str | None = None) -> str:
        """The upstream's name of a tool; of one that is not offered (any more), the name that it would have.

        `kind` is the value of a `ToolKind`.
        """
        known = self.find(kind, called, namespace)
        if known is None and namespace == called:  # so OpenAI calls a function in no namespace that a search has found
            known = self.find(kind, called)
        return self._spelled(called, None if namespace in _TOP_LEVEL else namespace) if known is None else known

    def find(self, kind: str, called: str, namespace: str | None = None) -> str | None:
        """The upstream's name of a tool that is offered."""
        space = None if namespace in _TOP_LEVEL else namespace
        if kind == "function" and space is None:
            return self.functions.get(called)
        return self._wires.get((kind, space, called))

    def add(self, tool: Any, path: str, namespace: str | None = None) -> None:
        """Offer one hub tool.

        Raises:
            BadRequest: it has no name, or a field of the wrong type.
        """
        kind = json_object(tool, path).get("type")
        add = _ADDERS.get(kind) if isinstance(kind, str) else None
        if add is not None:
            add(self, tool, path, namespace)
        else:
            self._drop(string(kind, f"{path}.type"), path)

    def add_all(self, tools: list[Any], path: str) -> None:
        """Offer each of these; `path` is theirs.

        Functions in which nothing is wrong, lost or to be renamed, as most are, are offered at sight, in a third of the time
        that `add` needs (the same result, a law in the tests).

        Raises:
            BadRequest: as `add`.
        """
        offered, functions, name_max, strict_tools = self.offered, self.functions, self._name_max, self._strict
        strict_told = False
        rest, last = iter(tools), len(tools) - 1
        for tool in rest:
            try:
                if tool["type"] == "function":
                    called, parameters = tool["name"], tool["parameters"]
                    description, strict = tool.get("description"), tool.get("strict")
                    if (
                        type(called) is str
                        and parameters["type"] == "object"
                        and type(parameters["properties"]) is dict
                        and (type(description) is str or description is None)
                        and len(tool) == 3 + (description is not None) + (strict is not None)
                        and called.isidentifier()
                        and called.isascii()
                        and len(called) <= name_max
                        and called not in offered
                    ):
                        function: Tool = (
                            {"name": called, "parameters": parameters}
                            if description is None
                            else {"name": called, "description": description, "parameters": parameters}
                        )
                        if strict_tools:
                            function["strict"] = strict is True or (strict is None and meets_strict_rules(parameters))
                        elif strict is True and not strict_told:
                            self._lose_strict(f"{path}[{last - length_hint(rest)}]")
                            strict_told = True
                        functions[called] = called
                        offered[called] = {"type": "function", "function": function}
                        continue
            except (KeyError, TypeError):
                pass
            self.add(tool, f"{path}[{last - length_hint(rest)}]")

    def renew(self) -> None:
        """Tools that are offered from now on replace each other."""
        self._kept = frozenset(self.offered)

    def keep(self, tool: Tool, path: str) -> None:
        """Offer a function with all that it says, but when and how it is to be called.

        Raises:
            BadRequest: it has no name.
        """
        wire = self._take("function", tool.get("name"), None, path)
        said = {key: value for key, value in tool.items() if key not in _OF_CALLS}
        said["parameters"], united = object_schema(tool.get("parameters"))
        if self._offer("function", {**said, "name": wire}, path):
            self._lose_union(path, united)
            self._lose_async("function", tool, wire, None, path)

    def _function(self, tool: Tool, path: str, namespace: str | None) -> None:
        parameters = tool.get("parameters")
        if parameters is not None and not isinstance(parameters, dict):
            raise wrong_type(f"{path}.parameters", "an object", parameters)
        function: Tool = {"name": self._take("function", tool.get("name"), namespace, path)}
        description = tool.get("description")
        if isinstance(description, str):
            function["description"] = description
        elif description is not None:
            raise wrong_type(f"{path}.description", "a string", description)
        told, united = object_schema(parameters)
        codex = parameters and namespace is not None and self._writing.request.client.codex
        function["parameters"] = unencrypted(told) if codex else told
        strict = tool.get("strict")
        if self._strict:
            function["strict"] = strict is True or (strict is None and meets_strict_rules(parameters))
        if self._offer("function", function, path):
            if codex:
                wire = function["name"]
                self.refs[wire] = self.refs[wire]._replace(plain=function["parameters"] is not told)
            if strict is True and not self._strict:
                self._lose_strict(path)
            self._lose_union(path, united)
            self._lose_fields("function", tool, path)
            self._lose_async("function", tool, function["name"], namespace, path)

    def _lose_async(self, kind: str, tool: Tool, wire: str, namespace: str | None, path: str) -> None:
        if tool.get("async"):
            ref = self.refs.get(wire) or ToolRef(ToolKind(kind), tool["name"], namespace)
            self.refs[wire] = ref._replace(beside=True)
            self._writing.lose(f"{path}.async", "async_tool", "The model does not go on before it has the output.")

    def _lose_fields(self, kind: str, tool: Tool, path: str) -> None:
        """What a tool that is offered says and Chat's cannot."""
        for key in tool:
            if key in _NO_CHAT_FIELDS and tool[key] not in (None, ["direct"]):  # a model calls Chat's tools directly
                self._writing.lose(f"{path}.{key}", key, "The upstream's tools have no such field.")
        self._writing.lose_unknown(path, tool, _FIELDS[kind])

    def _lose_union(self, path: str, united: bool) -> None:
        if united:
            self._writing.lose(f"{self._function_at(path)}.parameters", "parameters", UNITED, Action.APPROXIMATED)

    def _function_at(self, path: str) -> str:
        """Where what is said of a function stands in the client's own body."""
        return f"{path}.function" if self._writing.request.dialect == "chat" else path

    def _lose_strict(self, path: str) -> None:
        place = self._function_at(path)
        self._writing.lose_once(f"{place}.strict", "strict", "The upstream does not hold arguments to their schema.")

    def _custom(self, tool: Tool, path: str, namespace: str | None) -> None:
        form = json_object(tool.get("format") or {"type": "text"}, f"{path}.format")
        wire = self._take("custom", tool.get("name"), namespace, path)
        description = tool.get("description")
        if description is not None:
            string(description, f"{path}.description")
        if not self._writing.profile.custom_tools:
            new = self._offer("function", freeform(wire, description, form), path)
            if new:
                self.refs[wire] = self.refs[wire]._replace(patch=takes_patches(tool["name"], form))
        else:
            custom: Tool = {"name": wire}
            if description is not None:
                custom["description"] = description
            if form.get("type") == "grammar":
                grammar = {key: string(form.get(key), f"{path}.format.{key}") for key in ("definition", "syntax")}
                custom["format"] = {"type": "grammar", "grammar": grammar}
            elif tool.get("format") is not None:
                custom["format"] = {"type": "text"}
            new = self._offer("custom", custom, path)
        if new:
            self._lose_fields("custom", tool, path)
            self._lose_async("custom", tool, wire, namespace, path)
            self._writing.lose_unknown(f"{path}.format", form, _OF_FORMATS)

    def _namespace(self, tool: Tool, path: str, _namespace: str | None) -> None:
        namespace, space, tools = None, tool.get("name"), array(tool.get("tools"), f"{path}.tools")
        if space not in _TOP_LEVEL:
            namespace = string(space, f"{path}.name")
            if tools and tool.get("description"):
                reason = "The upstream has no namespaces: what is said of one is told with its first tool."
                self._writing.lose(f"{path}.description", "namespace", reason, Action.EMULATED)
                said = string(tool["description"], f"{path}.description")
                tools = [_telling(tools[0], f"Of all tools of {namespace}: {said}"), *tools[1:]]
        self._lose_fields("namespace", tool, path)
        for i, inner in enumerate(tools):
            self.add(inner, f"{path}.tools[{i}]", namespace)

    def _tool_search(self, tool: Tool, path: str, _namespace: str | None) -> None:
        if tool.get("execution") != "client":
            self._drop("tool_search", path)
            self.searched = True
            return
        function = dict(TOOL_SEARCH)
        if tool.get("description") is not None:
            function["description"] = string(tool["description"], f"{path}.description")
        if tool.get("parameters") is not None:
            function["parameters"] = json_object(tool["parameters"], f"{path}.parameters") or function["parameters"]
        self._emulate("tool_search", function, tool, path)

    def _local_shell(self, tool: Tool, path: str, _namespace: str | None) -> None:
        self._emulate("local_shell", LOCAL_SHELL, tool, path)

    def _shell(self, tool: Tool, path: str, _namespace: str | None) -> None:
        environment = tool.get("environment")
        if isinstance(environment, dict) and environment.get("type") != "local":
            self._drop("shell", path)  # runs in a container of the server's
            return
        self._emulate("shell", SHELL, tool, path)
        if isinstance(environment, dict):
            self._writing.lose_unknown(f"{path}.environment", environment, _OF_ENVIRONMENTS)

    def _apply_patch(self, tool: Tool, path: str, _namespace: str | None) -> None:
        self._emulate("apply_patch", APPLY_PATCH, tool, path)

    def _web_search(self, tool: Tool, path: str, _namespace: str | None) -> None:
        if not self._writing.profile.web_search_options:
            self._drop("web_search", "web_search_options" if tool is self._writing.request.search else path)
            return
        options = _web_search_options(tool, path)
        if self.web_search_options is None:
            self.web_search_options = options
            if tool.get("filters") is not None:
                self._writing.lose(f"{path}.filters", "web_search", "web_search_options has no filters.")
            if tool.get("external_web_access") is False:
                reason = "web_search_options always search the live web."
                self._writing.lose(f"{path}.external_web_access", "web_search", reason)
            self._lose_fields("web_search", tool, path)
        elif not same(options, self.web_search_options):
            self._lose_duplicate(path)

    def _emulate(self, kind: str, function: Tool, tool: Tool, path: str) -> None:
        """Offer `tool` as that function."""
        parameters, united = object_schema(function["parameters"])
        said = {**function, "parameters": parameters, "name": self._take(kind, kind, None, path)}
        if self._offer("function", said, path):
            self._lose_union(path, united)
            self._lose_fields(kind, tool, path)

    def _offer(self, kind: str, said: Tool, path: str) -> bool:
        """Offer a Chat tool of this kind under the name that was taken for it; False where one is offered under it already
        that stays: one that says the same, or is not to be replaced."""
        tool = {"type": kind, kind: said}
        first = self.offered.setdefault(said["name"], tool)
        if first is tool:
            return True
        if same(first, tool):
            return False
        if said["name"] in self._kept:
            self._lose_duplicate(path)
            return False
        self.offered[said["name"]] = tool
        return True

    def _lose_duplicate(self, path: str) -> None:
        self._writing.lose(path, "duplicate_tool", "Another tool of this name is offered already.")

    def _drop(self, kind: str, path: str) -> None:
        self.dropped = True
        word = kind if kind in HOSTED or kind in _ADDERS else "unknown_tool"
        self._writing.lose(path, word, "The upstream cannot run this kind of tool.")

    def _take(self, kind: str, called: Any, namespace: str | None, path: str) -> str:
        """The wire name of this tool: the one that it has already, or a free one."""
        if not isinstance(called, str) or not called:
            name(called, f"{path}.name")
        if (known := self.find(kind, called, namespace)) is not None:
            return known
        spelled = wire = self._spelled(called, namespace)
        if wire in self.offered:
            again = self._again.get(spelled, 1)
            while wire in self.offered:
                again += 1
                wire = fitted_name(f"{spelled}_{again}", self._name_max)
            self._again[spelled] = again
        if kind == "function" and namespace is None:
            self.functions[called] = wire
        else:
            self._wires[kind, namespace, called] = wire
        if wire != called or self._is_disguised(kind):
            self.refs[wire] = ToolRef(ToolKind(kind), called, namespace)
        return wire

    def _is_disguised(self, kind: str) -> bool:
        """Sent as another kind than it is."""
        if kind == "custom":
            return not self._writing.profile.custom_tools
        return kind != "function"

    def _spelled(self, called: str, namespace: str | None) -> str:
        whole = called if namespace is None else f"{namespace}__{called}"
        if not (whole.isascii() and whole.isidentifier()):  # identifiers need no closer look
            whole = _UNFIT.sub("_", whole)
        return fitted_name(whole, self._name_max)


_ADDERS: Final[dict[str, Callable[[Toolbox, Tool, str, str | None], None]]] = {
    "function": Toolbox._function,
    "custom": Toolbox._custom,
    "namespace": Toolbox._namespace,
    "tool_search": Toolbox._tool_search,
    "local_shell": Toolbox._local_shell,
    "shell": Toolbox._shell,
    "apply_patch": Toolbox._apply_patch,
    **dict.fromkeys(WEB_SEARCHES, Toolbox._web_search),
}


BRINGS_TOOLS: Final = ("additional_tools", "tool_search_output")
"""Types of items that bring tools along."""


def gather_tools(writing: Writing) -> Toolbox:
    """All tools that the request offers, from its three places, each once: as the request's own `tools` have it, else as it is
    brought last, since Codex brings tools again that have changed."""
    box = Toolbox(writing)
    request = writing.request
    tools, items = request.body.get("tools"), request.items
    if tools is not None:
        box.add_all(array(tools, "tools"), "tools")
    box.renew()
    for index in request.others:
        item = items[index]
        if item.get("type") in BRINGS_TOOLS:
            path = writing.at(index, ".tools")
            box.add_all(array(item.get("tools") or [], path), path)
    if box.searched:
        find_deferred(box.find, box.refs, request)
    return box


def _telling(tool: Any, words: str) -> Any:
    """A hub tool whose description says these words, too."""
    if not isinstance(tool, dict) or not isinstance(description := tool.get("description") or "", str):
        return tool
    return {**tool, "description": f"{description}\n\n{words}" if description else words}


def _web_search_options(tool: Tool, path: str) -> Tool:
    """The web_search tool as Chat says it: the location nested once more."""
    options: Tool = {}
    location = tool.get("user_location")
    if location is not None:
        fields = json_object(location, f"{path}.user_location")
        approximate = {key: value for key, value in fields.items() if key != "type" and value is not None}
        options["user_location"] = {"type": "approximate", "approximate": approximate}
    if tool.get("search_context_size") is not None:
        options["search_context_size"] = string(tool["search_context_size"], f"{path}.search_context_size")
    return options
