"""Published cost models by name: their own answers from their own inputs, and the same inputs inside our boundary.

A preset gives what its source says and leaves the rest as ours, so that what a model leaves out can be read term by term.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aether.economics import boundary, cost, published
from aether.economics.boundary import ShipCost, SiteCost, Value
from aether.economics.cost import YEAR_S
from aether.operations import launch

SHIP = ("array", "battery", "radiator", "bus", "terminals")  # terms that a price of whole satellites covers
KWH_J = 3.6e6  # definition


@dataclass(frozen=True, slots=True)
class Answer:
    """One figure of a source beside what its model gives here."""

    what: str
    unit: str
    published: float
    computed: float

    @property
    def error(self) -> float:
        """Computed over published, less one."""
        return self.computed / self.published - 1.0


@dataclass(frozen=True, slots=True)
class Preset:
    """A published model."""

    name: str
    title: str
    source: str
    own: Callable[[], tuple[Answer, ...]]
    changes: Callable[[ShipCost, SiteCost, Value], dict[str, float]]  # values of our assumptions that its inputs say
    orbit: tuple[str, ...]  # terms of our boundary that it has in orbit
    ground: tuple[str, ...]
    note: str = ""


def own_ratio(preset: Preset) -> float | None:
    """Orbit over ground by the source's own figures; None where it gives one side alone."""
    by = {a.what: a.computed for a in preset.own()}
    return by["orbit"] / by["ground"] if {"orbit", "ground"} <= set(by) else None


def _ship_prices(group: ShipCost, value: Value, usd: float) -> dict[str, float]:
    """Prices of all parts of a ship scaled alike, so that they cost so much together [USD for the group]."""
    parts = [
        (f"{group.array}.price", group.array_w), (f"{group.battery}.price", group.battery_j),
        (f"{group.radiator}.price", group.radiator_m2), (f"{group.ship}.bus_price", group.count),
        *((f"{name}.price", count) for name, count in group.terminals),
    ]  # fmt: skip
    now = cost.added(count * value(name) for name, count in parts)
    return {name: value(name) * usd / now for name, _ in parts}


def _launch(group: ShipCost, value: Value, usd_kg: float) -> dict[str, float]:
    return {f"{group.launcher}.price": usd_kg * value(f"{group.launcher}.payload")}


def _grid(site: SiteCost, usd_kwh: float) -> dict[str, float]:
    return {f"{site.country.lower()}.price": usd_kwh / KWH_J}


def _mccalip() -> tuple[Answer, ...]:
    up, down = published.mccalip_orbit(), published.mccalip_ground()
    return (
        Answer("orbit", "USD/W", 51.10, up.usd_w), Answer("ground", "USD/W", 15.85, down.usd_w),
        Answer("orbit, energy", "USD/MWh", 1167.0, up.usd_mwh), Answer("ground, energy", "USD/MWh", 426.0, down.usd_mwh),
    )  # fmt: skip


def _mccalip_changes(group: ShipCost, site: SiteCost, value: Value) -> dict[str, float]:
    halls = {
        f"{site.site}.facility_price": 1.8 * 1.2 + 5.25 + 3.0 + 2.5,
        f"{site.site}.network_price": 1.75,
        f"{site.site}.pue": 1.2,
    }
    lives = {"cost.life_orbit": 5 * YEAR_S, "faults.gpu_orbit": 0.09 / YEAR_S, "cost.operations_orbit": 0.01 / YEAR_S}
    gas = _grid(site, 4.30 * 6200.0 / 1e6)
    return _ship_prices(group, value, 22.0 * group.array_w) | _launch(group, value, 500.0) | halls | lives | gas


def _semianalysis() -> tuple[Answer, ...]:
    up, down = published.semianalysis_orbit(), published.semianalysis_ground()
    return (
        Answer("orbit", "USD/GPU-h", 8.64, up.sum), Answer("ground", "USD/GPU-h", 2.37, down.sum),
        Answer("orbit, spacecraft", "USD/GPU-h", 6.29, up.facility), Answer("ground, facility", "USD/GPU-h", 0.36, down.facility),
    )  # fmt: skip


def _semianalysis_changes(group: ShipCost, site: SiteCost, value: Value) -> dict[str, float]:
    chips = {f"{group.accelerator}.price": 980_882.0 / 16.0 * group.gpus / group.units}
    rates = {"cost.capital_orbit": 0.15 / YEAR_S, f"{site.site}.cost_of_capital": 0.103 / YEAR_S, "cost.life_orbit": 5 * YEAR_S,
             "cost.operations_orbit": 4167.0 * 12.0 / (980_882.0 + 3.1e6) / YEAR_S, "faults.gpu_orbit": 0.05 / YEAR_S}  # fmt: skip
    halls = {f"{site.site}.facility_price": 382e3 / (16 * 2130.0), f"{site.site}.pue": 1.35}
    craft = 3.1e6 / 16.0 * group.gpus - boundary.loads(group, value) * value(
        f"{group.launcher}.price"
    )  # launch is in it
    return _ship_prices(group, value, craft) | chips | rates | halls | _grid(site, 0.087)


