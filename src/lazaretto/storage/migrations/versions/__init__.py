"""One file per revision of the catalog's schema, oldest first."""
