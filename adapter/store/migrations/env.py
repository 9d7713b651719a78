"""Runs the revisions on the connection, and in the transaction, that `migrate.upgrade` holds."""

from alembic import context

from adapter.store.migrations.whole import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