def _suncatcher() -> tuple[Answer, ...]:
    learned = [launch.learning(1800.0, 400e3, 0.2, price_target=p).mass_added / 1e3 for p in (200.0, 300.0)]
    return (
        Answer(
            "launch, Starlink v2 mini at 3,600 USD/kg", "USD/kW/year", 14_700.0, cost.launched_power(575, 28e3, 5, 3600)
        ),
        Answer("launch, Starlink v2 mini at 200 USD/kg", "USD/kW/year", 810.0, cost.launched_power(575, 28e3, 5, 200)),
        Answer("to be launched more until 200 USD/kg", "t", 370_000.0, learned[0]),
        Answer("to be launched more until 300 USD/kg", "t", 104_000.0, learned[1]),
    )


def _suncatcher_changes(group: ShipCost, _: SiteCost, value: Value) -> dict[str, float]:
    return _launch(group, value, 200.0) | {"cost.life_orbit": 5 * YEAR_S}


def _starcloud() -> tuple[Answer, ...]:
    energy = 40e6 * 10 * published.YEAR_H / 1e3 * 0.04
    return (
        Answer("orbit", "USD", 8.2e6, 100e3 * 50.0 + 2e6 + 1.2e6), Answer("ground", "USD", 167e6, energy + 7e6 + 20e6),
        Answer("ground, energy", "USD", 140e6, energy),
    )  # fmt: skip


def _starcloud_changes(group: ShipCost, site: SiteCost, value: Value) -> dict[str, float]:
    cells = {f"{group.array}.price": 0.03, "cost.life_orbit": 10 * YEAR_S}
    return _launch(group, value, 50.0) | cells | _grid(site, 0.04)


def _turyshev() -> tuple[Answer, ...]:
    return (
        Answer("launch and build allowed at 10,000 USD/kW and 40 kg/kW", "USD/kg", 250.0, 10e3 / 40.0),
        Answer("launch and build allowed at 40,000 USD/kW and 40 kg/kW", "USD/kg", 1000.0, 40e3 / 40.0),
    )


def _turyshev_changes(group: ShipCost, _: SiteCost, value: Value) -> dict[str, float]:
    """Half of 1,000 USD/kg for building, half for launch, at the mass that we have."""
    kg = group.lifted_kg - group.accelerator_kg
    return _ship_prices(group, value, 500.0 * kg) | _launch(group, value, 500.0)


PRESETS: Mapping[str, Preset] = {p.name: p for p in (
    Preset(
        "mccalip", "McCalip: a power plant in orbit beside one on the ground", "McCalip, economics of orbital vs terrestrial data centers, repository defaults",
        _mccalip, _mccalip_changes, (*SHIP, "launch", "operations", "attrition"), ("facility", "energy"),
        "no chips, no interest, no insurance; orbit is divided by 100 % of the hours, the ground by 85 %",
    ),
    Preset(
        "semianalysis", "SemiAnalysis: 16 GPUs in orbit and in a hall", "SemiAnalysis, on data centres in orbit, 2026, public part",
        _semianalysis, _semianalysis_changes, ("accelerators", *SHIP, "launch", "operations"), ("accelerators", "facility", "energy"),
        "every hour counts on both sides; no attrition, insurance, network or water in these parts",
    ),
    Preset(
        "suncatcher", "Suncatcher: launched power beside electricity", "arXiv 2511.19468, Table 1",
        _suncatcher, _suncatcher_changes, ("launch",), ("energy",),
        "launch alone, without building the satellite, beside electricity alone",
    ),
    Preset(
        "starcloud", "Starcloud: 40 MW for ten years", "Starcloud white paper, 2024",
        _starcloud, _starcloud_changes, ("array", "launch"), ("energy", "facility", "water"),
        "chips, radiators, satellites, interest and losses are left out in orbit; 100 t for 40 MW is 2.5 kg/kW",
    ),
    Preset(
        "turyshev", "Turyshev: what building and launch may cost", "arXiv 2604.27197",
        _turyshev, _turyshev_changes, (*SHIP, "launch"), (),
        "an allowance, not a cost: 34 to 59 kg/kW leave 250 to 1,000 USD/kg for building and launch together",
    ),
)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Beside:
    """A preset's inputs inside our boundary: terms of a year of both sides [USD], and which of them the source leaves out."""

    orbit: tuple[cost.Term, ...]
    ground: tuple[cost.Term, ...]
    left_out: dict[str, tuple[str, ...]]


def inside(preset: Preset, group: ShipCost, site: SiteCost, value: Value) -> Beside:
    """What ships and a site cost a year with a preset's inputs where it has one, and ours elsewhere.

    value: of ours. Raises InputError for an assumption that is not there.
    """
    changes = preset.changes(group, site, value)

    def look(name: str) -> float:
        return changes[name] if name in changes else value(name)

    orbit, ground = boundary.orbit(group, look), boundary.ground(site, look)
    left = {
        "orbit": tuple(t.asset for t in orbit if t.asset not in preset.orbit),
        "ground": tuple(t.asset for t in ground if t.asset not in preset.ground),
    }
    return Beside(orbit, ground, left)
