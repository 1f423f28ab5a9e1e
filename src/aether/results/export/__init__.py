"""Runs in the formats of others: CZML to look at, OEM for flight dynamics, forwarding state for ns-3."""
