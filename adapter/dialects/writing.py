"""What the rooms of the Chat writer share while one request is written."""

from __future__ import annotations

from typing import Any, Final

from adapter.hub.losses import Action, Loss, unknown_fields
from adapter.hub.request import Request
from adapter.upstream.profiles import Profile

_CHAT_NAMES: Final = {
    "text.format": "response_format",
    "text.verbosity": "verbosity",
    "reasoning.effort": "reasoning_effort",
    "include": "logprobs",
}
"""Where a Chat client said what the hub has under another path."""


class Writing:
    """The request, the server's profile, and what came of the writing so far: settings and losses."""

    __slots__ = ("_chat", "_told", "fields", "hint", "losses", "profile", "request", "stop")

    def __init__(self, request: Request, profile: Profile) -> None:
        self.request = request
        self.profile = profile
        self.losses: list[Loss] = []
        self.fields: dict[str, Any] = {}
        """The settings, as Chat fields."""
        self.hint: str | None = None
        """An instruction that stands in for a response format which the server does not have."""
        self.stop: tuple[str, ...] = ()
        """Stop sequences that we have to cut at ourselves."""
        self._told: set[str] = set()
        self._chat = request.dialect == "chat"

    def at(self, index: int, inside: str = "") -> str:
        """The path of (something inside) an input item, in the client's own body as far as it can be told."""
        return "messages" if self._chat else f"input[{index}]{inside}"

    def lose(self, path: str, kind: str, reason: str, action: Action = Action.DROPPED) -> None:
        """Declare a loss; `path` is given in Responses terms."""
        self.losses.append(Loss(_CHAT_NAMES.get(path, path) if self._chat else path, action, kind, reason))

    def lose_once(self, path: str, kind: str, reason: str) -> None:
        """As `lose`, for what may stand in every message of a long history: the first is told."""
        if kind not in self._told:
            self._told.add(kind)
            self.lose(path, kind, reason)

    def lose_unknown(self, path: str, holder: dict[str, Any], known: frozenset[str]) -> None:
        """Declare what the object at `path` says under keys that are not among `known`; a key that was told is told."""
        for loss in unknown_fields(path, holder, known):
            if (key := loss.path[len(path) :]) not in self._told:
                self._told.add(key)
                self.losses.append(loss)
