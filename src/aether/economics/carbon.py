"""Carbon of both sides: what making and launching owes, spread over lives, and what running emits.

Which side emits less depends on the boundary as much as on the numbers: on how a ship's making is counted, on the grid beside
which it is put, and on what soot, water vapour and alumina do at height, which are in no figure here. The ranges are wide
for that reason; a difference smaller than they are says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from aether.economics.boundary import ShipCost, SiteCost, Value, lifted_kg, replaced
from aether.economics.cost import YEAR_S, Amount, added


@dataclass(frozen=True, slots=True)
class Emission:
    """CO2 equivalent of one cause in a year: kg_year [kg]."""

    cause: str
    kg_year: Amount


@dataclass(frozen=True, slots=True)
class Footprint:
    """A year of ships or of a site. Burnt mass and water stand beside carbon, not in it."""

    emissions: tuple[Emission, ...]
    at_height: tuple[Emission, ...] = ()  # soot of launches, alumina of what burns up: apart, since so little is known
    burnt_kg_year: Amount = 0.0  # of ships and stages that re-enter at the end of life
    water_kg_year: Amount = 0.0  # evaporated at the site

    @property
    def kg_year(self) -> Amount:
        """All causes [kg CO2 equivalent a year]."""
        return added(e.kg_year for e in self.emissions)


BOUNDARIES = {  # causes of each, from the narrowest; a ground site has those that it has
    "in use": ("electricity",),
    "and launch": ("electricity", "launch"),
    "and making": ("electricity", "launch", "accelerators", "ships", "hull", "facility"),
    "and effects at height": ("electricity", "launch", "accelerators", "ships", "hull", "facility", "soot", "alumina"),
}


def within(made: Footprint, boundary: str) -> Amount:
    """What counts within one of `BOUNDARIES` [kg CO2 equivalent a year]."""
    return added(e.kg_year for e in (*made.emissions, *made.at_height) if e.cause in BOUNDARIES[boundary])


def orbit(group: ShipCost, value: Value) -> Footprint:
    """Carbon of a year of a group's ships: (accelerators + ships + hulls + launch) / life, and what is lost made again.

    accelerators = N carbon.accelerator (1 + x); ships = (lifted - accelerators' mass) carbon.ship (1 + x z); launch =
    lifted carbon.launch (1 + x z), x by `boundary.replaced`, z = cost.stranded; sunlight emits nothing. At height: soot = lifted
    carbon.soot (1 + x z) / life; alumina = burnt a_share carbon.alumina.
    Returns Footprint; burnt = (lifted + hulls)(1 + x z) / life. Raises InputError for an assumption that is not there.
    Valid as an attributional mean; effects at height other than CO2 are left out, see the module's text.

    [1] Chien et al., HotCarbon 2023 (accelerators); ranges of the others in the catalog.
    """
    years = value("cost.life_orbit") / YEAR_S
    more = replaced(value)
    whole = 1.0 + more * value("cost.stranded")
    up_kg = lifted_kg(group, value)
    ship_kg = up_kg - group.accelerator_kg
    emissions = [
        Emission("accelerators", group.gpus * value("carbon.accelerator") * (1.0 + more) / years),
        Emission("ships", ship_kg * value("carbon.ship") * whole / years),
        Emission("launch", up_kg * value("carbon.launch") * whole / years),
    ]
    if group.hull_kg:
        emissions.append(Emission("hull", group.hull_kg * value("carbon.hull") * whole / years))
    burnt = (up_kg + group.hull_kg) * whole / years
    height = (
        Emission("soot", up_kg * value("carbon.soot") * whole / years),
        Emission("alumina", burnt * value("carbon.alumina_share") * value("carbon.alumina")),
    )
    return Footprint(tuple(emissions), height, burnt_kg_year=burnt)


def ground(site: SiteCost, value: Value) -> Footprint:
    """Carbon of a year of a ground site: accelerators and facility over their lives, GPUs exchanged, and electricity.

    electricity = drawn x PUE x grid; accelerators = N carbon.accelerator (1/life + attrition); facility = P carbon.facility /
    life. Returns Footprint; water = drawn x WUE. Raises InputError for an assumption that is not there. Valid with the
    grid's yearly mean; the plant that a new load switches on, or a contract for clean power, may differ much.

    [1] Ember, yearly electricity data (grids); GHG Protocol Scope 2, location-based.
    """
    of, drawn_j = site.site, site.drawn_w * YEAR_S
    exchanged = 1.0 / value("cost.life_accelerator") + value("faults.gpu_ground")
    emissions = (
        Emission("accelerators", site.gpus * value("carbon.accelerator") * exchanged * YEAR_S),
        Emission("facility", site.it_w * value("carbon.facility") / (value(f"{of}.facility_life") / YEAR_S)),
        Emission("electricity", drawn_j * value(f"{of}.pue") * value(f"{site.country.lower()}.carbon")),
    )
    return Footprint(emissions, water_kg_year=drawn_j * value(f"{of}.wue"))
