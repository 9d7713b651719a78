"""The turn that goes on from a history made short at once: what it is asked with, and what of it is lost.

Losses are told before anything is paid for, and only of what stays: what the summary stands for is said in the summary. A
Chat client over a Chat upstream loses nothing: its own messages go on, key for key, and its settings with them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from adapter.compaction.keep import Split
from adapter.compaction.made import Made
from adapter.compaction.splice import spliceable, spliced
from adapter.dialects.chat.request.read_messages import message_origins
from adapter.hub.losses import Loss
from adapter.hub.request import Exchange, Request
from adapter.server.calls.plan import Plan, passed, written
from adapter.server.calls.raw_request import checked
from adapter.server.courses.compacting import Case

_PLACE: Final = re.compile(r"input\[(\d+)\]")
_OURS: Final = ("stream", "stream_options", "n")
"""Settings of a Chat request that are this server's to say: usage is always asked for, n is several calls."""


@dataclass(slots=True, kw_only=True)
class Going:
    """One turn that goes on."""

    case: Case
    split: Split
    chat: dict[str, Any] | None = None
    """A Chat client's own body, where it can go on in it."""
    origins: Sequence[int] = ()
    """The message of each item in it."""

    @classmethod
    def on(cls, case: Case, chat: dict[str, Any] | None = None) -> Going:
        """From the history of `case`; `chat` is the body of a Chat client."""
        parts = case.split
        if chat is not None and case.target.upstream.dialect == "chat":
            origins = message_origins(chat["messages"])
            if spliceable(parts, origins):
                return cls(case=case, split=parts, chat=chat, origins=origins)
        return cls(case=case, split=parts)

    def foreseen(self) -> tuple[list[Loss], int]:
        """What of the turn the upstream will not hear, by paths in the client's body, and how many calls it will be.

        Raises:
            BadRequest: it cannot be asked there at all.
        """
        plan = written(self._with(self.split.retained), self.case.target)
        if self.chat is not None:
            checked(self.chat, "chat", self.case.target)
            return [loss for loss in plan.losses if loss.kind == "n"], plan.calls
        read = self.case.request.losses  # before anything moved
        written_ = [loss._replace(path=_PLACE.sub(self._place, loss.path)) for loss in plan.losses[len(read) :]]
        return [*read, *written_], plan.calls

    def plan(self, made: Made) -> Plan:
        """The turn, asked with the history made short.

        Raises:
            BadRequest: as `foreseen`.
        """
        request = self._with(made.context)
        plan = written(request, self.case.target)
        done = made.summary
        if self.chat is None or done is None or done.strategy != "summary":
            return plan
        body = {key: value for key, value in self.chat.items() if key not in _OURS}
        body["messages"] = spliced(body["messages"], self.split, self.origins, done.text)
        profile = self.case.target.profile
        body["stream"] = request.stream
        if request.stream and profile.stream_options:
            body["stream_options"] = {"include_usage": True}
        own = passed(body, "chat", request.client, self.case.target)
        return replace(plan, body=own.body, exchange=Exchange(request=request, profile=profile))

    def _with(self, items: list[dict[str, Any]]) -> Request:
        request = self.case.request
        return replace(request, body={**request.body, "input": [*items, *self.case.settings]})

    def _place(self, found: re.Match[str]) -> str:
        index = int(found[1])
        return f"input[{self.case.places[self.split.kept[index]] if index < len(self.split.kept) else index}]"
