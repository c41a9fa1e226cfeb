"""Runs the migrations inside the transaction that the catalog opened for them."""

from alembic import context

from lazaretto.storage import column_types as columns

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=columns.metadata,
    render_as_batch=True,
)
context.run_migrations()
