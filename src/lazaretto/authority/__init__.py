"""Authority: which policy admits to a dataset, what it asks for now, and which verdict stands."""
