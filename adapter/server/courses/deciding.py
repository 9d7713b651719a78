"""Which course a turn takes, decided from its body: one of the two lanes, or one of `compact_courses`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from adapter.compaction.options import Options
from adapter.dialects.mixed import is_mixed
from adapter.dialects.registry import DIALECTS, read_request
from adapter.dialects.responses.simpler import fits
from adapter.server.calls.plan import PATHS, passed
from adapter.server.courses.about import about
from adapter.server.courses.course import Course
from adapter.server.courses.ground import Ground
from adapter.server.courses.keeping import Keep
from adapter.server.turn import Turn
from adapter.upstream.router import Target

if TYPE_CHECKING:
    from adapter.server.courses.compact_courses import CompactCourses


@dataclass(kw_only=True)
class Courses(Ground):
    """Decides."""

    compaction: Options

    @cached_property
    def compactions(self) -> CompactCourses:
        """Those of histories that are more than they say; imported for the first of them, 3 % of a start otherwise."""
        from adapter.server.courses.compact_courses import CompactCourses

        return CompactCourses(self, self.compaction)

    async def chat(self, turn: Turn, body: dict[str, Any]) -> Course:
        """`/v1/chat/completions`.

        Raises:
            AdapterError: the request cannot be served.
        """
        keep = await self.keeping.chat(turn, body)
        found = self.routing.found(turn, body)
        course = self.routing.over(turn, found, found, lambda found: self._chat(turn, body, found, passes=keep is None))
        return course if keep is None else keep.course(course)

    def _chat(self, turn: Turn, body: dict[str, Any], found: tuple[Target, ...], *, passes: bool) -> Course:
        target = self.chosen(turn, found[0])
        if passes and target.upstream.dialect == "chat" and not is_mixed(body):
            return self.raw(turn, passed(body, "chat", turn.client, target, metered=turn.metered))
        return self.hub(turn, read_request("chat", body, turn.client), target)

    async def responses(self, turn: Turn, body: dict[str, Any]) -> Course:
        """`/v1/responses`.

        Raises:
            AdapterError: the request cannot be served.
        """
        keep, course = await self.decided(turn, body)
        return course if keep is None else keep.course(course)

    async def decided(self, turn: Turn, body: dict[str, Any]) -> tuple[Keep | None, Course]:
        """As `responses`: what is to be kept of the turn, and its course without that.

        Raises:
            AdapterError: the request cannot be served.
        """
        recalled = await self.recalled(turn, body, self.routing.found(turn, body))
        keep = await self.keeping.responses(turn, body, recalled)
        passes = not recalled.put_in and (keep is None or keep.passes)
        previous = recalled.previous if recalled.put_in else None
        found = recalled.found
        # what one kind of upstream is to keep cannot be asked of the other kind
        pool = found
        if keep is not None:
            pool = tuple(one for one in found if one.upstream.stateful == found[0].upstream.stateful)
        return keep, self.routing.over(
            turn, found, pool, lambda found: self._responses(turn, body, found, passes=passes, previous=previous)
        )

    def _responses(
        self, turn: Turn, body: dict[str, Any], found: tuple[Target, ...], *, passes: bool, previous: str | None
    ) -> Course:
        facts = about(body)
        if passes and not facts.ours and found[0].upstream.dialect == "responses" and fits(body, found[0].profile):
            in_place = not facts.compacts or (found[0].upstream.compacts_in_place and not found[0].upstream.has_keys)
            if in_place and not (facts.blobs and self.routing.shared(turn, found[0])):
                target = self.chosen(turn, found[0])
                path = f"{PATHS['responses']}?beta=true" if turn.beta else None
                return self.raw(turn, passed(body, "responses", turn.client, target, path=path))
        request = DIALECTS["responses"].read_request(body, turn.client)
        request.previous = previous
        # Codex asks for blobs only where it knows that a model reasons, gives all of them back, and keeps nothing else
        seals = request.client.codex and found[0].profile.signs
        if facts.plain and not seals:
            return self.hub(turn, request, self.chosen(turn, found[0]))
        return self.compactions.responses(turn, request, found, facts)

    async def compact(self, turn: Turn, body: dict[str, Any]) -> Course:
        """`/v1/responses/compact`, in either shape.

        Raises:
            AdapterError: the request cannot be served.
        """
        return await self.compactions.compact(turn, body)
