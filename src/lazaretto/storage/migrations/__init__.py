"""Alembic migrations of the catalog; `lazaretto.storage.catalog` runs them."""
