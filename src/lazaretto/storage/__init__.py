"""Where state lives: the catalog, the store, and how both are opened and read."""
