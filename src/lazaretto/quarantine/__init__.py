"""The quarantine: catalog, held records, review decisions, admission and recall."""
