"""Runs the migrations inside the transaction that the catalog opened for them."""

from alembic import context

from lazaretto.quarantine import columns, tables  # noqa: F401  the tables enter the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=columns.metadata,
    render_as_batch=True,
)
context.run_migrations()
