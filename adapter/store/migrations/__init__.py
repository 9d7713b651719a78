"""Alembic's scripts; run by `adapter.store.migrate`, never by hand."""
