"""`aether verdict`: what orbit costs and emits beside the ground, as a distribution, and what would have to be true for parity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aether.base.errors import InputError, Problem
from aether.base.provenance import Assumption
from aether.base.spread import Distribution, about
from aether.base.tables import Floats
from aether.economics import boundary, carbon, cost, threshold, worth
from aether.economics.boundary import ShipCost, Value
from aether.engine.run import Outcome, Progress, simulate
from aether.engine.verdict import Side, sides
from aether.results import results
from aether.scenario.load import Scenario
from aether.study import presets, sampling

DRAWS = 16_384  # points of a Sobol sequence
BASE = 1024  # of the sample for indices: (D + 2) times as many evaluations
MOST_INPUTS = 20  # of indices: those that move the ratio most
GRID = 25  # values of launch price and of specific mass
GRID_DRAWS = 512  # at each of them
BANDS = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Case:
    """Two sides and what they rest on; figures of a Value."""

    scenario: str
    orbit: Side
    ground: Side
    known: Mapping[str, Assumption]
    names: tuple[str, ...]  # of assumptions with a range that a GPU-hour's cost rests on
    others: tuple[str, ...]  # that its carbon rests on besides

    def ratio(self, value: Value) -> cost.Amount:
        """Orbit over ground, of a GPU-hour that could have worked."""
        return self.orbit.per_gpu_hour(value) / self.ground.per_gpu_hour(value)

    def value(self, changed: Mapping[str, Any] | None = None) -> Value:
        """A Value of nominal assumptions, some changed."""
        return boundary.nominal(self.known, changed)

    @property
    def spread(self) -> dict[str, Distribution]:
        """The distributions of the assumptions that cost rests on."""
        return {n: about(self.known[n]) for n in self.names}

    def draws(self, count: int) -> dict[str, Floats]:
        """All assumptions drawn alike for cost and carbon (N,)."""
        spread = self.spread | {n: about(self.known[n]) for n in self.others}
        return sampling.drawn(tuple(spread), spread, sampling.shares("sobol", count, len(spread), 1))


def verdict(scenario: Scenario, draws: int = DRAWS, progress: Progress | None = None) -> dict[str, Any]:
    """The verdict on a scenario: one run of the twin, then draws of every assumption.

    Returns what `aether verdict --json` prints. Raises InputError for a scenario without ships, a price that is not there and
    fewer than two draws.
    """
    if draws < 2:
        raise InputError(Problem("--draws", f"{draws} is less than 2"))
    quiet = scenario.spec.outputs.model_copy(update={"ablation": False, "requests": False, "report": False})
    return of_run(
        simulate(replace(scenario, spec=scenario.spec.model_copy(update={"outputs": quiet})), progress), draws
    )


def saved(scenario: Scenario, folder: Path, draws: int = DRAWS, progress: Progress | None = None) -> dict[str, Any]:
    """The same in a folder, summary.json and report.html, whole or not at all."""
    from aether.results import verdict_report  # matplotlib is not needed without a page

    told = verdict(scenario, draws, progress)
    with results.drafting(folder) as part:
        (part / "summary.json").write_text(results.dumps(told), encoding="utf-8")
        (part / "report.html").write_text(verdict_report.render(told), encoding="utf-8")
    return told


def of_run(outcome: Outcome, draws: int = DRAWS) -> dict[str, Any]:
    """The verdict on a run that was made."""
    made = case(outcome)
    rows = made.draws(draws)
    drawn = made.value(rows)
    ratio = made.ratio(drawn)
    return {
        "scenario": made.scenario, "draws": draws, "sides": _sides(made, drawn), "ratio": bands(ratio) | {"nominal": float(made.ratio(made.value()))},
        "orbit_is_cheaper": float((ratio < 1.0).mean()), "histogram": _histogram(ratio), "indices": _indices(made), "frontier": _frontier(made),
        "ladder": ladder(made), "perspectives": _perspectives(made), "years": years(made), "time_to_power": _time_to_power(made, rows),
        "contract": _contract(made, drawn), "presets": _presets(made), "carbon": _carbon(made, drawn), "material": _material(made, drawn),
        "assumptions": [_told(made.known[n]) for n in (*made.names, *made.others)],
    }  # fmt: skip


def case(outcome: Outcome) -> Case:
    """The Case of a run; InputError where it has no ships or a price is missing."""
    orbit, ground, known = sides(outcome.setup, outcome.totals)
    if not orbit.ships or not orbit.deliverable_h:
        what = "has no ships" if not orbit.ships else "has ships of which no hour could have worked"
        raise InputError(Problem("ships", f"the scenario {what}: there is nothing to hold against the ground"))
    known = known | {n: outcome.setup.scenario.assume(n) for n in outcome.setup.scenario.catalog.kind("assumptions")}
    asked: dict[str, None] = {}
    look = boundary.nominal(known)

    def value(name: str) -> float:
        asked[name] = None
        return look(name)

    for side in (orbit, ground):
        side.per_gpu_hour(value)
    money = tuple(n for n in asked if known[n].range[0] != known[n].range[1])
    _in_orbit(orbit, value), _on_ground(ground, value)
    every = tuple(n for n in asked if known[n].range[0] != known[n].range[1])
    return Case(outcome.setup.scenario.spec.name, orbit, ground, known, money, every[len(money) :])


def bands(values: Floats) -> dict[str, float]:
    """The 5th, 50th and 95th percentile and the mean."""
    made = {f"p{round(100 * q):02d}": float(v) for q, v in zip(BANDS, np.quantile(values, BANDS), strict=True)}
    return made | {"mean": float(values.mean())}


def _told(one: Assumption) -> dict[str, Any]:
    low, high = one.range
    return {"name": one.name, "value": one.value, "low": low, "high": high, "unit": one.unit, "source": one.source,
            "date": one.date, "confidence": one.confidence}  # fmt: skip


def _sides(made: Case, drawn: Value) -> dict[str, Any]:
    """Each side's figures, nominal and in bands, and both together as one fleet."""
    told = {}
    for name, each in (("orbit", (made.orbit,)), ("ground", (made.ground,)), ("hybrid", (made.orbit, made.ground))):
        told[name] = {
            figure: {"nominal": float(of(made.value())), **bands(np.broadcast_to(of(drawn), 1 if np.ndim(of(drawn)) == 0 else of(drawn).shape))}
            for figure, of in _figures(each).items()
        } | {"terms": _terms(each, made.value())}  # fmt: skip
    return told


