"""Responses, their items and events; conversations; chat completions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "items",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("stored_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "responses",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("previous", sa.Text),
        sa.Column("conversation", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("upstream", sa.Text),
        sa.Column("background", sa.Boolean, nullable=False),
        sa.Column("streamed", sa.Boolean, nullable=False),
        sa.Column("request", sa.LargeBinary),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("deleted_at", sa.BigInteger),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("lease_owner", sa.Text),
        sa.Column("due_at", sa.Double),
        sa.ForeignKeyConstraint(
            ["tenant", "previous"], ["responses.tenant", "responses.id"], name="responses_previous"
        ),
    )
    op.create_table(
        "response_items",
        sa.Column("response_id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("output", sa.SmallInteger, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "response_id"],
            ["responses.tenant", "responses.id"],
            name="response_items_response",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["tenant", "digest"], ["items.tenant", "items.digest"], name="response_items_item"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "events",
        sa.Column("response_id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "response_id"], ["responses.tenant", "responses.id"], name="events_response", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "conversations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("metadata", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("next_position", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "conversation_items",
        sa.Column("conversation_id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, primary_key=True),
        sa.Column("item_id", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "conversation_id"],
            ["conversations.tenant", "conversations.id"],
            name="conversation_items_conversation",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["tenant", "digest"], ["items.tenant", "items.digest"], name="conversation_items_item"),
        sa.UniqueConstraint("conversation_id", "item_id", "tenant", name="conversation_items_once"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "completions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("model", sa.LargeBinary, nullable=False),
        sa.Column("metadata", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
    )
    op.create_table(
        "completion_labels",
        sa.Column("completion_id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "completion_id"],
            ["completions.tenant", "completions.id"],
            name="completion_labels_completion",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "completion_messages",
        sa.Column("completion_id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "completion_id"],
            ["completions.tenant", "completions.id"],
            name="completion_messages_completion",
            ondelete="CASCADE",
        ),
    )
    op.create_index("items_by_id", "items", ["id", "tenant"])
    op.create_index("responses_by_previous", "responses", ["previous", "tenant"])
    op.create_index("responses_by_expiry", "responses", ["expires_at"])
    op.create_index(
        "responses_due",
        "responses",
        ["due_at"],
        sqlite_where=sa.column("due_at").is_not(None),
        postgresql_where=sa.column("due_at").is_not(None),
    )
    op.create_index("response_items_by_item", "response_items", ["digest", "tenant"])
    op.create_index("conversation_items_by_item", "conversation_items", ["digest", "tenant"])
    op.create_index("completions_by_position", "completions", ["tenant", "position"])
    op.create_index("completions_by_expiry", "completions", ["expires_at"])
