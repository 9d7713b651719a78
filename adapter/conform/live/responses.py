"""Responses, as its answers are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, ClassVar, Final

from adapter.conform.laws import TERMINALS, events_of
from adapter.conform.live.dialect import TOKEN, Call, Dialect, qualified
from adapter.conform.live.shapes import MOMENT, WORD, Kinds, Wanted
from adapter.hub.grammar import ResponsesChecker

_STATUSES: Final = ("in_progress", "completed", "incomplete")
_PART: Final = Kinds(
    {"output_text": {"text": str, "annotations": list, "logprobs?": (None, [TOKEN])}, "refusal": {"refusal": str}}
)
_ITEM: Final = Kinds(
    {
        "message": {"id": WORD, "role": "assistant", "status": _STATUSES, "content": [_PART]},
        "function_call": {
            "call_id": WORD,
            "name": WORD,
            "arguments": str,
            "namespace?": (None, str),
            "id?": (None, WORD),
            "status?": (None, *_STATUSES),
        },
        "custom_tool_call": {
            "call_id": WORD,
            "name": WORD,
            "namespace?": (None, str),
            "input": str,
            "id?": (None, WORD),
        },
        "reasoning": {"id": WORD, "summary": [{"type": "summary_text", "text": str}]},
    }
)
_RESPONSE: Final[Wanted] = {
    "id": WORD,
    "object": "response",
    "created_at": MOMENT,
    "model": str,
    "status": ("completed", "incomplete", "failed", "in_progress", "queued", "cancelled"),
    "output": [_ITEM],
    "error": (None, {"code": str, "message": str}),
    "incomplete_details": (None, {"reason": ("max_output_tokens", "content_filter")}),
    "parallel_tool_calls": bool,
    "tool_choice": (str, dict),
    "tools": list,
    # the official file requires some of these, too; clients read them as null where they are left out, and what is inside them was
    # asked like that
    **dict.fromkeys(("background?", "store?"), (None, bool)),
    **dict.fromkeys(("max_output_tokens?", "max_tool_calls?", "top_logprobs?"), (None, int)),
    **dict.fromkeys(("frequency_penalty?", "presence_penalty?", "temperature?", "top_p?"), (None, float)),
    **dict.fromkeys(("previous_response_id?", "service_tier?", "truncation?"), (None, str)),
    **dict.fromkeys(("prompt_cache_key?", "safety_identifier?", "user?"), (None, str)),
    "completed_at?": (None, MOMENT),
    "instructions?": (None, str, list),
    "metadata?": (None, dict),
    "reasoning?": (None, dict),
    "text?": (None, dict),
}
_SENT_BACK: Final = {
    "function_call": ("type", "call_id", "name", "namespace", "arguments"),
    "custom_tool_call": ("type", "call_id", "name", "namespace", "input"),
}
"""What a call is to a server that stores nothing: neither ids nor reasoning."""


class Responses(Dialect):
    """`POST /responses`."""

    name: ClassVar = "responses"
    path: ClassVar = "/responses"
    counts: ClassVar = ("input_tokens", "output_tokens", "total_tokens")
    usage_shape: ClassVar[Wanted] = {
        **dict.fromkeys(counts, int),
        "input_tokens_details": {"cached_tokens": int, "cache_write_tokens?": (None, int)},
        "output_tokens_details": {"reasoning_tokens": int},
    }
    good_ends: ClassVar = ("response.completed", "response.incomplete")
    limit_keys: ClassVar = ("max_output_tokens",)
    end_rules: ClassVar = ("no_terminal",)

    def checker(self, body: dict[str, Any]) -> ResponsesChecker:
        return ResponsesChecker()

    def shape(self, body: dict[str, Any]) -> Wanted:
        return _RESPONSE

    def events(self, body: dict[str, Any], raw: bytes) -> Iterator[tuple[str, Any, Wanted]]:
        for place, event in enumerate(events_of(raw)):
            if isinstance(event.get("response"), dict) and event.get("type") not in TERMINALS:
                usage = (None, self.usage_shape)  # which nothing is promised of, yet
                yield f"event[{place}].response", event["response"], {**_RESPONSE, "usage?": usage}

    def ends(self, raw: bytes) -> list[str]:
        kinds = [event.get("type") for event in events_of(raw)]
        return [kind for kind in kinds if isinstance(kind, str) and (kind in TERMINALS or kind == "error")]

    def folded(self, raw: bytes) -> dict[str, Any]:
        told: dict[str, Any] = next(event for event in events_of(raw) if event.get("type") in TERMINALS)["response"]
        return told

    def usage_problem(self, body: dict[str, Any], raw: bytes) -> str:
        return "" if self.folded(raw).get("usage") is not None else "the last event's response tells no usage"

    def finish_problems(self, body: dict[str, Any], value: dict[str, Any]) -> list[str]:
        status, details = value["status"], value.get("incomplete_details")
        if status not in ("completed", "incomplete"):
            return [f"status is {status!r}, expected 'completed' or 'incomplete'"]
        found = [f"status is {status!r} beside an error"] if value.get("error") is not None else []
        if status == "incomplete" and details is None:
            found.append("status is 'incomplete' without incomplete_details")
        if status == "completed" and details is not None:
            found.append("status is 'completed' beside incomplete_details")
        unfinished = [item["type"] for item in value["output"] if (item.get("status") or "completed") != "completed"]
        if status == "completed" and unfinished:
            found.append(f"status is 'completed', but not that of every item: {', '.join(unfinished)}")
        return found

    def cut(self, value: dict[str, Any]) -> bool:
        return bool(value["status"] != "completed")

    def cut_by_limit(self, value: dict[str, Any]) -> bool:
        return self.cut(value) and value["incomplete_details"]["reason"] == "max_output_tokens"

    def silent(self, value: dict[str, Any]) -> bool:
        others = [item for item in value["output"] if item["type"] != "message"]
        return not others and not any(part.get("text", part.get("refusal", True)) for part in _parts(value))

    def logprobs(self, value: dict[str, Any]) -> list[dict[str, Any]]:
        return [token for part in _parts(value) for token in part.get("logprobs") or ()]

    def echoes(self, body: dict[str, Any], value: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
        for key, differ in _DIFFER.items():
            asked, told = body.get(key), value.get(key)
            with suppress(AttributeError, KeyError, TypeError):  # a drawn request may hold anything there
                if told is not None and differ(asked, told):
                    yield key, asked, told

    def calls(self, value: dict[str, Any]) -> list[Call]:
        return [
            Call(item["call_id"], qualified(item.get("namespace") or "", item["name"]), item.get("arguments"))
            for item in value["output"]
            if item["type"] in _SENT_BACK
        ]

    def text(self, value: dict[str, Any]) -> str:
        return "".join(part["text"] for part in _parts(value) if part["type"] == "output_text")

    def item_ids(self, value: dict[str, Any]) -> list[str]:
        return [item["id"] for item in value["output"] if isinstance(item.get("id"), str)]

    def schema(self, body: dict[str, Any]) -> dict[str, Any]:
        schema: dict[str, Any] = body["text"]["format"]["schema"]
        return schema

    def with_results(self, body: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
        made = [item for item in value["output"] if item["type"] in _SENT_BACK]
        calls = [{key: item[key] for key in _SENT_BACK[item["type"]] if key in item} for item in made]
        results = [
            {"type": f"{call['type']}_output", "call_id": call["call_id"], "output": "18 degrees"} for call in calls
        ]
        question = {"type": "message", "role": "user", "content": body["input"]}
        kept = {key: asked for key, asked in body.items() if key not in ("tool_choice", "stream")}
        return {**kept, "input": [question, *calls, *results]}


def _parts(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for item in value["output"] if item["type"] == "message" for part in item["content"]]


def _kind(tool: Any) -> tuple[Any, Any]:
    """A tool, a choice of one or a format, by what none of them may lose."""
    return tool.get("type"), tool.get("name")


def _another(asked: Any, told: Any) -> bool:
    """What is asked is told otherwise, and not only in another of its spellings."""
    return type(asked) is type(told) and bool(asked != told)


_DIFFER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    **dict.fromkeys(("instructions", "max_output_tokens", "metadata", "parallel_tool_calls"), _another),
    "previous_response_id": lambda asked, told: bool(asked != told),
    "background": lambda asked, told: told is True and not asked,
    "store": lambda asked, told: told is True and asked is False,  # a server may keep nothing, and says so
    "text": lambda asked, told: _another(_kind(asked["format"]), _kind(told["format"])),
    "tool_choice": lambda asked, told: _another(
        asked if isinstance(asked, str) else _kind(asked), told if isinstance(told, str) else _kind(told)
    ),
    "tools": lambda asked, told: not {*map(_kind, asked)} <= {*map(_kind, told)},  # a gateway may bring its own
}
"""What a response says of its request, and where it contradicts it; null contradicts nothing."""
