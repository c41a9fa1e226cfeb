"""The lineage graph in the catalog: its index, and how other tools' events are taken in."""
