"""What is kept of a turn, over the store: see `server.courses.keeping`."""

from __future__ import annotations

from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Literal

from adapter.access.caller import Caller
from adapter.compaction.anatomy import TRIGGER
from adapter.dialects.responses.input_items import checked_items
from adapter.errors import InvalidType, InvalidValue, NotFound, UnsupportedParameter
from adapter.hub.events import Item
from adapter.server.courses.keeping import Keep
from adapter.server.courses.recall import Recalled, vouched_for
from adapter.server.history import as_items, check_calls
from adapter.server.stored.completing import KeepCompletion
from adapter.server.stored.references import gone_on_from, looked_up
from adapter.server.stored.responding import KeepResponse, KeptThere, Kind
from adapter.server.tasks import Tasks
from adapter.server.turn import Turn
from adapter.store.store import Store
from adapter.store.values import checked_metadata

if TYPE_CHECKING:
    from adapter.server.stored.background import Background


@dataclass(slots=True, kw_only=True)
class Keeper:
    """Decides by the mode, the client and who answers."""

    store: Store
    mode: Literal["client", "always"]
    background: Background
    afterwards: Tasks = field(default_factory=Tasks)
    """What is written when a turn is over already."""

    async def resolve(self, caller: Caller, previous_response_id: str) -> list[Item]:
        """See `History.resolve`."""
        return await gone_on_from(self.store, caller.tenant, previous_response_id)

    async def kept_by(self, caller: Caller, response_id: str) -> str | None:
        """See `Keeping.kept_by`."""
        return await self.store.kept_by(caller.tenant, response_id)

    def chat(self, turn: Turn, body: dict[str, Any]) -> Keep:
        """For a turn on Chat Completions that is to be kept.

        Raises:
            BadRequest: its labels cannot be.
        """
        messages, metadata = body.get("messages"), body.get("metadata")
        kept = [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
        if metadata is not None and not isinstance(metadata, dict):
            raise InvalidType("metadata must be an object.", param="metadata")
        checked_metadata(metadata)
        if "store" in body:
            body["store"] = False  # kept once is enough, with its labels
        body.pop("metadata", None)
        model = body.get("model")
        named = model if isinstance(model, str) else ""  # what is none is refused before anything is kept
        return KeepCompletion(store=self.store, turn=turn, model=named, messages=kept, metadata=metadata)

    async def responses(self, turn: Turn, body: dict[str, Any], recalled: Recalled) -> Keep | None:
        """See `Keeping.responses`."""
        asked, apart = body.get("store"), body.get("background")
        for name, value in (("store", asked), ("background", apart)):
            if value is not None and type(value) is not bool:
                raise InvalidType(f"{name} must be a boolean.", param=name)
        background = apart is True
        wanted = asked is not False or self.mode == "always"
        upstream = recalled.found[0].upstream
        conversation, earlier = body.get("conversation"), recalled.earlier or 0
        history: list[Item] | None = None
        if conversation is not None:
            conversation = _conversation_id(conversation)
            history = await self.store.conversation_history(turn.caller.tenant, conversation)
            if history is None and not (upstream.stateful and vouched_for(turn, recalled.found[0])):
                raise NotFound(f"Conversation with id '{conversation[:200]}' not found.", param="conversation")
        if upstream.stateful and history is None:
            if asked is not False:
                return KeptThere(store=self.store, turn=turn)
            if not wanted or background:
                return None
        if history is not None and asked is False:
            raise InvalidValue("A conversation keeps its turns, so store must not be false.", param="store")
        if background and not wanted:
            raise UnsupportedParameter(
                "A background response is read from the store: store must not be false.", param="background"
            )
        items = body.get("input")
        if isinstance(items, list):
            items = await looked_up(
                self.store, turn.caller.tenant, items, lambda index: f"input[{max(index - earlier, 0)}]"
            )
            body["input"] = items
        if not wanted:
            return None
        given = checked_items(as_items(items)[earlier:], "input")
        before = as_items(items)[:earlier]
        if history is not None:
            check_calls(history, given)
            before = history
            body["input"] = [*history, *given]
        kind = Kind(
            id=f"resp_{token_hex(24)}",
            conversation=conversation if history is not None else None,
            background=background,
        )
        asked_for = {**body, "input": given, "store": True}
        if recalled.previous is not None:
            asked_for["previous_response_id"] = recalled.previous
        if recalled.found[0].named:  # whoever goes on with it may have other upstreams
            asked_for["provider"] = upstream.name
        for name in ("background", "conversation"):
            body.pop(name, None)
        body["store"] = False  # whoever is asked: it is kept here
        keep = KeepResponse(
            store=self.store,
            start=self.afterwards.start,
            turn=turn,
            kind=kind,
            given=[item for item in given if item["type"] != TRIGGER],
            earlier=before,
        )
        return self.background.keep(keep, asked_for) if background else keep


def _conversation_id(conversation: Any) -> str:
    given = conversation.get("id") if isinstance(conversation, dict) else conversation
    if not isinstance(given, str):
        raise InvalidType("conversation must be an id or an object with an id.", param="conversation")
    return given
