"""Bring a database's schema to this binary's, under a lock, or refuse it.

The caller's connection is inside a write transaction. SQLite's BEGIN IMMEDIATE already keeps other processes out; on
PostgreSQL an advisory lock does, until the transaction ends. So of several workers that start at once one migrates and the
others find the work done. Alembic is imported only when there is something to do.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from adapter.errors import ConfigError

REVISIONS = ("0001", "0002")
"""Every schema that this binary knows, oldest first; the last is its own."""

_LOCK = 0x61646170746572
"""The advisory lock's number: "adapter" in ASCII."""


def upgrade(connection: Connection) -> None:
    """Migrate, unless the schema fits already.

    Raises:
        ConfigError: the schema is one that a newer binary made.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
    found = _revision(connection)
    if found == REVISIONS[-1]:
        return
    if found is not None and found not in REVISIONS:
        raise ConfigError(
            f"store.url: the database has schema {found!r}, made by a newer version of the adapter; this one knows up to "
            f"{REVISIONS[-1]!r}. Run the newer version, or give this one a database of its own"
        )

    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    """What the database says; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
