"""A Responses client's request, checked, into the hub. The hub speaks Responses, so little changes and nothing is mutated.

Checked is what would otherwise fail somewhere less helpful, or be taken for something else: types, paths, the forms of
items and tools, settings that exclude each other. Values that only a model can judge (a temperature, an effort word) pass.
Parameters that we do not know stay in the body.
"""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects.responses.input_items import checked_items, seen_items
from adapter.dialects.responses.tools import check_tool_choice, check_tools
from adapter.errors import BadRequest, InvalidType, InvalidValue, MissingParameter
from adapter.hub.events import Item
from adapter.hub.request import Carry, ClientTraits, Request, Seen

_STRING: Final = ((str,), "a string")
_BOOL: Final = ((bool,), "true or false")
_INTEGER: Final = ((int,), "an integer")
_NUMBER: Final = ((int, float), "a number")
_OBJECT: Final = ((dict,), "an object")
_LIST: Final = ((list,), "a list")

_FIELDS: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    "model": _STRING,
    "input": ((str, list), "a string or a list of items"),
    "instructions": ((str, list), "a string or a list of items"),
    "previous_response_id": _STRING,
    "conversation": ((str, dict), "an id or an object with an id"),
    "store": _BOOL,
    "stream": _BOOL,
    "stream_options": _OBJECT,
    "background": _BOOL,
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "presence_penalty": _NUMBER,
    "frequency_penalty": _NUMBER,
    "top_logprobs": _INTEGER,
    "max_output_tokens": _INTEGER,
    "max_tool_calls": _INTEGER,
    "parallel_tool_calls": _BOOL,
    "metadata": _OBJECT,
    "include": _LIST,
    "tools": _LIST,
    "text": _OBJECT,
    "reasoning": _OBJECT,
    "truncation": _STRING,
    "user": _STRING,
    "safety_identifier": _STRING,
    "prompt_cache_key": _STRING,
    "prompt_cache_options": _OBJECT,
    "service_tier": _STRING,
    "prompt": _OBJECT,
    "context_management": _LIST,
}
_INCLUDES: Final = frozenset(
    {
        "file_search_call.results",
        "web_search_call.results",
        "web_search_call.action.sources",
        "message.input_image.image_url",
        "computer_call_output.output.image_url",
        "code_interpreter_call.outputs",
        "reasoning.encrypted_content",
        "message.output_text.logprobs",
    }
)
_FORMATS: Final = frozenset({"text", "json_object", "json_schema"})
_BRINGS_TOOLS: Final = frozenset({"additional_tools", "tool_search_output"})
_LOWEST_THRESHOLD: Final = 1000


def read_request(body: dict[str, Any], client: ClientTraits = ClientTraits.GENERIC) -> Request:
    """The body as a hub request; `body` itself is left as it was.

    Raises:
        BadRequest: what is wrong, with its path in `param`.
    """
    for name, value in body.items():
        if (field := _FIELDS.get(name)) is not None and type(value) not in field[0] and value is not None:
            raise InvalidType(f"{name} must be {field[1]}.", param=name)
    if not body.get("model"):
        raise MissingParameter("The request names no model.", param="model")
    read = dict(body)
    seen = _input(body)
    read["input"] = items = seen[0]
    if type(instructions := body.get("instructions")) is list:
        read["instructions"] = checked_items(instructions, "instructions")
    if (tools := body.get("tools")) is not None:
        check_tools(tools, "tools")
    if (choice := body.get("tool_choice")) is not None:
        check_tool_choice(choice, bool(tools) or _tools_elsewhere(body, items))
    if not _SETTINGS.keys().isdisjoint(body):
        for name, check in _SETTINGS.items():
            if (value := body.get(name)) is not None:
                check(value)
    if body.get("previous_response_id") is not None and body.get("conversation") is not None:
        raise BadRequest(
            "previous_response_id and conversation exclude each other; send one.", param="previous_response_id"
        )
    stream = body.get("stream") is True
    if body.get("stream_options") is not None and not stream:
        raise InvalidValue("stream_options is only allowed when stream is true.", param="stream_options")
    carry: Carry = {}
    if "presence_penalty" in read and (value := read.pop("presence_penalty")) is not None:
        carry["presence_penalty"] = value
    if "frequency_penalty" in read and (value := read.pop("frequency_penalty")) is not None:
        carry["frequency_penalty"] = value
    return Request(read, "responses", carry, stream, False, client, [], "max_output_tokens", seen)


def _input(body: dict[str, Any]) -> Seen:
    given = body.get("input")
    if given and type(given) is str:
        return [{"type": "message", "role": "user", "content": given}], (), [("user", given, "", "")]
    if given:
        return seen_items(given, "input")
    if not any(body.get(other) for other in ("previous_response_id", "conversation", "prompt", "instructions")):
        raise MissingParameter(
            "The request has no input; send a string, a list of items, or a previous_response_id.", param="input"
        )
    return [], (), []


