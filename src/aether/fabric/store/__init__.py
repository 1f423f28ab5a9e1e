"""The store beneath the fabric: an append-only log whose entries are chained."""
