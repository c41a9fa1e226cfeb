"""Alembic migrations of the catalog; `lazaretto.quarantine.catalog` runs them."""