def _tools_elsewhere(body: dict[str, Any], items: list[Item]) -> bool:
    """Tools that a choice may mean without `tools`: brought by items, or known to whoever keeps the conversation."""
    return any(body.get(name) for name in ("previous_response_id", "conversation", "prompt")) or any(
        item["type"] in _BRINGS_TOOLS for item in items
    )


def check_include(include: list[Any]) -> None:
    """Everything in it is something that can be asked for.

    Raises:
        InvalidValue: something is not.
    """
    for index, value in enumerate(include):
        if type(value) is not str or value not in _INCLUDES:
            raise InvalidValue(f"include takes only: {', '.join(sorted(_INCLUDES))}.", param=f"include[{index}]")


def compact_threshold(entries: Any) -> int | None:
    """What a history may have in tokens, by `context_management`: its lowest threshold. None where nothing is to be watched.

    Raises:
        BadRequest: it is no list, an entry is of another type, or a threshold is no integer from 1000 up.
    """
    if entries is None:
        return None
    if type(entries) is not list:
        raise InvalidType("context_management must be a list.", param="context_management")
    thresholds: list[int] = []
    for index, entry in enumerate(entries):
        path = f"context_management[{index}]"
        if type(entry) is not dict or entry.get("type") != "compaction":
            raise InvalidValue("context_management takes only entries of type compaction.", param=f"{path}.type")
        if (given := entry.get("compact_threshold")) is None:
            continue
        if type(given) is not int:
            raise InvalidType("compact_threshold must be an integer.", param=f"{path}.compact_threshold")
        if given < _LOWEST_THRESHOLD:
            least = f"compact_threshold must be at least {_LOWEST_THRESHOLD}."
            raise InvalidValue(least, param=f"{path}.compact_threshold")
        thresholds.append(given)
    return min(thresholds, default=None)


def _check_text(text: dict[str, Any]) -> None:
    form = text.get("format")
    if form is None:
        return
    if type(form) is not dict:
        raise InvalidType("text.format must be an object.", param="text.format")
    kind = form.get("type")
    if type(kind) is not str or kind not in _FORMATS:
        raise InvalidValue("text.format.type must be text, json_object or json_schema.", param="text.format.type")
    if kind == "json_schema":
        for name, wanted, word in (("name", str, "string"), ("schema", dict, "JSON schema object")):
            if type(form.get(name)) is not wanted:
                error = MissingParameter if form.get(name) is None else InvalidType
                raise error(f"A json_schema format needs {name}, a {word}.", param=f"text.format.{name}")


def _check_reasoning(reasoning: dict[str, Any]) -> None:
    for name in ("effort", "summary", "generate_summary"):
        value = reasoning.get(name)
        if value is not None and type(value) is not str:
            raise InvalidType(f"reasoning.{name} must be a string.", param=f"reasoning.{name}")


def _check_metadata(metadata: dict[str, Any]) -> None:
    if len(metadata) > 16:
        raise InvalidValue("metadata takes at most 16 keys.", param="metadata")
    for key, value in metadata.items():
        if type(value) is not str:
            raise InvalidType("The values of metadata must be strings.", param=f"metadata.{key[:64]}")
        if len(key) > 64 or len(value) > 512:
            raise InvalidValue("metadata keys go up to 64 characters, values up to 512.", param="metadata")


def _check_conversation(conversation: str | dict[str, Any]) -> None:
    if type(conversation) is dict and type(conversation.get("id")) is not str:
        raise MissingParameter("A conversation object needs an id.", param="conversation.id")


def _check_truncation(truncation: str) -> None:
    if truncation not in ("auto", "disabled"):
        raise InvalidValue("truncation must be auto or disabled.", param="truncation")


def _check_top_logprobs(count: int) -> None:
    if not 0 <= count <= 20:
        raise InvalidValue("top_logprobs must be between 0 and 20.", param="top_logprobs")


def _check_max_output_tokens(count: int) -> None:
    if count < 1:
        raise InvalidValue("max_output_tokens must be at least 1.", param="max_output_tokens")


_SETTINGS: Final[dict[str, Any]] = {
    "include": check_include,
    "context_management": compact_threshold,
    "text": _check_text,
    "reasoning": _check_reasoning,
    "metadata": _check_metadata,
    "conversation": _check_conversation,
    "truncation": _check_truncation,
    "top_logprobs": _check_top_logprobs,
    "max_output_tokens": _check_max_output_tokens,
}
"""Settings whose value is looked into; each check raises with the path."""
