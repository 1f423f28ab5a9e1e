"""The version, where every room can read it."""

VERSION = "0.1.0"  # kept beside pyproject.toml by a test
