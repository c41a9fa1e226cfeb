"""OpenLineage on the wire: events as a projection of the ledger, facets, checks, transport."""
