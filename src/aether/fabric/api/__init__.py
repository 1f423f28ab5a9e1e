"""The fabric's HTTP interface."""
