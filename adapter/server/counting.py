"""POST /v1/responses/input_tokens: the upstream's own count where it has one, else an estimate that says so."""

from __future__ import annotations

from typing import Any, Final

from adapter.compaction.sealing import is_ours
from adapter.compaction.sizes import total_tokens
from adapter.dialects.responses.input_items import checked_items
from adapter.dialects.responses.offered import retold
from adapter.dialects.responses.simpler import fits
from adapter.errors import AdapterError, InvalidType, MissingParameter
from adapter.server.calls.own import Document
from adapter.server.calls.plan import serialised
from adapter.server.courses.course import Course, Lane, own_course
from adapter.server.courses.deciding import Courses
from adapter.server.history import as_items
from adapter.server.pipeline import Pipeline
from adapter.server.turn import Turn
from adapter.upstream.lacking import is_absent
from adapter.upstream.router import Target
from adapter.wire.headers import TOKEN_COUNT
from adapter.wire.jsonio import NotJson, dumps, loads

PATH: Final = "/responses/input_tokens"
_SENT: Final = (
    "input",
    "previous_response_id",
    "conversation",
    "instructions",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
    "reasoning",
    "truncation",
    "personality",
)
"""What the endpoint takes beside the model."""
_ESTIMATED: Final = ("instructions", "tools", "text")


class Counting:
    """Counts; which upstreams cannot is remembered."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def decide(self, turn: Turn, body: dict[str, Any]) -> Course:
        """The course of one count.

        Raises:
            AdapterError: what is to be counted cannot be had.
        """
        courses = self._pipeline.served.courses
        target: Target | None = None
        if body.get("conversation") is not None and body.get("model") is None:
            raise MissingParameter("To count a conversation, the request must name the model.", param="model")
        if body.get("model") is not None:
            target, *_ = (await courses.referred(turn, body, courses.routing.found(turn, body))).found
            turn.model, turn.upstream = target.model, target.upstream.name
        elif isinstance(previous := body.pop("previous_response_id", None), str):
            earlier = await courses.keeping.resolve(turn.caller, previous)
            body["input"] = [*earlier, *as_items(body.get("input"))]
        elif previous is not None:
            raise InvalidType("previous_response_id must be a string.", param="previous_response_id")
        turn.lane = "count"

        async def begin() -> Lane:
            count = None if target is None else await _asked(courses, turn, target, body)
            turn.outlet.headers.append((TOKEN_COUNT, b"estimate" if count is None else b"upstream"))
            count = _estimate(body) if count is None else count
            return Document(dumps({"object": "response.input_tokens", "input_tokens": count}))

        return own_course(begin)


async def _asked(courses: Courses, turn: Turn, target: Target, body: dict[str, Any]) -> int | None:
    """The upstream's count; None where it has none."""
    health = courses.routing.health
    (known,) = health.known([target], turn.caller.tenant)
    speaks, uncounted = target.upstream.dialect, health.uncounted
    if speaks != "responses" or target in uncounted or _holds_ours(body) or not fits(body, known.profile):
        return None
    sent = {"model": target.model} | {name: body[name] for name in _SENT if body.get(name) is not None}
    sent |= retold(sent, known.profile, [])
    try:
        answer = loads(await courses.asking.document(turn, target, PATH, serialised(sent)))
    except NotJson:
        answer = None
    except AdapterError as refused:
        if not is_absent(refused):
            raise
        uncounted.add(target)
        return None
    count = answer.get("input_tokens") if isinstance(answer, dict) else None
    return count if type(count) is int else None


def _holds_ours(body: dict[str, Any]) -> bool:
    """What we sealed is read by us only."""
    items = body.get("input")
    return isinstance(items, list) and any(
        isinstance(item, dict) and is_ours(item.get("encrypted_content")) for item in items
    )


def _estimate(body: dict[str, Any]) -> int:
    items = checked_items(as_items(body.get("input")), "input")
    return total_tokens([items, *(body[name] for name in _ESTIMATED if body.get(name))])
