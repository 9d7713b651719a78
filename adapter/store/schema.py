"""The tables, once for both back-ends.

The tenant is part of every primary key, so another tenant's id is not filtered out: it is simply not there. It comes after
the id, because one tenant may own all rows: an index that began with it would tempt PostgreSQL, as long as it has no
statistics, to read everything that the tenant has.

* An item's bytes lie in `items` once per tenant, under the digest of its id and bytes; responses and conversations point at
  them. Storing a turn writes that turn's items and nothing of the turns before it, and a client that sends its whole
  history again adds pointers only.
* A response points at the one it continues (`previous`). A fork is two rows with one `previous`.
* A deleted or expired response whose descendants live stays as a nameless link of their chain (`deleted_at`, an empty
  body) and goes with the last of them. A deleted one has expired, too: where its last descendants are deleted by two
  transactions at once, neither sees that it is the last, and the next purge takes what both leave.
* A response expires some time after its end: `expires_at` is null as long as it is being made.
* `due_at` says when somebody may take a response up: a queued one at once, a leased one when its lease ends, a finished
  one never (null). Its index is in `migrations.whole`.

Foreign keys are the guard against races between writers: who loses one runs the transaction again (see `engine`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect


class AnyText(TypeDecorator[str]):
    """Client's text that is compared: kept as bytes, for PostgreSQL's text takes neither NUL nor a lone surrogate."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else value.encode("utf-8", "surrogatepass")

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else bytes(value).decode("utf-8", "surrogatepass")


metadata = MetaData()

items = Table(
    "items",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("stored_at", BigInteger, nullable=False),
    Index("items_by_id", "id", "tenant"),
)

responses = Table(
    "responses",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("previous", Text),
    Column("conversation", Text),
    Column("status", Text, nullable=False),
    Column("body", LargeBinary),
    Column("upstream", Text),
    Column("background", Boolean, nullable=False),
    Column("streamed", Boolean, nullable=False),
    Column("request", LargeBinary),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("deleted_at", BigInteger),
    Column("attempt", Integer, nullable=False),
    Column("lease_owner", Text),
    Column("due_at", Double),
    ForeignKeyConstraint(["tenant", "previous"], ["responses.tenant", "responses.id"], name="responses_previous"),
    Index("responses_by_previous", "previous", "tenant"),
    Index("responses_by_expiry", "expires_at"),
)

response_items = Table(
    "response_items",
    metadata,
    Column("response_id", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("output", SmallInteger, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["tenant", "response_id"],
        ["responses.tenant", "responses.id"],
        name="response_items_response",
        ondelete="CASCADE",
    ),
    ForeignKeyConstraint(["tenant", "digest"], ["items.tenant", "items.digest"], name="response_items_item"),
    Index("response_items_by_item", "digest", "tenant"),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("response_id", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("name", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["tenant", "response_id"], ["responses.tenant", "responses.id"], name="events_response", ondelete="CASCADE"
    ),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("metadata", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("next_position", BigInteger, nullable=False),
)

conversation_items = Table(
    "conversation_items",
    metadata,
    Column("conversation_id", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("item_id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["tenant", "conversation_id"],
        ["conversations.tenant", "conversations.id"],
        name="conversation_items_conversation",
        ondelete="CASCADE",
    ),
    ForeignKeyConstraint(["tenant", "digest"], ["items.tenant", "items.digest"], name="conversation_items_item"),
    UniqueConstraint("conversation_id", "item_id", "tenant", name="conversation_items_once"),
    Index("conversation_items_by_item", "digest", "tenant"),
    sqlite_with_rowid=False,
)

completions = Table(
    "completions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("model", AnyText, nullable=False),
    Column("metadata", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("expires_at", BigInteger),
    Column("asked", AnyText),
    Index("completions_by_position", "tenant", "position"),
    Index("completions_by_expiry", "expires_at"),
)

completion_labels = Table(
    "completion_labels",
    metadata,
    Column("completion_id", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("key", AnyText, primary_key=True),
    Column("value", AnyText, nullable=False),
    ForeignKeyConstraint(
        ["tenant", "completion_id"],
        ["completions.tenant", "completions.id"],
        name="completion_labels_completion",
        ondelete="CASCADE",
    ),
)

completion_messages = Table(
    "completion_messages",
    metadata,
    Column("completion_id", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["tenant", "completion_id"],
        ["completions.tenant", "completions.id"],
        name="completion_messages_completion",
        ondelete="CASCADE",
    ),
)
