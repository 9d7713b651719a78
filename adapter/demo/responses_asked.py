"""The demo's Responses speaker, listening: a request into a question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from adapter.demo.asking import Bad, image_type, structured, text_of
from adapter.demo.brain import Question, Tool
from adapter.demo.native import NATIVE

CALLS: Final = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    **{native.item: native.output for native in NATIVE.values()},
}
"""Items that the client runs, and the items that answer them."""


def question(body: dict[str, Any]) -> Question:
    """What a Responses body asks.

    Raises:
        Bad: input of a wrong shape, outputs without their calls, or an earlier response: the demo stores none.
    """
    if previous := body.get("previous_response_id"):
        message = f"Previous response with id '{previous}' not found."
        raise Bad(message, "previous_response_id", "previous_response_not_found")
    items = input_items(body)
    tools = [*_tools(body.get("tools") or ()), *_tools_in(items)]
    must, may, only = _choice(body.get("tool_choice"))
    if must and not tools:
        raise Bad("Tool choice requires 'tools'.", "tool_choice")
    turn = _last_turn(items)
    if turn.get("searched"):
        tools = [tool for tool in tools if tool.name != "tool_search"]
    reasoning, text, limit = body.get("reasoning"), body.get("text"), body.get("max_output_tokens")
    reasoning = reasoning if isinstance(reasoning, dict) else {}
    return Question(
        user=turn["user"],
        images=tuple(turn["images"]),
        files=tuple(turn["files"]),
        tools=tuple(tools),
        must_call=must,
        may_call=may,
        only=only,
        parallel=body.get("parallel_tool_calls") is not False,
        outputs=tuple(turn["outputs"]),
        reasons=reasoning.get("effort") not in (None, "none") or reasoning.get("summary") is not None,
        schema=structured(text.get("format") if isinstance(text, dict) else None, nested=False),
        limit=limit if isinstance(limit, int) else None,
    )


def input_items(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The input as a list of items.

    Raises:
        Bad: it is neither text nor a list of objects.
    """
    given = body.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise Bad("Invalid type for 'input': expected a string or a list of items.", "input", "invalid_type")
    if not given:
        raise Bad("Invalid value for 'input': expected at least one item.", "input", "invalid_value")
    return given


def _tools(given: Iterable[Any], namespace: str | None = None) -> Iterator[Tool]:
    for tool in given:
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind == "namespace":
            yield from _tools(tool.get("tools") or (), tool.get("name"))
        elif kind in NATIVE:
            yield Tool(name=kind, schema=tool.get("parameters") or NATIVE[kind].schema, native=True)
        elif kind in ("function", "custom") and isinstance(tool.get("name"), str):
            custom = kind == "custom"
            yield Tool(name=tool["name"], custom=custom, schema=tool.get("parameters"), namespace=namespace)


def _tools_in(items: list[dict[str, Any]]) -> Iterator[Tool]:
    for item in items:
        if item.get("type") in ("additional_tools", "tool_search_output"):
            yield from _tools(item.get("tools") or ())


def _choice(choice: Any) -> tuple[bool, bool, tuple[str, ...]]:
    match choice:
        case "required":
            return True, True, ()
        case "none":
            return False, False, ()
        case {"type": "allowed_tools", "mode": mode, "tools": list(tools)}:
            return mode == "required", True, tuple(tool["name"] for tool in tools if "name" in tool)
        case {"type": "local_shell" | "shell" | "apply_patch" as name}:
            return True, True, (name,)
        case {"type": "function" | "custom", "name": str(name)}:
            return True, True, (name,)
        case _:
            return False, True, ()


def _last_turn(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The last run of user messages, and the tool outputs since."""
    turn: dict[str, Any] = {"user": "", "images": [], "files": [], "outputs": []}
    names: dict[Any, str] = {}
    answered: set[Any] = set()
    before = ""
    for item in items:
        kind = item.get("type") or "message"
        if kind == "message" and item.get("role") == "user":
            if before != "user":
                turn = {"user": "", "images": [], "files": [], "outputs": turn["outputs"] if before == "output" else []}
            _user(item.get("content"), turn)
            before = "user"
        elif kind in CALLS:
            names[_pair(item)] = str(item.get("name") or kind.removesuffix("_call"))
            before = "call"
        elif kind in CALLS.values():
            call_id = _pair(item)
            if kind == "function_call_output" and item.get("call_id") is None and item.get("name"):
                names[call_id] = str(item["name"])  # what a tool says that nobody called
            if call_id not in names:
                raise Bad(f"No tool call found for function call output with call_id {call_id}.", "input")
            answered.add(call_id)
            if kind == "tool_search_output":  # it brings tools, and the question is still open
                turn["searched"] = True
            else:
                turn["outputs"].append((names[call_id], text_of(item.get("output")) or str(item.get("output"))))
                _media(item.get("output"), turn)
            before = "output"
        elif kind == "message":
            before = str(item.get("role"))
    for call_id in names:
        if call_id not in answered:
            raise Bad(f"No tool output found for function call {call_id}.", "input")
    return turn


def _user(content: Any, turn: dict[str, Any]) -> None:
    turn["user"] = f"{turn['user']} {text_of(content)}".strip()
    _media(content, turn)


def _media(content: Any, turn: dict[str, Any]) -> None:
    for part in content if isinstance(content, list) else ():
        match part:
            case {"type": "input_image"}:
                turn["images"].append(image_type(str(part.get("image_url") or "")))
            case {"type": "input_file"}:
                turn["files"].append(str(part.get("filename") or "file"))


def _pair(item: dict[str, Any]) -> Any:
    """What a call and its output have in common; a local shell's output names the call by its own id."""
    return item.get("call_id") or item.get("id")
