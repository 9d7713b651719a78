"""Ways in which a server can be wrong, made of what is changed: in what it hears, in what it says, plain or streamed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from adapter.conform.live.case import Answer
from tests.conform.live import Defect, Holding, Keeping

STREAM, DONE = "text/event-stream", b"data: [DONE]\n\n"
BOTH = ("chat", "responses")
OLD, NEW = "max_tokens", "max_completion_tokens"
"""Chat's names of the limit."""


def plain(change: Callable[[Any], None]) -> Defect:
    """A defect in the objects of plain answers, wherever `change` finds what it changes."""

    def says(body: dict[str, Any], told: Any) -> Any:
        if told.get("object") in ("chat.completion", "response"):
            change(told)
        return told

    return Defect(says=says)


def events(change: Callable[[Any], None]) -> Defect:
    """A defect in every event of streams: of Responses in the response that it carries."""

    def says(body: dict[str, Any], told: Any) -> Any:
        if told.get("object") == "chat.completion.chunk":
            change(told)
        elif isinstance(told.get("response"), dict):
            change(told["response"])
        return told

    return Defect(says=says)


def streams(change: Callable[[bytes], bytes]) -> Defect:
    """A defect in the bytes of streams."""
    return Defect(answers=lambda body, it: replace(it, raw=change(it.raw)) if it.media_type == STREAM else it)


def calls(change: Callable[[list[dict[str, Any]]], None]) -> Defect:
    """A defect in the calls of plain answers, shown as Chat's functions or Responses' items."""

    def find(told: Any) -> None:
        message = told["choices"][0]["message"] if "choices" in told else {}
        items = [item for item in told.get("output", ()) if item["type"] == "function_call"]
        change([*(call["function"] for call in message.get("tool_calls") or ()), *items])

    return plain(find)


def each(**fields: Any) -> Callable[[list[dict[str, Any]]], None]:
    def change(calls: list[dict[str, Any]]) -> None:
        for call in calls:
            call.update(fields)

    return change


def sets(**fields: Any) -> Callable[[Any], None]:
    """Sets fields that are there already."""

    def change(told: Any) -> None:
        told.update({key: value for key, value in fields.items() if key in told})

    return change


def finish(old: str, new: str) -> Defect:
    def change(told: Any) -> None:
        for choice in told["choices"]:
            choice["finish_reason"] = new if choice["finish_reason"] == old else choice["finish_reason"]

    return plain(change)


def miscounts(told: Any) -> None:
    if told.get("usage"):
        told["usage"]["total_tokens"] += 1


def counted(what: str, change: Callable[[dict[str, Any], str], Any]) -> Callable[[Any], None]:
    """A defect in the counts of what goes in (`what` is "input") or comes out."""
    names = {"input": ("prompt_tokens", "input_tokens"), "output": ("completion_tokens", "output_tokens")}[what]

    def count(told: Any) -> None:
        usage = told.get("usage") or {}
        for key in usage.keys() & {*names}:
            change(usage, key)

    return count


def detailed(**kinds: int) -> Callable[[dict[str, Any], str], None]:
    return lambda usage, key: usage.update({f"{key}_details": {**(usage.get(f"{key}_details") or {}), **kinds}})


def texts(change: Callable[[str], str]) -> Defect:
    """A defect in the text of plain answers."""

    def fix(told: Any) -> None:
        for holder, key in _holders(told):
            holder[key] = holder[key] and change(holder[key])

    return plain(fix)


def _holders(told: Any) -> list[tuple[Any, str]]:
    return [(choice["message"], "content") for choice in told.get("choices", ())] + [
        (part, "text") for item in told.get("output", ()) for part in item.get("content", ())
    ]


def created(**fields: Any) -> Defect:
    """A defect in the first event of Responses streams only."""

    def says(body: dict[str, Any], told: Any) -> Any:
        if told.get("type") == "response.created":
            told["response"].update(fields)
        return told

    return Defect(says=says)


def compacted(change: Callable[[Any], Any]) -> Defect:
    def says(body: dict[str, Any], told: Any) -> Any:
        return (change(told) or told) if told.get("object") == "response.compaction" else told

    return Defect(says=says)


def listed(change: Callable[[Any], Any]) -> Callable[[str, str, bytes], Answer]:
    """A defect in the list of models."""
    server = Keeping()

    def ask(method: str, path: str, raw: bytes) -> Answer:
        answer = server(method, path, raw)
        if path != "/models":
            return answer
        told = json.loads(answer.raw)
        change(told)
        return replace(answer, raw=json.dumps(told).encode())

    return ask


def shown(wanted: str, change: Callable[[Any], Any]) -> Keeping:
    """A defect in what is fetched of stored responses; `wanted` is how its path ends."""
    return Keeping(shows=lambda path, told: (change(told) or told) if path.endswith(wanted) else told)


def held(wanted: str, change: Callable[[Any], Any]) -> Holding:
    """A defect in what is told of conversations, counts and streams that are gone on from; `wanted` is in its path."""
    return Holding(told=lambda path, told: change(told) if wanted in path else None)


def without(*keys: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda body: {key: value for key, value in body.items() if key not in keys}


def if_choice(old: Any, new: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A server that takes one choice of tools, or those that name one, for another."""

    def hears(body: dict[str, Any]) -> dict[str, Any]:
        given = body.get("tool_choice")
        return {**body, "tool_choice": new} if given == old or (old is dict and isinstance(given, dict)) else body

    return hears


def filled(change: Callable[[dict[str, Any]], None]) -> Defect:
    """A defect in what plain answers fill a schema with."""

    def fill(told: Any) -> None:
        for holder, key in _holders(told):
            if str(holder[key]).startswith('{"city"'):
                value = json.loads(holder[key])
                change(value)
                holder[key] = json.dumps(value)

    return plain(fill)


def where(wanted: Callable[[dict[str, Any], Answer], bool], **fields: Any) -> Defect:
    """Changes the facts of those answers that are wanted."""
    return Defect(answers=lambda body, answer: replace(answer, **fields) if wanted(body, answer) else answer)


def deltas(change: Callable[[dict[str, Any]], None]) -> Defect:
    """A defect in the deltas of streams: Chat's delta, or an event of Responses that has one."""

    def says(body: dict[str, Any], told: Any) -> Any:
        if told.get("object") == "chat.completion.chunk":
            for choice in told["choices"]:
                change(choice["delta"])
        elif "delta" in told:
            change(told)
        return told

    return Defect(says=says)
