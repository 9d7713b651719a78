"""Stored chat completions: listed, read, labelled, deleted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from adapter.errors import MissingParameter
from adapter.server.courses.course import Course
from adapter.server.idempotency import Idempotency
from adapter.server.stored.calls import Call, document, found, unknown
from adapter.server.turn import Turn
from adapter.store.store import Store
from adapter.store.values import Page

_WHAT: Final = "Chat completion"
_LABEL: Final = re.compile(r"metadata\[(.*)\]\Z", re.DOTALL)


@dataclass(slots=True, kw_only=True)
class StoredCompletions:
    """GET `/v1/chat/completions`, and what is below."""

    store: Store
    idempotency: Idempotency

    async def list(self, turn: Turn, call: Call) -> Course:
        """A page of them, of one model or with some labels where that is asked for."""
        labels = {
            label[1]: value for name, value in call.query.multi_items() if (label := _LABEL.match(name)) is not None
        }
        page = await self.store.completions(
            turn.caller.tenant, model=call.query.get("model"), metadata=labels, **call.page("asc")
        )
        return document(page.body())

    async def get(self, turn: Turn, call: Call) -> Course:
        """One of them."""
        return document(found(await self.store.completion(turn.caller.tenant, call.id), _WHAT, call.id))

    async def update(self, turn: Turn, call: Call) -> Course:
        """Its labels, replaced."""
        if "metadata" not in call.body:
            raise MissingParameter("metadata is required.", param="metadata")
        changed = await self.store.update_completion(turn.caller.tenant, call.id, call.metadata())
        return document(found(changed, _WHAT, call.id))

    async def delete(self, turn: Turn, call: Call) -> Course:
        """Forget it."""
        if not await self.store.delete_completion(turn.caller.tenant, call.id):
            raise unknown(_WHAT, call.id)
        self.idempotency.retract(call.id)
        return document({"id": call.id, "object": "chat.completion.deleted", "deleted": True})

    async def messages(self, turn: Turn, call: Call) -> Course:
        """A page of the messages that asked for it."""
        listed = await self.store.completion_messages(turn.caller.tenant, call.id, **call.page("asc"))
        page = found(listed, _WHAT, call.id)
        return document(Page([_shown(message) for message in page.data], page.has_more).body())


def _shown(message: dict[str, Any]) -> dict[str, Any]:
    """A message as the API lists it: parts in a field of their own, for `content` is a string there."""
    content = message.get("content")
    if isinstance(content, list):
        return {**message, "content": None, "content_parts": content}
    return message
