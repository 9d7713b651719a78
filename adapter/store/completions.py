"""Stored chat completions (`store: true`): the object, its metadata, the messages that asked for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.engine import Connection

from adapter.errors import InvalidValue
from adapter.store.room import Room, insert, live
from adapter.store.schema import completion_labels, completion_messages, completions
from adapter.store.values import Json, Order, Page, can_exist, checked_metadata, dumps
from adapter.wire import jsonio

_shown = (completions.c.id, completions.c.body, completions.c.metadata)


class Completions(Room):
    """The part of the store that keeps chat completions."""

    async def save_completion(
        self,
        tenant: str,
        completion: Json,
        messages: Sequence[Json],
        *,
        asked: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Store a `chat.completion` object under its id, committed when this returns. `asked` is the model's name in the request.

        Raises:
            InvalidValue: metadata out of the API's bounds, or something nested too deeply.
        """
        key: str = completion["id"]
        pairs = checked_metadata(metadata)
        row = {
            "tenant": tenant,
            "id": key,
            "position": self.stamp(),
            "model": str(completion.get("model", "")),
            "metadata": dumps(pairs, "metadata"),
            "body": dumps(completion, "messages"),
            "expires_at": self.expiry(),
            "asked": asked,
        }
        told = [
            {"tenant": tenant, "completion_id": key, "position": place, "body": dumps(message, "messages")}
            for place, message in enumerate(messages)
        ]

        def work(connection: Connection) -> None:
            connection.execute(delete(completions).where(*_one(tenant, key)))  # a repetition replaces
            connection.execute(insert(connection, completions).values(row))
            _label(connection, tenant, key, pairs)
            if told:
                connection.execute(insert(connection, completion_messages), told)

        await self.db.write(work)

    async def completion(self, tenant: str, id: str) -> Json | None:
        """The completion with its metadata, or None if this tenant has none of that id."""
        if not can_exist(id):
            return None
        return await self.db.read(lambda connection: self._read(connection, tenant, id))

    async def completions(
        self,
        tenant: str,
        *,
        limit: int = 20,
        order: Order = "asc",
        after: str | None = None,
        model: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Page:
        """A page of the completions, those of `model` (as asked for or as answered) and with all pairs of `metadata` only, by when they were stored.

        Raises:
            InvalidValue: `after` is none of this tenant's.
        """
        now = self.now()
        query = select(*_shown).where(completions.c.tenant == tenant, live(now, completions))
        if model is not None:
            query = query.where(or_(completions.c.model == model, completions.c.asked == model))
        for key, value in (metadata or {}).items():
            label = completion_labels.alias()
            query = query.where(
                exists().where(
                    label.c.tenant == tenant,
                    label.c.completion_id == completions.c.id,
                    label.c.key == key,
                    label.c.value == value,
                )
            )
        place = completions.c.position
        query = query.order_by(place.asc() if order == "asc" else place.desc()).limit(limit + 1)

        def work(connection: Connection) -> Page:
            rows = query
            if after is not None:
                start = connection.scalar(select(place).where(*_one(tenant, after))) if can_exist(after) else None
                if start is None:
                    raise InvalidValue("`after` is not an id of this list.", param="after")
                rows = rows.where(place > start if order == "asc" else place < start)
            found = connection.execute(rows).all()
            return Page([_object(*row) for row in found[:limit]], len(found) > limit)

        return await self.db.read(work)

    async def update_completion(self, tenant: str, id: str, metadata: Mapping[str, Any] | None) -> Json | None:
        """Replace the metadata; returns the completion, None if unknown.

        Raises:
            InvalidValue: metadata out of the API's bounds.
        """
        pairs = checked_metadata(metadata)
        if not can_exist(id):
            return None
        body = dumps(pairs, "metadata")

        def work(connection: Connection) -> Json | None:
            changed = update(completions).where(*_one(tenant, id), live(self.now(), completions)).values(metadata=body)
            if connection.execute(changed.returning(completions.c.id)).first() is None:
                return None
            label = completion_labels
            connection.execute(delete(label).where(label.c.tenant == tenant, label.c.completion_id == id))
            _label(connection, tenant, id, pairs)
            return self._read(connection, tenant, id)

        return await self.db.write(work)

    async def delete_completion(self, tenant: str, id: str) -> bool:
        """Forget a completion, its messages with it; false if there was none."""
        if not can_exist(id):
            return False
        gone = delete(completions).where(*_one(tenant, id), live(self.now(), completions)).returning(completions.c.id)

        def work(connection: Connection) -> bool:
            return connection.execute(gone).first() is not None

        return await self.db.write(work)

    async def completion_messages(
        self, tenant: str, id: str, *, limit: int = 20, order: Order = "asc", after: str | None = None
    ) -> Page | None:
        """A page of the messages that asked for it, each under the id `<completion id>-<place>`; None if unknown.

        Raises:
            InvalidValue: `after` is none of them.
        """
        if not can_exist(id):
            return None
        query = (
            select(completion_messages.c.position, completion_messages.c.body)
            .where(completion_messages.c.tenant == tenant, completion_messages.c.completion_id == id)
            .order_by(completion_messages.c.position)
        )

        def work(connection: Connection) -> Page | None:
            if self._read(connection, tenant, id) is None:
                return None
            rows = connection.execute(query).all()
            shown = [jsonio.loads(body) | {"id": f"{id}-{place}"} for place, body in rows]
            if order == "desc":
                shown.reverse()
            start = 0
            if after is not None:
                ids = [message["id"] for message in shown]
                if after not in ids:
                    raise InvalidValue("`after` is not an id of this list.", param="after")
                start = ids.index(after) + 1
            return Page(shown[start : start + limit], len(shown) > start + limit)

        return await self.db.read(work)

    def _read(self, connection: Connection, tenant: str, id: str) -> Json | None:
        query = select(*_shown).where(*_one(tenant, id), live(self.now(), completions))
        found = connection.execute(query).first()
        return None if found is None else _object(*found)


def _one(tenant: str, id: str) -> tuple[Any, ...]:
    return completions.c.tenant == tenant, completions.c.id == id


def _object(id: str, body: bytes, metadata: bytes) -> Json:
    shown: Json = jsonio.loads(body)
    return shown | {"metadata": jsonio.loads(metadata)}


def _label(connection: Connection, tenant: str, id: str, pairs: Mapping[str, str]) -> None:
    if pairs:
        connection.execute(
            insert(connection, completion_labels),
            [{"tenant": tenant, "completion_id": id, "key": key, "value": value} for key, value in pairs.items()],
        )
