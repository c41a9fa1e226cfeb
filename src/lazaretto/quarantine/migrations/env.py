"""Runs the migrations inside the transaction that the catalog opened for them."""

from alembic import context

from lazaretto.quarantine import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    render_as_batch=True,
)
context.run_migrations()
