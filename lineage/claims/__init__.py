"""What other tools claim: kept as it came, and the graph that follows from it and the ledger."""
