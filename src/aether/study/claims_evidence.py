"""What claims are held against: named runs of the twin, each made once, by what asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aether.engine.assemble import laser
from aether.engine.run import Outcome, Progress
from aether.engine.run import simulate as fly
from aether.network import links
from aether.results.results import Results
from aether.scenario.catalog import Catalog, City
from aether.scenario.load import Scenario, load
from aether.space import sizing, transfer
from aether.study import lifetime, runs, ships, train_plan, verdict

HOUR_S = 3600.0  # definition
STEP = "10 min"  # of the default day; no figure told here moves by more than a few per cent from one minute to ten
STORM = "2030-12-01T00:00:00Z"  # in the middle of the years, when the first ships are to be replaced
MORE_SHIPS = (2, 3)  # times as many as the scenario has, tried until the requests are served without sites
ENOUGH = 0.95  # of requests, from which that is so
REACHED_BIT_S = 100e9  # for which the longest range is looked up: the rate that the articles name
TURNED_RAD = float(np.radians(97.8 - 53.0))  # from a sun-synchronous ring to the relays' inclination
QUIET = {"outputs.ablation": False, "outputs.report": False}


@dataclass(frozen=True, slots=True)
class Settings:
    """How thoroughly. hours: of each run at most, its own where that is less; draws: of every assumption."""

    hours: float = 24.0
    draws: int = 4096
    seed: int | None = None
    catalog: Path | None = None

    @property
    def fleet_draws(self) -> int:
        """Draws of a fleet's years, each some hundred times the work."""
        return max(self.draws // 20, 10)


@dataclass(frozen=True, slots=True)
class Run:
    """A run or several. gives: names of the evidence; words: what was run, for people."""

    gives: tuple[str, ...]
    words: str
    make: Callable[[Settings], tuple[Any, ...]]


def scenario(asked: Settings, name: str, **overrides: Any) -> Scenario:
    """A packaged scenario, no longer than asked for; `__` in a name stands for a dot."""
    given = QUIET | {k.replace("__", "."): v for k, v in overrides.items()}
    whole = load(name, given, asked.catalog, asked.seed)
    if whole.spec.duration <= asked.hours * HOUR_S:
        return whole
    return load(name, given | {"duration": f"{asked.hours:g} h"}, asked.catalog, asked.seed)


def summary(asked: Settings, name: str, **overrides: Any) -> dict[str, Any]:
    """The summary of a run, with the watch and the events that the scenario asks for."""
    return runs.simulate(scenario(asked, name, **overrides), report=False).summary


def _day(asked: Settings) -> tuple[Any, ...]:
    outcome = fly(scenario(asked, "project-aether", step=STEP))
    return outcome.summary, verdict.of_run(outcome, asked.draws)


def _alone(asked: Settings) -> tuple[Any, ...]:
    given: dict[str, Any] = {"step": STEP, "sites": [], "workloads__0__where": ["ai1"]}
    made = fly(scenario(asked, "project-aether", **given))
    told = made.summary | {"by_city": by_city(made, "assistant")}
    more = [{"times": 1, "served_share": told["work"]["inference"][0]["served_share"]}]
    count = made.setup.scenario.spec.ships[0].count
    for times in MORE_SHIPS:
        if more[-1]["served_share"] < ENOUGH:
            again = fly(scenario(asked, "project-aether", **given, ships__0__count=count * times)).summary
            more.append({"times": times, "served_share": again["work"]["inference"][0]["served_share"]})
    return (told | {"more": more},)


def _regions(asked: Settings) -> tuple[Any, ...]:
    sites = [s.name for s in scenario(asked, "project-aether").spec.sites]
    made = fly(scenario(asked, "project-aether", step=STEP, workloads__0__where=sites))
    return (made.summary | {"by_city": by_city(made, "assistant")},)


def by_city(made: Outcome | Results, workload: str) -> dict[str, dict[str, float]]:
    """Means over requests served of the way there and back, and of the time to the first token, by city."""
    table = made.tables["requests"]
    column = {k: table.column(k).to_pylist() for k in ("city", "workload")}
    values = {k: table.column(k).to_numpy() for k in ("served", "network_s", "first_token_s")}
    rows: dict[str, list[int]] = {}
    for i, (city, name) in enumerate(zip(column["city"], column["workload"], strict=True)):
        if name == workload and values["served"][i] > 0.0:
            rows.setdefault(city, []).append(i)
    return {
        city: {"served": float(values["served"][at].sum())}
        | {k: float(np.average(values[k][at], weights=values["served"][at])) for k in ("network_s", "first_token_s")}
        for city, at in rows.items()
    }


def _cable(asked: Settings) -> tuple[Any, ...]:
    sites = [s.name for s in scenario(asked, "hybrid-cable-cut").spec.sites]
    given = {"step": STEP}
    before = summary(asked, "hybrid-cable-cut", **given, ground__cut_cables=[])
    cut = summary(asked, "hybrid-cable-cut", **given)
    return (
        {"before": before, "cut": cut, "sites": summary(asked, "hybrid-cable-cut", **given, workloads__0__where=sites)},
    )


def _clinic(asked: Settings) -> tuple[Any, ...]:
    whole = scenario(asked, "remote-clinic")
    sites = [s.name for s in whole.spec.sites]
    orbit = summary(asked, "remote-clinic", step=STEP)
    gateway = summary(asked, "remote-clinic", step=STEP, workloads__0__where=sites)
    return ({"orbit": orbit, "gateway": gateway, "law": list(whole.spec.workloads[0].jurisdictions)},)


def _years(asked: Settings) -> tuple[Any, ...]:
    given = {"step": STEP, "lifetime__draws": asked.fleet_draws, "lifetime__storm": STORM}
    return (lifetime.lifetime(scenario(asked, "project-aether", **given)).summary,)


def _upgrades(asked: Settings) -> tuple[Any, ...]:
    given = {"step": STEP, "lifetime__draws": asked.fleet_draws, "lifetime__upgrade": "modules"}
    return (lifetime.lifetime(scenario(asked, "project-aether", **given)).summary,)


def _plan(asked: Settings) -> tuple[Any, ...]:
    return (train_plan.plan(scenario(asked, "project-aether", step=STEP), None),)


def _parts(asked: Settings) -> tuple[Any, ...]:
    return (parts(scenario(asked, "project-aether").catalog),)


def parts(catalog: Catalog) -> dict[str, Any]:
    """What needs no run: budgets of ships, reach of lasers, people of cities, grids, and assumptions with their ranges."""
    names = (
        "time.ground",
        "time.orbit",
        "launch.cadence_shown",
        "launch.cadence_cap",
        "ground.campus_power",
        "contract.price",
    )
    known = {n: catalog.assume(n) for n in names}
    known |= {a.name: a for a in catalog.launcher("starship").assumptions()}
    told: dict[str, Any] = {
        "assumptions": {n: {"value": a.value, "low": a.range[0], "high": a.range[1]} for n, a in known.items()}
    }
    told["ships"] = {n: _budget(n, catalog) for n in ("ai1", "compute-ship-hull", "compute-ship-assembled")}
    told["links"] = {n: _reach(laser(catalog.terminal(n))) for n in ("starlink-laser", "starlink-v3-laser")}
    told["grids"] = {
        g.name: {"title": g.title, "carbon": g.carbon.value} for g in map(catalog.grid, catalog.kind("grids"))
    }
    people = [c.population for c in catalog.kind("cities").values() if isinstance(c, City)]
    told["people"] = sorted(people, reverse=True)
    mass, value = told["ships"]["ai1"]["mass_kg"], catalog.value
    turn = transfer.transfer(
        600e3,
        600e3,
        mass,
        value("fleet.acceleration") * mass,
        value("mass.specific_impulse"),
        np.radians(97.8),
        -TURNED_RAD,
    )
    told["turn"] = {"delta_v_m_s": turn.delta_v_m_s, "duration_s": turn.duration_s, "propellant_kg": turn.propellant_kg}
    return told


def _budget(name: str, catalog: Catalog) -> dict[str, Any]:
    ship = catalog.ship(name)
    made, told = sizing.budget(ship, catalog), ships.budget(ship, catalog)
    rows = {r["name"]: r["value"] for r in told["rows"]}
    return {
        "gpus": float(ship.gpus), "domains": made.domains, "domain_gpus": made.domain_gpus, "it_w": made.chips_w + made.hosts_w, "load_w": made.load_w,
        "array_m2": made.array_area_m2, "radiator_m2": made.radiator_area_m2, "mass_kg": made.mass_kg, "lifted_kg": made.lifted_kg, "loads": made.loads,
        "propellant_kg": made.masses_kg.get("propellant", 0.0), "flights": rows["flights per ship"], "shortfalls": told["shortfalls"],
    }  # fmt: skip


def _reach(terminal: links.Terminal) -> dict[str, float]:
    """Rates near and at the end of a laser's range, and the range to which it carries REACHED_BIT_S [m]."""
    near, far = 0.0, terminal.max_range_m
    for _ in range(60):
        middle = 0.5 * (near + far)
        near, far = (middle, far) if float(links.rate(terminal, middle)) >= REACHED_BIT_S else (near, middle)
    ends = {k: float(links.rate(terminal, d)) for k, d in (("near_bit_s", 1e3), ("far_bit_s", terminal.max_range_m))}
    return ends | {"reach_m": near, "range_m": terminal.max_range_m}


def _single(name: str, overrides: Mapping[str, Any], asked: Settings) -> tuple[Any, ...]:
    return (summary(asked, name, **overrides),)


def _example(gives: str, name: str, words: str, **overrides: Any) -> Run:
    return Run((gives,), words, partial(_single, name, overrides))


RUNS = (
    Run(("years",), "project-aether through ten years, with a solar storm", _years),
    Run(("alone",), "project-aether without sites", _alone),
    Run(("plan",), "project-aether, its training planned", _plan),
    Run(("upgrades",), "project-aether through ten years, boards exchanged", _upgrades),
    Run(("day", "money"), "project-aether", _day),
    Run(("regions",), "project-aether, sites alone serve", _regions),
    Run(("cable",), "hybrid-cable-cut, also with whole cables and with sites alone", _cable),
    Run(("clinic",), "remote-clinic, also with sites alone", _clinic),
    _example("climate", "climate-watch", "climate-watch"),
    _example("logistics", "logistics", "logistics"),
    _example("science", "remote-science", "remote-science"),
    _example("telemetry", "launch-telemetry", "launch-telemetry", step="60 s"),
    _example("events", "lost-and-found", "lost-and-found", step="5 min"),
    Run(("parts",), "the catalog", _parts),
)
WORDS = {name: run.words for run in RUNS for name in run.gives}


def gather(needs: Iterable[str], asked: Settings, progress: Progress | None = None) -> dict[str, Any]:
    """The evidence by name, each run made once.

    needs: names, as in `WORDS`. Raises InputError where a catalog folder is wrong.
    """
    wanted = set(needs)
    todo = [run for run in RUNS if wanted & set(run.gives)]
    found: dict[str, Any] = {}
    for i, run in enumerate(todo):
        if progress is not None:
            progress("claims", float(i), float(len(todo)), run.words)
        found |= zip(run.gives, run.make(asked), strict=True)
    return found