def _figures(each: Sequence[Side]) -> dict[str, Callable[[Value], Any]]:
    """USD per unit of each kind, as functions of a Value; those that nothing was made of are left out."""

    def usd(value: Value) -> Any:
        return cost.added(s.usd_year(value) for s in each)

    hours, pflop = sum(s.deliverable_h for s in each), sum(s.pflop_deliverable_h for s in each)
    it_w = sum(s.it_w for s in each)
    made: dict[str, Callable[[Value], Any]] = {
        "usd_per_gpu_hour": lambda v: usd(v) / hours, "usd_per_pflop_hour": lambda v: usd(v) / pflop,
        "usd_per_watt": lambda v: cost.added(s.capital_usd(v) for s in each) / it_w, "usd_per_kw_month": lambda v: usd(v) / 12.0 / (it_w / 1e3),
    }  # fmt: skip
    tokens, work = sum(s.mtokens for s in each), sum(s.inference_h for s in each)
    if tokens > 0.0 and work > 0.0:
        made["usd_per_mtoken"] = lambda v: usd(v) / hours * work / tokens
    return made


def _terms(each: Sequence[Side], value: Value) -> list[dict[str, Any]]:
    merged: dict[str, float] = {}
    for term in (t for s in each for t in s.terms(value)):
        merged[term.asset] = merged.get(term.asset, 0.0) + float(term.usd_year)
    cents = cost.cents(list(merged.values()))
    return [{"asset": a, "usd_year": c / 100.0} for a, c in zip(merged, cents, strict=True)]


def _histogram(ratio: Floats) -> dict[str, list[float]]:
    low, high = np.quantile(ratio, [0.001, 0.999])
    counts, edges = np.histogram(ratio, np.geomspace(low, high, 49) if high > low else 1)
    return {"edges": edges.tolist(), "share": (counts / ratio.size).tolist()}


