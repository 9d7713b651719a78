"""The tables, and the one index that nobody but a migration has to know: to look at its options SQLAlchemy imports the
dialects of both back-ends, 20 ms and 2 MB of every start."""

from __future__ import annotations

from sqlalchemy import Index

from adapter.store.schema import metadata as metadata
from adapter.store.schema import responses

Index(
    "responses_due",
    responses.c.due_at,
    sqlite_where=responses.c.due_at.is_not(None),
    postgresql_where=responses.c.due_at.is_not(None),
)
