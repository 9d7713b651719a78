"""A turn with `generate: false`: looked over and remembered, and no model is asked."""

from __future__ import annotations

from secrets import token_hex
from typing import Any

from adapter.dialects.registry import DIALECTS
from adapter.errors import PreviousResponseNotFound
from adapter.hub.events import Event, Finished, Started, Usage
from adapter.hub.request import Exchange
from adapter.hub.usage import estimated
from adapter.server.calls.asking import clock
from adapter.server.calls.own import Said
from adapter.server.courses.course import Course
from adapter.server.courses.deciding import Courses
from adapter.server.turn import Turn


async def prepared(courses: Courses, turn: Turn, body: dict[str, Any]) -> Course:
    """The course of an empty response, whose id a later turn of the connection can go on from.

    Raises:
        AdapterError: what the turn itself would be refused for, as far as that can be known.
    """
    target = courses.routing.found(turn, body)[0]
    turn.model, turn.upstream = target.model, target.upstream.name
    await courses.recalled(turn, body, (target,))
    if body.get("previous_response_id") is not None:
        raise PreviousResponseNotFound(
            "Only a response of this connection can be prepared to be continued.", param="previous_response_id"
        )
    # nothing at all may be said yet: a client whose instructions come as items sends them with its first turn
    request = DIALECTS["responses"].read_request({**body, "input": body.get("input") or "-"}, turn.client)
    exchange = Exchange(request=request, profile=target.profile)
    events: list[Event] = [
        Started(f"resp_{token_hex(16)}", target.model, clock()),
        Usage(estimated(0, 0)),
        Finished("completed"),
    ]

    async def begin() -> Said:
        return Said(events, exchange)

    return Course(stream=True, exchange=exchange, begin=begin)