def _indices(made: Case) -> dict[str, Any]:
    """Shares of the variance of ln(orbit over ground) that inputs make, of those that move it most alone."""
    ranked = threshold.ranged(made.ratio, made.known).swings[:MOST_INPUTS]
    alone = {s.name: sorted((s.at_low, s.at_high)) for s in ranked}
    spread = {s.name: made.spread[s.name] for s in ranked if s.name in made.names}
    found = sampling.sobol_indices(lambda rows: np.log(made.ratio(made.value(rows))), spread, BASE, 1)
    order = np.argsort(-found.total, kind="stable")
    rows = [
        {
            "name": found.names[i],
            "first": float(found.first[i]),
            "total": float(found.total[i]),
            "least": alone[found.names[i]][0],
            "most": alone[found.names[i]][1],
        }
        for i in order
    ]
    return {"of": "ln(orbit over ground)", "evaluations": found.evaluations, "rows": rows}


def heavier(group: ShipCost, share: float) -> ShipCost:
    """The same ships with so many times the mass beside their accelerators."""
    return replace(group, lifted_kg=group.accelerator_kg + share * (group.lifted_kg - group.accelerator_kg))


def _frontier(made: Case) -> dict[str, Any]:
    """Probability that orbit is cheaper, over launch price and specific mass; all else drawn."""
    launchers = sorted({g.launcher for g in made.orbit.ships})
    rest = {n: d for n, d in made.spread.items() if n not in {f"{x}.price" for x in launchers} | {"cost.ship_mass"}}
    rows = sampling.drawn(tuple(rest), rest, sampling.shares("sobol", GRID_DRAWS, len(rest), 2))
    value = made.value()
    prices = np.geomspace(10.0, 5000.0, GRID)
    kg, power_w = sum(g.lifted_kg for g in made.orbit.ships), made.orbit.it_w
    now = kg / (power_w / 1e3)
    masses = np.geomspace(0.15 * now, 2.0 * now, GRID)
    ground = made.ground.per_gpu_hour(made.value(rows))
    chance, ratio = np.zeros((GRID, GRID)), np.zeros((GRID, GRID))
    for i, mass in enumerate(masses):
        chips = sum(g.accelerator_kg for g in made.orbit.ships)
        share = max(mass * power_w / 1e3 - chips, 0.0) / max(kg - chips, 1e-9)
        orbit = replace(made.orbit, ships=tuple(heavier(g, share) for g in made.orbit.ships))
        for j, price in enumerate(prices):
            paid = {f"{x}.price": price * value(f"{x}.payload") for x in launchers}
            here = orbit.per_gpu_hour(made.value(rows | paid))
            chance[i, j], ratio[i, j] = float((here < ground).mean()), float(np.median(here / ground))
    paid_now = value(f"{launchers[0]}.price") / value(f"{launchers[0]}.payload")
    return {
        "launch_usd_kg": prices.tolist(), "kg_per_kw": masses.tolist(), "chance": chance.tolist(), "median_ratio": ratio.tolist(),
        "now": {"launch_usd_kg": float(paid_now), "kg_per_kw": float(now)}, "draws": GRID_DRAWS,
    }  # fmt: skip


def ladder(made: Case) -> dict[str, Any]:
    """The fewest and largest improvements in orbit, each within its sourced range, that reach parity; or that none do.

    Improvements are taken in the order of what they still gain, the last only as far as parity needs: greedy, all ranges counted
    alike.
    """
    at: dict[str, float] = {}
    ends = {n: end for n in made.names if (end := _improves(made, n)) is not None}
    here = float(made.ratio(made.value()))
    steps: list[dict[str, Any]] = []
    left = list(ends)
    while left and here > 1.0:
        tried = {n: float(made.ratio(made.value(at | {n: ends[n]}))) for n in left}
        name = min(tried, key=lambda n: (tried[n], n))
        if tried[name] >= here - 1e-9:
            break
        goal, whole = ends[name], 1.0
        if tried[name] < 1.0:
            goal, whole = _partway(made, at, name, ends[name])
        at[name] = goal
        here = float(made.ratio(made.value(at)))
        one = made.known[name]
        steps.append({"name": name, "from": one.value, "to": goal, "unit": one.unit, "end": ends[name], "share": whole,
                      "ratio": here, "source": one.source})  # fmt: skip
        left.remove(name)
    reached = here <= 1.0 + 1e-6
    words = (
        f"{len(steps)} improvements within their ranges reach parity"
        if reached
        else f"no set of improvements within their ranges reaches parity: all together leave {here:.2f}"
    )
    return {"reached": reached, "ratio": here, "steps": steps, "words": words}


