"""What the strictest Chat server of a profile would say about a request.

`problems` knows no mercy: it refuses what any server behind the profile could refuse (unknown fields, unpaired calls, late
system messages, names and ids that do not fit). Tests hold every request that this adapter writes to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from adapter.upstream.profiles import GENERIC, Profile
from adapter.wire import jsonio

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_IDS = {"any": re.compile(r"(?s:.+)"), "word": _NAME, "alnum": re.compile(r"[A-Za-z0-9]+")}
_MESSAGE_KEYS = {
    "system": {"role", "content"},
    "developer": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls", "refusal"},
    "tool": {"role", "content", "tool_call_id"},
}


def problems(body: dict[str, Any], profile: Profile = GENERIC) -> list[str]:
    """Everything that is wrong with `body`; nothing for a request that every such server takes."""
    found: list[str] = []
    try:
        for problems_of in (_fields(body, profile), _tools(body, profile), _messages(body.get("messages"), profile)):
            found.extend(problems_of)
    except (AttributeError, KeyError, TypeError) as malformed:  # not even the shape of a request
        found.append(f"malformed: {malformed!r}")
    return found


def _fields(body: dict[str, Any], profile: Profile) -> Iterator[str]:
    known = {"model", "messages", "tools", "tool_choice", "stream", profile.max_tokens_field, "response_format"}
    known |= profile.accepts
    if profile.parallel_tool_calls:
        known.add("parallel_tool_calls")
    if profile.stream_options:
        known.add("stream_options")
    if profile.reasoning_effort:
        known.add("reasoning_effort")
    if profile.web_search_options:
        known.add("web_search_options")
    for key in body:
        if key not in known:
            yield f"unknown field {key}"
    if not isinstance(body.get("model"), str):
        yield "no model"
    if "stream_options" in body and body.get("stream") is not True:
        yield "stream_options without stream"
    form = body.get("response_format", {}).get("type", "text")
    allowed = {"json_schema": ("text", "json_object", "json_schema"), "json_object": ("text", "json_object")}
    if form not in allowed.get(profile.response_format, ("text",)):
        yield f"response_format {form}"
    if body.get("reasoning_effort", "none") not in (*profile.reasoning_efforts, "none"):
        yield "reasoning_effort"
    if body.get("metadata") and "store" in profile.accepts and body.get("store") is not True:
        yield "metadata without store"


def _tools(body: dict[str, Any], profile: Profile) -> Iterator[str]:
    tools = body.get("tools")
    if tools is None:
        for key in ("tool_choice", "parallel_tool_calls"):
            if key in body:
                yield f"{key} without tools"
        return
    if not tools:
        yield "empty tools"
    names: list[str] = []
    for tool in tools:
        kind = tool["type"]
        if kind != "function" and not (kind == "custom" and profile.custom_tools):
            yield f"tool of type {kind}"
        inner = tool[kind]
        names.append(inner["name"])
        known = {"name", "description", "parameters"} | ({"strict"} if profile.strict_tools else set())
        if kind == "function" and not (inner.keys() <= known and inner["parameters"]):
            yield f"function {sorted(inner)}"
        if set(tool) != {"type", kind}:
            yield "tool with further keys"
    yield from (f"tool name {name!r}" for name in names if not _fits(name, profile))
    if len(set(names)) != len(names):
        yield "two tools of one name"
    yield from _choice(body.get("tool_choice", "auto"), names, profile)


def _choice(choice: Any, names: list[str], profile: Profile) -> Iterator[str]:
    if choice == "none" and names and profile.tool_choice == "ignored":
        yield "tools that may be called though none may be"
    if choice in ("none", "auto", "required"):
        return
    if choice["type"] == "allowed_tools":
        if not profile.allowed_tools:
            yield "allowed_tools"
        chosen = choice["allowed_tools"]["tools"]
    else:
        if profile.tool_choice != "named":
            yield "named tool_choice"
        chosen = [choice]
    for tool in chosen:
        if tool[tool["type"]]["name"] not in names:
            yield "choice of a tool that is not there"


def _messages(messages: Any, profile: Profile) -> Iterator[str]:
    if not isinstance(messages, list) or not messages:
        yield "no messages"
        return
    expected: list[str] = []
    for i, message in enumerate(messages):
        role = message.get("role")
        if role not in _MESSAGE_KEYS:
            yield f"messages[{i}]: role {role!r}"
            continue
        known = _MESSAGE_KEYS[role] | (_replayed(profile) if role == "assistant" else set())
        if not message.keys() <= known or "content" not in message:
            yield f"messages[{i}]: keys {sorted(message)}"
        thought = profile.reasoning_replay == "all" or "tool_calls" in message
        if role == "assistant" and profile.reasoning_demanded and thought and not message.get(profile.reasoning_field):
            yield f"messages[{i}]: the reasoning is missing"
        if role == "assistant" and not profile.empty_answers and _says_nothing(message):
            yield f"messages[{i}]: says nothing"
        if role == "tool":
            if not expected or message["tool_call_id"] != expected.pop(0):
                yield f"messages[{i}]: answers no call that waits here"
        elif expected:
            yield f"messages[{i}]: {role} message before the calls are answered"
        if role in ("system", "developer"):
            if i > 0 and profile.late_system != "keep":
                yield f"messages[{i}]: late {role} message"
            if role == "developer" and profile.instructions_role == "system":
                yield f"messages[{i}]: developer"
        if role == "assistant" and message.get("tool_calls") is not None:
            yield from _calls(message["tool_calls"], profile)
            expected = [call["id"] for call in message["tool_calls"]]
        yield from (f"messages[{i}]: {problem}" for problem in _content(message, profile))
    if expected:
        yield "calls without answers at the end"


def _says_nothing(message: dict[str, Any]) -> bool:
    """Blanks are no text, not even beside calls."""
    content = message.get("content")
    return not content.strip() if content else len(message) == 2


def _replayed(profile: Profile) -> set[str]:
    """What of its answers goes back to the server beside texts and calls."""
    replayed = {profile.reasoning_field} if profile.reasoning_replay != "none" else set()
    return replayed | {key for key in ("extra_content", "reasoning_details") if getattr(profile, key)}


def _content(message: dict[str, Any], profile: Profile) -> Iterator[str]:
    content, role = message.get("content"), message["role"]
    if content is None:
        if not (role == "assistant" and message.get("tool_calls") and profile.assistant_null_content):
            yield "null content"
    elif isinstance(content, list):
        media = {"image_url"} if profile.images else set()
        if profile.files:
            media.add("file")
        if role != "user" and not (role == "tool" and profile.tool_media):
            yield "a list of parts"
        if not content:
            yield "no parts"
        for part in content:
            if part["type"] != "text" and part["type"] not in media:
                yield f"part {part['type']}"
    elif not isinstance(content, str):
        yield "content is no text"


def _calls(calls: list[dict[str, Any]], profile: Profile) -> Iterator[str]:
    if not calls:
        yield "empty tool_calls"
    ids = [call["id"] for call in calls]
    if len(set(ids)) != len(ids):
        yield "two calls of one id"
    rule = profile.call_id
    for wire_id in ids:
        if not 0 < len(wire_id) <= rule.max or not _IDS[rule.alphabet].fullmatch(wire_id):
            yield f"call id {wire_id!r}"
    for call in calls:
        kind = call["type"]
        if kind != "function" and not (kind == "custom" and profile.custom_tools):
            yield f"call of type {kind}"
        if not _fits(call[kind]["name"], profile):
            yield f"called name {call[kind]['name']!r}"
        if kind == "function" and not (arguments := call[kind]["arguments"]):
            yield "empty arguments"
        elif kind == "function" and not (profile.any_arguments or jsonio.is_object(arguments)):
            yield "arguments that are no JSON object"


def _fits(name: str, profile: Profile) -> bool:
    return len(name) <= profile.name_max and _NAME.fullmatch(name) is not None
