"""Stored responses, conversations and chat completions, on SQLite or PostgreSQL.

Nothing is imported here: `adapter.store.store` brings in SQLAlchemy and a driver, and is imported when the store is first needed.
"""