def _improves(made: Case, name: str) -> float | None:
    """The end of its range at which an assumption makes orbit cheapest; None where it does nothing for orbit."""
    ends = made.known[name].range
    usd = [float(made.orbit.per_gpu_hour(made.value({name: e}))) for e in (made.known[name].value, *ends)]
    return None if min(usd[1:]) >= usd[0] else ends[int(np.argmin(usd[1:]))]


def _partway(made: Case, at: Mapping[str, float], name: str, end: float) -> tuple[float, float]:
    """How far one assumption must go for parity, and the share of its way that this is."""
    start = made.known[name].value
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        if float(made.ratio(made.value({**at, name: start + middle * (end - start)}))) > 1.0:
            low = middle
        else:
            high = middle
    return start + high * (end - start), high


def _perspectives(made: Case) -> list[dict[str, Any]]:
    """Orbit at the prices of a market, and at what launch, mesh and chips cost the one who makes them: the low ends of their ranges."""
    own = {
        "launch": [f"{g.launcher}.price" for g in made.orbit.ships], "mesh": ["cost.relay"],
        "compute": [f"{g.accelerator}.price" for g in made.orbit.ships],
    }  # fmt: skip
    rows, ground = [], float(made.ground.per_gpu_hour(made.value()))
    for words, kinds in (("arm's length", ()), ("own launch", ("launch",)), ("own launch and mesh", ("launch", "mesh")),
                         ("own launch, mesh and compute", ("launch", "mesh", "compute"))):  # fmt: skip
        changed = {n: made.known[n].range[0] for k in kinds for n in own[k] if n in made.known}
        usd = float(made.orbit.per_gpu_hour(made.value(changed)))
        beside = float(made.ground.per_gpu_hour(made.value(changed)))
        rows.append({"prices": words, "usd_per_gpu_hour": usd, "ratio": usd / ground, "ratio_both": usd / beside})
    return rows


def years(made: Case, last: int = 20) -> dict[str, Any]:
    """A GPU-hour bought new in each year from now, in bands: launch learns by mass, chips and ships by Wright's and Moore's trends.

    Prices of a year: launch p (1 + m t / M)^(log2(1 - l)), no lower than the floor; chips, on both sides alike, cheaper for the
    same compute by the yearly trend; ships' parts by their own; cost of capital in orbit falls to the ground's in ten years.
    """
    spread = made.spread | {n: about(made.known[n]) for n in TRENDS}
    names = tuple(spread)
    rows = sampling.drawn(names, spread, sampling.shares("sobol", 2048, len(names), 3))
    told: dict[str, Any] = {
        "year": list(range(last + 1)),
        "orbit": [],
        "ground": [],
        "ratio": [],
        "orbit_is_cheaper": [],
    }
    for t in range(last + 1):
        here = {n: rows[n] for n in made.names} | _later(made, rows, float(t))
        orbit, ground = (s.per_gpu_hour(made.value(here)) for s in (made.orbit, made.ground))
        for key, values in (("orbit", orbit), ("ground", ground), ("ratio", orbit / ground)):
            told[key].append(bands(values))
        told["orbit_is_cheaper"].append(float((orbit < ground).mean()))
    even = [t for t, row in enumerate(told["ratio"]) if row["p50"] <= 1.0]
    return told | {"parity_year": even[0] if even else None}


TRENDS = ("fleet.market_mass", "fleet.learned_mass", "fleet.learning", "fleet.price_floor", "fleet.compute_per_usd", "trend.ship_learning",
          "trend.capital")  # fmt: skip


