"""A Chat client's request body -> hub request (map a1, column C→R).

Every field of the API stands in `_FIELDS` once, with the function that checks it and says where it goes. What only Chat has
(stop, n, seed, …) goes into the carry; null means absent everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from adapter.dialects.chat.request.read_messages import read_messages
from adapter.dialects.chat.request.read_tools import (
    read_function_call,
    read_functions,
    read_tool_choice,
    read_tools,
    read_web_search_options,
)
from adapter.dialects.checks import array, boolean, json_object, name, string, wrong_type, wrong_value
from adapter.errors import UnsupportedParameter
from adapter.hub.losses import Action, Loss, unknown_fields
from adapter.hub.request import ClientTraits, Request

_RESPONSES_ONLY: Final = frozenset(
    {
        "background",
        "context_management",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "previous_response_id",
        "prompt",
        "truncation",
    }
)
"""Names that mean something on Responses and nothing here: they must not slip into the hub under that meaning."""


def read_request(body: dict[str, Any], client: ClientTraits = ClientTraits.GENERIC) -> Request:
    """A Chat client's body, checked, into the hub.

    Raises:
        BadRequest: with the path of what is wrong in `param`.
    """
    model = body.get("model")
    hub: dict[str, Any] = {"model": model if type(model) is str and model else name(model, "model")}
    reading = Request(hub, "chat", {}, False, False, client, [], "max_tokens")
    reading.seen = seen = read_messages(body.get("messages"), reading.losses)
    hub["input"] = seen[0]
    hub["store"] = False
    for key, value in body.items():
        if value is None:
            continue
        reader = _FIELDS.get(key, _unknown)
        if reader is not None:
            reader(reading, key, value)
    _check_together(body, reading)
    return reading


_Reader = Callable[[Request, str, Any], None]
"""Checks a value and puts it where it goes in the request that is being read."""


def _check_together(body: dict[str, Any], read: Request) -> None:
    """The rules that need two fields."""
    hub = read.body
    if not read.stream and body.get("stream_options") is not None:
        raise wrong_value("stream_options", "to be used only when 'stream' is true")
    if "top_logprobs" in hub and body.get("logprobs") is not True:
        raise wrong_value("top_logprobs", "to be used only when 'logprobs' is true")
    if read.carry and body.get("functions") is not None and body.get("tools") is not None:
        raise wrong_value("functions", "to be absent where 'tools' is used: it is the older form of the same")
    if not hub.get("tools"):
        choice = hub.get("tool_choice")
        if choice == "required" or isinstance(choice, dict):
            param = "tool_choice" if body.get("tool_choice") is not None else "function_call"
            raise wrong_value(param, "to force a tool only where tools are given")
        if "parallel_tool_calls" in hub:
            del hub["parallel_tool_calls"]
    elif read.carry.get("functions"):  # an answer in that form holds one call
        hub["parallel_tool_calls"] = False


# ------------------------------------------------------------------------------------------------------ field readers


def _unknown(reading: Request, key: str, value: Any) -> None:
    if key in _BORROWED:
        _borrowed(reading, key, value)
    elif key in _RESPONSES_ONLY:
        _lose(reading, key)
    else:
        reading.body[key] = value


def _lose(reading: Request, path: str) -> None:
    reason = "Chat Completions has no such parameter."
    reading.losses.append(Loss(path, Action.DROPPED, "unknown_parameter", reason))


def _borrowed(reading: Request, key: str, value: Any) -> None:
    """An object of Responses, of which some options are read. Where Chat's own word says the same, that wins, whichever comes
    first."""
    if not isinstance(value, dict):
        _lose(reading, key)
        return
    for option, said in value.items():
        if said is None:
            continue
        read = _BORROWED[key].get(option, _unread)
        if (made := read(said, f"{key}.{option}")) is not None:
            reading.body.setdefault(key, {}).setdefault(option, made)
        else:
            _lose(reading, f"{key}.{option[:64]}")


def _unread(_value: Any, _path: str) -> None:
    """An option that only Responses has."""


def _place(reading: Request, carried: bool) -> dict[str, Any]:
    return cast(dict[str, Any], reading.carry) if carried else reading.body


def _number(low: float, high: float, *, carried: bool = False) -> _Reader:
    def read(reading: Request, key: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise wrong_type(key, "a number", value)
        if not low <= value <= high:
            raise wrong_value(key, f"a number from {low:g} to {high:g}")
        _place(reading, carried)[key] = value

    return read


def _integer(low: int | None, high: int | None, *, carried: bool = False, into: str | None = None) -> _Reader:
    def read(reading: Request, key: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(key, "an integer", value)
        if (low is not None and value < low) or (high is not None and value > high):
            raise wrong_value(key, f"an integer from {low}" + (f" to {high}" if high is not None else ""))
        _place(reading, carried).setdefault(into or key, value)

    return read


def _boolean(reading: Request, key: str, value: Any) -> None:
    reading.body[key] = boolean(value, key)


def _word(longest: int | None = None) -> _Reader:
    def read(reading: Request, key: str, value: Any) -> None:
        if len(string(value, key)) > (longest or len(value)):
            raise wrong_value(key, f"a string of at most {longest} characters")
        reading.body[key] = value

    return read


def _object(reading: Request, key: str, value: Any) -> None:
    reading.body[key] = json_object(value, key)


def _inside(parent: str, field: str) -> _Reader:
    """A top-level word here that sits inside an object there."""

    def read(reading: Request, key: str, value: Any) -> None:
        reading.body.setdefault(parent, {})[field] = _BORROWED[parent][field](value, key)

    return read


def _verbosity(value: Any, path: str) -> str:
    word = string(value, path)
    if word not in _VERBOSITIES:
        raise wrong_value(path, f"one of {', '.join(_VERBOSITIES)}")
    return word


_VERBOSITIES: Final = ("high", "low", "medium")


def _summary(value: Any, _path: str) -> str | None:
    return value if isinstance(value, str) else None


def _stream(reading: Request, key: str, value: Any) -> None:
    reading.stream = value if type(value) is bool else boolean(value, key)


def _stream_options(reading: Request, key: str, value: Any) -> None:
    json_object(value, key)
    usage, obfuscation = value.get("include_usage"), value.get("include_obfuscation")
    if usage is not None:
        reading.include_usage = usage if type(usage) is bool else boolean(usage, f"{key}.include_usage")
    if obfuscation is not None:
        reading.body[key] = {"include_obfuscation": boolean(obfuscation, f"{key}.include_obfuscation")}
    if len(value) != (usage is not None) + (obfuscation is not None):
        reading.losses += unknown_fields(key, value, _STREAM_OPTIONS)


_STREAM_OPTIONS: Final = frozenset({"include_usage", "include_obfuscation"})


def _logprobs(reading: Request, key: str, value: Any) -> None:
    if boolean(value, key):
        reading.body["include"] = ["message.output_text.logprobs"]


def _stop(reading: Request, key: str, value: Any) -> None:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list):
        raise wrong_type(key, "a string or an array of strings", value)
    if len(stops) > 4:
        raise wrong_value(key, "at most 4 sequences")
    for i, stop in enumerate(stops):
        name(stop, key if isinstance(value, str) else f"{key}[{i}]")
    if stops:
        reading.carry["stop"] = stops


def _n(reading: Request, key: str, value: Any) -> None:
    _integer(1, 128, carried=True)(reading, key, value)
    if value == 1:
        del reading.carry["n"]


def _logit_bias(reading: Request, key: str, value: Any) -> None:
    for token, bias in json_object(value, key).items():
        if isinstance(bias, bool) or not isinstance(bias, (int, float)):
            raise wrong_type(f"{key}.{token[:20]}", "a number", bias)
        if not -100 <= bias <= 100:
            raise wrong_value(f"{key}.{token[:20]}", "a number from -100 to 100")
    if value:
        reading.carry["logit_bias"] = value


def _metadata(reading: Request, key: str, value: Any) -> None:
    if len(json_object(value, key)) > 16:
        raise wrong_value(key, "at most 16 pairs")
    for pair, text in value.items():
        if not isinstance(text, str):
            raise wrong_type(f"{key}.{pair[:64]}", "a string", text)
        if len(pair) > 64 or len(text) > 512:
            raise wrong_value(f"{key}.{pair[:64]}", "a key of at most 64 and a value of at most 512 characters")
    reading.body[key] = value


def _modalities(_reading: Request, key: str, value: Any) -> None:
    for i, modality in enumerate(array(value, key)):
        if modality == "audio":
            raise _no_audio(key)
        if string(modality, f"{key}[{i}]") != "text":
            raise wrong_value(f"{key}[{i}]", "text")


def _audio(_reading: Request, key: str, _value: Any) -> None:
    raise _no_audio(key)


def _no_audio(key: str) -> UnsupportedParameter:
    return UnsupportedParameter("Audio output is not supported; only text is.", param=key)


def _prediction(reading: Request, key: str, value: Any) -> None:
    reading.carry["prediction"] = json_object(value, key)


def _response_format(reading: Request, key: str, value: Any) -> None:
    kind = string(json_object(value, key).get("type"), f"{key}.type")
    made: dict[str, Any] = {"type": kind}
    if kind == "json_schema":
        given = json_object(value.get("json_schema"), f"{key}.json_schema")
        made["name"] = name(given.get("name"), f"{key}.json_schema.name")
        if given.get("description") is not None:
            made["description"] = string(given["description"], f"{key}.json_schema.description")
        schema = given.get("schema")
        made["schema"] = {} if schema is None else json_object(schema, f"{key}.json_schema.schema")
        strict = given.get("strict")
        made["strict"] = strict is not None and boolean(strict, f"{key}.json_schema.strict")
        reading.losses += unknown_fields(f"{key}.json_schema", given, _JSON_SCHEMA)
    elif kind not in ("text", "json_object"):
        raise wrong_value(f"{key}.type", "text, json_object or json_schema")
    reading.losses += unknown_fields(key, value, _OF_SCHEMAS if kind == "json_schema" else _OF_OTHERS)
    reading.body.setdefault("text", {})["format"] = made


_OF_SCHEMAS: Final = frozenset({"type", "json_schema"})
_OF_OTHERS: Final = frozenset({"type"})
_JSON_SCHEMA: Final = frozenset({"name", "description", "schema", "strict"})


def _tools(reading: Request, _key: str, value: Any) -> None:
    reading.body["tools"] = read_tools(value, reading.losses) + reading.body.get("tools", [])


def _functions(reading: Request, _key: str, value: Any) -> None:
    reading.body["tools"] = read_functions(value, reading.losses) + reading.body.get("tools", [])
    reading.carry["functions"] = True


def _web_search_options(reading: Request, _key: str, value: Any) -> None:
    reading.search = read_web_search_options(value, reading.losses)
    reading.body["tools"] = [*reading.body.get("tools", []), reading.search]


def _tool_choice(reading: Request, _key: str, value: Any) -> None:
    reading.body["tool_choice"] = read_tool_choice(value, reading.losses)


def _function_call(reading: Request, _key: str, value: Any) -> None:
    reading.body.setdefault("tool_choice", read_function_call(value, reading.losses))
    reading.carry["functions"] = True


def _max_completion_tokens(reading: Request, key: str, value: Any) -> None:
    """Wins over the deprecated `max_tokens`, whichever comes first."""
    reading.body.pop("max_output_tokens", None)
    reading.limit_name = key
    _integer(1, None, into="max_output_tokens")(reading, key, value)


_BORROWED: Final[dict[str, dict[str, Callable[[Any, str], str | None]]]] = {
    "reasoning": {"effort": string, "summary": _summary},
    "text": {"verbosity": _verbosity},
}
"""What clients say to Chat Completions as Responses has it: Open WebUI, Kilo, all that know OpenRouter. An option -> what it comes to;
None: a loss. Chat has words of its own for two of them."""

_FIELDS: Final[dict[str, _Reader | None]] = {
    "messages": None,  # these two come first, whatever the order of the keys
    "model": None,
    "metadata": _metadata,
    "top_logprobs": _integer(0, 20),
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "user": _word(),
    "safety_identifier": _word(64),
    "prompt_cache_key": _word(),
    "prompt_cache_retention": _word(),
    "prompt_cache_options": _object,
    "service_tier": _word(),
    "modalities": _modalities,
    "verbosity": _inside("text", "verbosity"),
    "reasoning_effort": _inside("reasoning", "effort"),
    "max_completion_tokens": _max_completion_tokens,
    "frequency_penalty": _number(-2, 2, carried=True),
    "presence_penalty": _number(-2, 2, carried=True),
    "web_search_options": _web_search_options,
    "response_format": _response_format,
    "audio": _audio,
    "store": _boolean,
    "moderation": _object,
    "stream": _stream,
    "stop": _stop,
    "logit_bias": _logit_bias,
    "logprobs": _logprobs,
    "max_tokens": _integer(1, None, into="max_output_tokens"),
    "n": _n,
    "prediction": _prediction,
    "seed": _integer(None, None, carried=True),
    "stream_options": _stream_options,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": _boolean,
    "function_call": _function_call,
    "functions": _functions,
}
