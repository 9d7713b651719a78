"""Chat requests that say things as Responses has them, as Cursor sends them.

Its agent sends the body of a Responses request to Chat Completions, and its other modes have custom tools in the flat form of
Responses among the nested ones. The answer is to be one of Chat Completions all the same, and such a client knows calls of
functions only: that of a custom tool is told as one whose arguments are the input, and comes back so in the history.
"""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects import chat, responses
from adapter.errors import UnsupportedParameter
from adapter.hub.events import Item
from adapter.hub.request import ClientTraits, Request

_FLAT: Final = ("function", "custom")
_OF_STORES: Final = ("previous_response_id", "conversation", "background", "prompt")
"""What a Chat endpoint keeps nothing for."""
_SAID_IN_CHAT: Final = frozenset(
    {
        "audio",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "modalities",
        "n",
        "prediction",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "verbosity",
        "web_search_options",
    }
)
"""What Responses has another name for, or none, and what is about the form of the answer."""
_OF_READERS: Final = ("model", "input", "store")
_AS_CUSTOM: Final = {"function_call": "custom_tool_call", "function_call_output": "custom_tool_call_output"}


def is_mixed(body: dict[str, Any]) -> bool:
    """Whether a body that came to Chat Completions is one of these."""
    if not body.get("messages") and body.get("input"):
        return True
    tools = body.get("tools")
    return type(tools) is list and any(
        type(tool) is dict and "function" not in tool and _is_flat(tool) for tool in tools
    )


def _is_flat(tool: dict[str, Any]) -> bool:
    kind = tool.get("type")
    return kind in _FLAT and kind not in tool and type(tool.get("name")) is str


def read_mixed(body: dict[str, Any], client: ClientTraits = ClientTraits.GENERIC) -> Request:
    """Such a body, checked, into the hub, as a Chat client's.

    Raises:
        BadRequest: what is wrong with it, with `param`.
    """
    request = _conversation(body, client) if body.get("messages") else _responses_body(body, client)
    request.carry["flat"] = True
    tools = request.body.get("tools") or ()
    request.body["input"] = _with_custom(request.items, {tool["name"] for tool in tools if tool["type"] == "custom"})
    request.seen = None
    return request


def _conversation(body: dict[str, Any], client: ClientTraits) -> Request:
    return chat.read_request({**body, "tools": list(map(_nested, body["tools"]))}, client)


def _nested(tool: Any) -> Any:
    if type(tool) is not dict or not _is_flat(tool):
        return tool
    kind, form = tool["type"], tool.get("format")
    said = {key: value for key, value in tool.items() if key != "type"}
    if type(form) is dict and form.get("type") == "grammar" and "grammar" not in form:
        said["format"] = {"type": "grammar", "grammar": {key: form[key] for key in form if key != "type"}}
    return {"type": kind, kind: said}


def _with_custom(items: list[Item], custom: set[str]) -> list[Item]:
    """The items, with the calls of these tools as what they are."""
    call_ids: set[str] = set()
    made: list[Item] = []
    for item in items:
        kind, call_id = item["type"], item.get("call_id")
        if kind == "function_call" and item["name"] in custom:
            call_ids.add(item["call_id"])
            item = {key: value for key, value in item.items() if key != "arguments"} | {"input": item["arguments"]}
        elif kind != "function_call_output" or call_id not in call_ids:
            made.append(item)
            continue
        made.append({**item, "type": _AS_CUSTOM[kind]})
    return made


def _responses_body(body: dict[str, Any], client: ClientTraits) -> Request:
    for name in _OF_STORES:
        if body.get(name):
            raise UnsupportedParameter(f"{name} is for the Responses endpoint.", param=name)
    left_out = _SAID_IN_CHAT.union(("messages",))
    said = {key: value for key, value in body.items() if value is not None and key not in left_out}
    request = responses.read_request(said, client)
    for index in request.others:
        if request.items[index]["type"] == "item_reference":
            raise UnsupportedParameter("item_reference is for the Responses endpoint.", param=f"input[{index}]")
    request.dialect = "chat"
    request.body["store"] = False
    _add_settings(request, {key: body[key] for key in body if key in _SAID_IN_CHAT})
    return request


def _add_settings(request: Request, settings: dict[str, Any]) -> None:
    """What the body says as Chat has it; what it says of the same as Responses has it goes before."""
    asked = chat.read_request({"model": request.model, "messages": [{"role": "user", "content": "."}], **settings})
    for key in asked.body.keys() - _OF_READERS:
        request.body[key] = _both(asked.body[key], request.body.get(key))
    request.carry |= asked.carry
    request.search = asked.search
    request.losses += asked.losses
    request.stream, request.include_usage = asked.stream, asked.include_usage


def _both(said: Any, own: Any) -> Any:
    match said, own:
        case _, None:
            return said
        case dict(), dict():
            return {**said, **own}
        case list(), list():
            return [*said, *own]
        case _:
            return own
