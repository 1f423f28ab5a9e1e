"""Aether, the open orbital compute fabric: design it, prove it, run it."""

__version__ = "0.1.0"
