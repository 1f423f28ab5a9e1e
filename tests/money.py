"""A group of ships and a ground site whose costs the tests know."""

from aether.economics.boundary import ShipCost, SiteCost, assumptions
from aether.scenario.catalog import packaged

SHIPS = ShipCost(
    ship="ai1", accelerator="gb300-nvl72", array="ai1-array", battery="li-ion-season", radiator="pumped-panel",
    launcher="starship", count=40.0, gpus=2880.0, units=40.0, array_w=40 * 150e3, battery_j=40 * 90e6,
    radiator_m2=40 * 110.0, terminals=(("starlink-v3-laser", 160.0),), accelerator_kg=40 * 340.0, lifted_kg=40 * 2500.0,
    volume_m3=40 * 15.0,
)  # fmt: skip
SITE = SiteCost(
    site="liquid-cooled", country="US", accelerator="gb300-nvl72", gpus=2880.0, units=40.0, it_w=5.5e6, drawn_w=4.4e6
)


def known():
    """Every assumption that the two rest on."""
    return assumptions(packaged(), [SHIPS], [SITE])
