"""How much of a broken stream the laws see: every kind of event of good ones is left out, doubled or moved, and each of its fields
is left out or of another kind. What they pass over is named here with its reason, and nothing else.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatch
from functools import cache
from typing import Any

import pytest

from adapter.conform.laws import Name, events_of
from adapter.conform.live.case import Case
from adapter.conform.live.laws import Law, judged
from adapter.conform.live.questions import questions
from tests.conform.live import asked

Events = list[dict[str, Any]]
BOTH: tuple[Name, ...] = ("chat", "responses")
ALIKE = ("a JSON schema, streamed", "two calls at once, streamed", "a tiny limit, streamed")
NAMES: list[tuple[Name, str]] = [
    *((dialect, name) for dialect in BOTH for name in ALIKE),
    *(("responses", name) for name in ("a stream that may think", "a call of a custom tool, streamed")),
    ("responses", "a call in a namespace, streamed"),
]
READ_AS_NULL = [
    *(f"response.{key} of * left out" for key in ("background", "completed_at", "instructions", "max_*", "metadata")),
    *(
        f"response.{key} of * left out"
        for key in ("*_penalty", "previous_response_id", "prompt_cache_key", "reasoning*")
    ),
    *(
        f"response.{key} of * left out"
        for key in ("safety_identifier", "service_tier", "store", "temperature", "top_*")
    ),
    *(f"response.{key} of * left out" for key in ("text", "text.format", "truncation", "*.cache_write_tokens")),
    *("response.usage of created left out", "response.usage of in_progress left out"),
    *(
        "item.status of output_item.added left out",
        "item.namespace of output_item.added left out",
        "*logprobs of * left out",
        "name of function_call_arguments.done left out",
    ),
    *("choices.0.finish_reason of [!f]* left out", "choices.0.delta.content of role left out"),
    *("choices.0.delta.refusal of role left out", "choices.0.delta.tool_calls.0.function.arguments of call left out"),
    *("usage of [!u]* left out", "usage.*_details of usage left out", "usage.*_details.* of usage left out"),
]
"""Fields that clients do without."""
HARMLESS = [
    "in_progress left out",  # the guide to streaming does not promise it
    "role twice",  # servers that say the role in every delta do that
    "output_item.done too late",  # items may overlap
]
INVISIBLE = [
    *("text left out", "text twice", "text too late", "choices.0.delta.content of text left out"),
    *("response.text.format* of [ci]* left out", "response.text.format* of [ci]* wrong"),
    *("response.instructions of * wrong", "response.reasoning.* of * wrong"),
]
"""What only the model knows: a Chat stream has no second telling of its text (JSON that is to fit a schema shows what is lost); and
what servers repeat of a request in words of their own.
"""
PASSED_OVER = [*READ_AS_NULL, *HARMLESS, *INVISIBLE]


@cache
def _asked(dialect: Name, name: str) -> tuple[Case, tuple[Law, ...]]:
    """A question of the table as the demo model answers it, and its laws."""
    speaker, table = questions(dialect)
    question = next(one for one in table if one.name == name)
    assert isinstance(question.body, dict)
    body = {"model": f"demo-{dialect}", **question.body, speaker.limit_keys[0]: question.limit}
    return Case(speaker, body, asked("POST", speaker.path, json.dumps(body).encode())), question.laws


def _kind(event: dict[str, Any]) -> str:
    """What an event is for: its type; of Chat's, what its choice says."""
    if "type" in event:
        return str(event["type"]).removeprefix("response.")
    if not event["choices"]:
        return "usage"
    delta = event["choices"][0]["delta"]
    if "tool_calls" in delta:
        return "call" if "id" in delta["tool_calls"][0] else "arguments"
    return "role" if "role" in delta else "text" if "content" in delta else "finish"


def _changed(events: Events) -> Iterator[tuple[str, Events]]:
    """Everything that is done to a stream: what, and what comes of it."""
    kinds = [_kind(event) for event in events]
    for place, kind in ((kinds.index(kind), kind) for kind in dict.fromkeys(kinds)):
        before, event, behind = events[:place], events[place], events[place + 1 :]
        yield f"{kind} left out", _numbered([*before, *behind])
        yield f"{kind} twice", _numbered([*before, event, *events[place:]])
        if behind and behind[0] != event:
            yield f"{kind} too late", _numbered([*before, behind[0], event, *behind[1:]])
        for way, value in _fields(event):
            for what, wrong in (("left out", ...), ("wrong", 5 if isinstance(value, (dict, list)) else [[]])):
                changed = copy.deepcopy(event)
                holder = changed
                for step in way[:-1]:
                    holder = holder[step]
                if wrong is ...:
                    del holder[way[-1]]
                else:
                    holder[way[-1]] = wrong
                yield f"{'.'.join(map(str, way))} of {kind} {what}", [*before, changed, *behind]


def _numbered(events: Events) -> Events:
    return [event | ({"sequence_number": n} if "sequence_number" in event else {}) for n, event in enumerate(events)]


def _fields(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every field in a value, but for those of what a tool takes, which are the client's own."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in inner:
        if isinstance(value, dict):
            yield (*way, key), held
        if key not in ("tools", "schema"):
            yield from _fields(held, (*way, key))


def _written(dialect: Name, events: Events) -> bytes:
    ends = b"data: [DONE]\n\n" if dialect == "chat" else b""
    lines = [f"event: {event.get('type')}\n" if dialect == "responses" else "" for event in events]
    return (
        b"".join(f"{line}data: {json.dumps(event)}\n\n".encode() for line, event in zip(lines, events, strict=True))
        + ends
    )


@cache
def _unseen(dialect: Name, name: str) -> list[str]:
    """What may be done to the answer of a question so that no law is broken."""
    case, laws = _asked(dialect, name)

    def found(events: Events) -> bool:
        answer = replace(case.answer, raw=_written(dialect, events))
        return any(found for _, found in judged(replace(case, answer=answer), laws))

    whole = events_of(case.answer.raw)
    assert not found(whole)
    return [what for what, events in _changed(whole) if not found(events)]


@pytest.mark.parametrize(("dialect", "name"), NAMES)
def test_whatever_is_broken_in_a_stream_is_seen(dialect: Name, name: str) -> None:
    unseen = _unseen(dialect, name)
    assert [what for what in unseen if not any(fnmatch(what, passed) for passed in PASSED_OVER)] == []


def test_nothing_is_passed_over_that_is_seen() -> None:
    unseen = [what for dialect, name in NAMES for what in _unseen(dialect, name)]
    assert [passed for passed in PASSED_OVER if not any(fnmatch(what, passed) for what in unseen)] == []
