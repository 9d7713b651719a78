"""The earlier turns that a request only names, put before its input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from adapter.compaction.anatomy import TRIGGER
from adapter.errors import BadRequest, InvalidType, PreviousResponseNotFound
from adapter.server.courses.keeping import Keeping
from adapter.server.history import as_items, check_calls
from adapter.server.turn import Turn
from adapter.upstream.router import Target


class Recalled(NamedTuple):
    """What a request goes on from."""

    found: tuple[Target, ...]
    """Who can go on, best first."""
    previous: str | None = None
    """The id that the request named, if any."""
    earlier: int | None = None
    """How many items of the input are earlier turns; None: none were put in, whoever is asked knows them."""

    @property
    def put_in(self) -> bool:
        """Earlier turns stand in the body now."""
        return self.earlier is not None


async def recall(keeping: Keeping, turn: Turn, body: dict[str, Any], found: tuple[Target, ...]) -> Recalled:
    """Put the earlier turns into `body`, which names the last of them, unless an upstream keeps them: then only that one can go on.

    Raises:
        BadRequest: they are not known to this caller, or the input answers a call that is not among them.
        StoreUnavailable: nobody can say now.
    """
    previous = body["previous_response_id"]
    if not isinstance(previous, str):
        raise InvalidType("previous_response_id must be a string.", param="previous_response_id")
    if body.get("conversation") is not None:
        raise BadRequest(
            "previous_response_id and conversation exclude each other; send one.", param="previous_response_id"
        )
    recalled = Recalled(found=found, previous=previous)
    try:
        earlier = await (turn.thread or keeping).resolve(turn.caller, previous)
    except PreviousResponseNotFound:
        keeper = await keeping.kept_by(turn.caller, previous)
        if keeper is not None:
            keepers = tuple(
                replace(one, key=key, bound=True) for one in found if (key := one.upstream.key_at(keeper)) is not None
            )
            if not keepers:
                raise
            return recalled._replace(found=keepers)
        if not (found[0].upstream.stateful and vouched_for(turn, found[0])):
            raise
        return recalled._replace(found=found[:1])
    earlier = [item for item in earlier if item.get("type") != TRIGGER]  # it has been answered: a compaction follows it
    given = as_items(body.get("input"))
    check_calls(earlier, given)
    body["input"] = [*earlier, *given]
    del body["previous_response_id"]
    return recalled._replace(earlier=len(earlier))


def vouched_for(turn: Turn, target: Target) -> bool:
    """An id that is unknown here may be the upstream's all the same, unless several callers share its key: then only what
    was seen to be this caller's is."""
    return turn.caller.key_id is None or target.upstream.callers_key
