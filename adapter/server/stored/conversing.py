"""Conversations: the object, and its items."""

from __future__ import annotations

from dataclasses import dataclass
from secrets import token_hex
from typing import Final

from adapter.dialects.responses.input_items import checked_items
from adapter.errors import InvalidType, MissingParameter
from adapter.hub.events import Item
from adapter.hub.items import shown
from adapter.server.courses.course import Course
from adapter.server.stored.calls import Call, document, found, listed, unknown
from adapter.server.stored.references import looked_up
from adapter.server.turn import Turn
from adapter.store.store import Store
from adapter.store.values import Page

_WHAT: Final = "Conversation"


@dataclass(slots=True, kw_only=True)
class StoredConversations:
    """`/v1/conversations` and below."""

    store: Store

    async def create(self, turn: Turn, call: Call) -> Course:
        """A new one, perhaps with items in it."""
        items = [] if call.body.get("items") is None else await self._items(turn, call)
        made = await self.store.create_conversation(
            turn.caller.tenant, f"conv_{token_hex(24)}", metadata=call.metadata(), items=items
        )
        return document(made)

    async def get(self, turn: Turn, call: Call) -> Course:
        """The object."""
        return document(found(await self.store.conversation(turn.caller.tenant, call.id), _WHAT, call.id))

    async def update(self, turn: Turn, call: Call) -> Course:
        """Its labels, replaced."""
        if "metadata" not in call.body:
            raise MissingParameter("metadata is required.", param="metadata")
        changed = await self.store.update_conversation(turn.caller.tenant, call.id, call.metadata())
        return document(found(changed, _WHAT, call.id))

    async def delete(self, turn: Turn, call: Call) -> Course:
        """Forget it; what stored responses hold stays theirs."""
        if not await self.store.delete_conversation(turn.caller.tenant, call.id):
            raise unknown(_WHAT, call.id)
        return document({"id": call.id, "object": "conversation.deleted", "deleted": True})

    async def add(self, turn: Turn, call: Call) -> Course:
        """Items at its end."""
        call.check_include()
        added = await self.store.add_conversation_items(turn.caller.tenant, call.id, await self._items(turn, call))
        return listed(Page(found(added, _WHAT, call.id), False))

    async def items(self, turn: Turn, call: Call) -> Course:
        """A page of its items."""
        call.check_include()
        page = await self.store.conversation_items(turn.caller.tenant, call.id, **call.page("desc"))
        return listed(found(page, _WHAT, call.id))

    async def item(self, turn: Turn, call: Call) -> Course:
        """One of them."""
        call.check_include()
        item_id = call.path["item_id"]
        item = await self.store.conversation_item(turn.caller.tenant, call.id, item_id)
        return document(shown(found(item, "Conversation item", item_id)))

    async def delete_item(self, turn: Turn, call: Call) -> Course:
        """Take one out; the answer is the conversation."""
        item_id = call.path["item_id"]
        left = await self.store.delete_conversation_item(turn.caller.tenant, call.id, item_id)
        return document(found(left, "Conversation item", item_id))

    async def _items(self, turn: Turn, call: Call) -> list[Item]:
        """Those of the body, each of them whole: nobody could look up later what a reference meant."""
        given = call.body.get("items")
        if given is None:
            raise MissingParameter("items is required.", param="items")
        if not isinstance(given, list):
            raise InvalidType("items must be a list.", param="items")
        given = await looked_up(self.store, turn.caller.tenant, given, lambda index: f"items[{index}]")
        return checked_items(given, "items")