def _later(made: Case, rows: Mapping[str, Floats], t: float) -> dict[str, Floats]:
    """Prices after t years."""
    grown = 1.0 + t * cost.YEAR_S * rows["fleet.market_mass"] / rows["fleet.learned_mass"]
    launch = grown ** np.log2(1.0 - rows["fleet.learning"])
    chips = (1.0 + rows["fleet.compute_per_usd"]) ** -t
    parts = (1.0 - rows["trend.ship_learning"]) ** t
    nominal = made.value()

    def now(name: str) -> Any:
        return rows[name] if name in rows else nominal(name)

    found: dict[str, Floats] = {}
    for g in made.orbit.ships:
        floor = rows["fleet.price_floor"] * nominal(f"{g.launcher}.payload")
        found[f"{g.launcher}.price"] = np.maximum(
            now(f"{g.launcher}.price") * launch, np.minimum(floor, now(f"{g.launcher}.price"))
        )
        found[f"{g.accelerator}.price"] = now(f"{g.accelerator}.price") * chips
        for name in (
            f"{g.array}.price",
            f"{g.battery}.price",
            f"{g.radiator}.price",
            f"{g.ship}.bus_price",
            *(f"{x}.price" for x, _ in g.terminals),
        ):
            found[name] = now(name) * parts
    for s in made.ground.sites:
        found[f"{s.accelerator}.price"] = now(f"{s.accelerator}.price") * chips
    rate = now("cost.capital_orbit")
    site = min((now(f"{s.site}.cost_of_capital") for s in made.ground.sites), key=np.mean)
    found["cost.capital_orbit"] = rate + (np.minimum(site, rate) - rate) * np.minimum(
        t * rows["trend.capital"] * cost.YEAR_S, 1.0
    )
    return found


def _time_to_power(made: Case, rows: dict[str, Floats]) -> dict[str, Any]:
    """What it is worth that ships may work before a hall with its power would: present value over what orbit costs more."""
    names = ("time.ground", "time.orbit", "time.revenue")
    spread = {n: about(made.known[n]) for n in names}
    drawn = rows | sampling.drawn(
        names, spread, sampling.shares("sobol", len(next(iter(rows.values()))), len(names), 4)
    )
    value = made.value(drawn)
    w = made.orbit.it_w
    sooner = np.maximum(value("time.ground") - value("time.orbit"), 0.0)
    gain = worth.time_to_power(
        w, sooner, value("time.revenue") * cost.YEAR_S, made.orbit.usd_year(value) / w, value("cost.capital_orbit")
    )
    hours = made.orbit.deliverable_h
    extra = (
        (made.orbit.per_gpu_hour(value) - made.ground.per_gpu_hour(value))
        * hours
        * value("cost.life_orbit")
        / cost.YEAR_S
    )
    return {
        "power_w": w, "sooner_months": bands(sooner / cost.YEAR_S * 12.0), "worth_usd": bands(gain), "extra_usd": bands(extra),
        "usd_per_watt": bands(gain / w), "pays": float((gain > extra).mean()),
        "words": "present value of what power earns in the months by which ships come sooner, less what they cost; "
        "beside what orbit costs more than the ground over a ship's life",
    }  # fmt: skip


def _contract(made: Case, drawn: Value) -> dict[str, Any]:
    """Fifteen billion dollars over five years, on either side: what they buy at cost, and at a contract's price."""
    told: dict[str, Any] = {"total_usd": 15e9, "years": 5.0, "price_usd_gpu_hour": made.known["contract.price"].value}
    price, notice = made.known["contract.price"].value, made.known["contract.notice"].value
    for name, side in (("orbit", made.orbit), ("ground", made.ground)):
        usd, nominal = side.per_gpu_hour(drawn), float(side.per_gpu_hour(made.value()))
        capital = side.capital_share(made.value())
        one = worth.contract(
            15e9, 5.0, price, nominal, capital, notice_s=notice, rate_s=made.known["cost.capital_orbit"].value
        )
        half = worth.contract(15e9, 5.0, price, nominal, capital, taken=0.5)
        told[name] = {
            "gpus_at_cost": bands(15e9 / usd / (5.0 * 8766.0)), "gpus_at_price": one.gpus, "margin": bands(1.0 - usd / price),
            "owed_at_notice_usd": one.ended_usd, "unrecovered_usd": float(one.unrecovered_usd), "usd_per_used_hour_at_half": half.used_usd_gpu_hour,
        }  # fmt: skip
    return told


