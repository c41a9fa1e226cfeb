"""Runs the migrations inside the transaction that the catalog opened for them."""

from alembic import context

from lazaretto.quarantine.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
