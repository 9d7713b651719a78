"""What is kept of a turn on this server: decided from its body, done around its course. Here the side that the pipeline
sees; `server.stored` is behind it where `[store]` is not off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from adapter.access.caller import Caller
from adapter.errors import PreviousResponseNotFound
from adapter.hub.events import Item
from adapter.server.history import History
from adapter.server.turn import Turn

if TYPE_CHECKING:
    from adapter.server.courses.course import Course
    from adapter.server.courses.recall import Recalled


class Keep(Protocol):
    """What is to be kept of one turn."""

    @property
    def passes(self) -> bool:
        """The answer may pass as bytes: nobody here has to know it."""

    def course(self, course: Course) -> Course:
        """The same course, and what it takes that its answer is kept before its end is told."""


class Keeping(History, Protocol):
    """Decides what is kept, and knows what was."""

    async def kept_by(self, caller: Caller, response_id: str) -> str | None:
        """Where this response is kept, as `Target.origin` says; None if not by an upstream."""

    async def responses(self, turn: Turn, body: dict[str, Any], recalled: Recalled) -> Keep | None:
        """For a turn on Responses, whose earlier turns are in `body`; what else it refers to is put in here. None: nothing
        is kept, and nothing was asked.

        Raises:
            AdapterError: it refers to what is not there, or asks for what cannot be kept.
        """

    async def chat(self, turn: Turn, body: dict[str, Any]) -> Keep | None:
        """For a turn on Chat Completions.

        Raises:
            BadRequest: its labels cannot be kept.
        """


class KeepsNothing:
    """`mode = "off"`."""

    async def resolve(self, caller: Caller, previous_response_id: str) -> list[Item]:
        """Never found."""
        raise PreviousResponseNotFound(
            "No response with this id is stored here; send the whole conversation as input.",
            param="previous_response_id",
        )

    async def kept_by(self, caller: Caller, response_id: str) -> str | None:
        """Nobody, as far as is known here."""
        return None

    async def responses(self, turn: Turn, body: dict[str, Any], recalled: Recalled) -> Keep | None:
        """Nothing."""
        return None

    async def chat(self, turn: Turn, body: dict[str, Any]) -> Keep | None:
        """Nothing."""
        return None
