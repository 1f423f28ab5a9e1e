"""The control core: what can happen, what is known, what is decided."""
