"""What tests of exports write and read back: a small shell, three ships, ten ticks."""

from aether.scenario.load import load

SHELL = {"planes": 20, "per_plane": 20, "altitude": "550 km", "inclination": "53 deg"}
RELAYS, SHIPS, TICKS = 400, 3, 10


def small():
    """The scenario."""
    return load("ai1-ring", {"duration": "10 min", "relays": {"shells": [{"shell": SHELL}]}, "ships.0.count": SHIPS})
