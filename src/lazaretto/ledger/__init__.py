"""The ledger: typed events, the hash chain that holds them, and signed checkpoints of it."""