def _presets(made: Case) -> list[dict[str, Any]]:
    """Each published model: its own answers, and its inputs inside our boundary, with the terms that it leaves out."""
    group = max(made.orbit.ships, key=lambda g: g.gpus)
    site = max(made.ground.sites, key=lambda s: s.gpus)
    hours = made.orbit.deliverable_h * group.gpus / sum(g.gpus for g in made.orbit.ships)
    below = made.ground.deliverable_h * site.gpus / sum(s.gpus for s in made.ground.sites)
    told = []
    for preset in presets.PRESETS.values():
        found = presets.inside(preset, group, site, made.value())
        orbit, ground = cost.total(found.orbit) / hours, cost.total(found.ground) / below
        left = {k: cost.added(t.usd_year for t in terms if t.asset in found.left_out[k]) / h
                for k, terms, h in (("orbit", found.orbit, hours), ("ground", found.ground, below))}  # fmt: skip
        told.append({
            "name": preset.name, "title": preset.title, "source": preset.source, "note": preset.note,
            "own": [{"what": a.what, "unit": a.unit, "published": a.published, "computed": a.computed, "error": a.error} for a in preset.own()],
            "own_ratio": presets.own_ratio(preset), "ratio": orbit / ground, "orbit_usd_per_gpu_hour": orbit, "ground_usd_per_gpu_hour": ground,
            "left_out": {k: {"terms": list(found.left_out[k]), "usd_per_gpu_hour": left[k]} for k in left},
        })  # fmt: skip
    return told


def _carbon(made: Case, drawn: Value) -> list[dict[str, Any]]:
    """CO2 equivalent within boundaries that widen, on both sides: of a GPU-hour that could have worked, and of a million tokens [kg]."""
    rows = []
    for name in carbon.BOUNDARIES:
        row: dict[str, Any] = {"boundary": name}
        for key, side, make in _made(made):
            nominal, spread = (
                cost.added(carbon.within(f, name) for f in make(side, v)) / side.deliverable_h
                for v in (made.value(), drawn)
            )
            row[key] = {"nominal": float(nominal)} | bands(np.atleast_1d(spread))
            row[key]["mtoken_kg"] = float(np.median(spread)) * side.inference_h / side.mtokens if side.mtokens else None
        rows.append(row)
    return rows


def _material(made: Case, drawn: Value) -> dict[str, dict[str, dict[str, float]]]:
    """Of a GPU-hour on both sides [kg]: water, what is lifted, what burns up on the way down and the alumina that this makes."""
    told: dict[str, dict[str, dict[str, float]]] = {}
    for key, side, make in _made(made):
        found = make(side, drawn)
        kinds = {
            "water_kg": cost.added(f.water_kg_year for f in found), "burnt_kg": cost.added(f.burnt_kg_year for f in found),
            "lifted_kg": cost.added(boundary.lifted_kg(g, drawn) for g in side.ships) / (drawn("cost.life_orbit") / cost.YEAR_S),
        }  # fmt: skip
        kinds["alumina_kg"] = kinds["burnt_kg"] * drawn("carbon.alumina_share")
        told[key] = {k: bands(np.atleast_1d(v / side.deliverable_h)) for k, v in kinds.items()}
    return told


def _made(made: Case) -> tuple[tuple[str, Side, Callable[[Side, Value], list[carbon.Footprint]]], ...]:
    return (("orbit", made.orbit, _in_orbit), ("ground", made.ground, _on_ground))


def _in_orbit(side: Side, value: Value) -> list[carbon.Footprint]:
    return [carbon.orbit(g, value) for g in side.ships]


def _on_ground(side: Side, value: Value) -> list[carbon.Footprint]:
    return [carbon.ground(s, value) for s in side.sites]
