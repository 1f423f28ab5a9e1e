"""The ship runtime: one process per ship or site that runs real programs, meters, and keeps its word out of contact."""
