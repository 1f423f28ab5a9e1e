"""`aether compare-policies`: the same scenario under rival placement policies, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aether.base.errors import InputError, Problem
from aether.base.tables import Floats, Ints
from aether.engine.assemble import Setup, assemble
from aether.engine.run import Progress, play_variants
from aether.engine.running import Spread
from aether.engine.summary import waterfall
from aether.engine.tick import Tick
from aether.engine.totals import Totals
from aether.engine.verdict import usd_per_mtoken
from aether.engine.work_summary import work
from aether.placement.policy import policies
from aether.scenario.load import Scenario
from aether.study.ablation import coarse

QUANTILES = (0.5, 0.95)


@dataclass
class Moves:
    """Requests served at another host than most of their place's were in the tick before; classes Q, places C."""

    last: Ints  # (Q, C) host, -1 before the first
    moved: float = 0.0

    def add(self, tick: Tick) -> None:
        """Go on with a tick."""
        if tick.served is None or not tick.served.plan.work.size:
            return
        made, (classes, places) = tick.served.plan, self.last.shape
        cell = made.work * places + made.place
        order = np.lexsort((made.requests, cell))
        last = np.append(cell[order][1:] != cell[order][:-1], True)
        main, asked = np.full(classes * places, -1, np.int64), np.bincount(cell, made.requests, classes * places)
        main[cell[order][last]] = made.host[order][last]
        before = self.last.ravel()
        self.moved += float(asked[(main >= 0) & (before >= 0) & (main != before)].sum())
        self.last = np.where(main >= 0, main, before).reshape(classes, places)


def compare(scenario: Scenario, names: Sequence[str] = (), progress: Progress | None = None) -> list[dict[str, Any]]:
    """One row for each policy: what was served, how late, with what energy, at what price.

    scenario: with inference. names: of policies; all that are registered, plug-ins too, when empty. Runs go side by side at steps
    of at least ten minutes, with the same requests, faults and mesh. Raises InputError for unknown names and scenarios without
    requests.
    """
    wanted = list(dict.fromkeys(names or policies))
    problems = []
    for name in wanted:
        try:
            policies.get(name, "--policies")
        except InputError as error:
            problems += error.problems
    if not any(w.inference for w in scenario.spec.workloads):
        problems.append(Problem("workloads", "none answers requests: policies have nothing to place", next="Give one with inference"))  # fmt: skip
    if problems:
        raise InputError(problems)
    base = coarse(assemble(scenario))
    setups = [_under(base, name) for name in wanted]
    shape = (len(base.work.services), len(base.cities.names))
    moves = [Moves(np.full(shape, -1, np.int64)) for _ in wanted]
    totals = play_variants(setups, progress, "policies", lambda v, tick: moves[v].add(tick))
    rows = zip(wanted, setups, totals, moves, strict=True)
    return [{"policy": name} | _row(setup, total) | {"moved": move.moved} for name, setup, total, move in rows]


def _under(setup: Setup, name: str) -> Setup:
    """The same setup under another policy."""
    scenario = setup.scenario
    spec = scenario.spec.model_copy(update={"placement": scenario.spec.placement.model_copy(update={"policy": name})})
    return replace(setup, scenario=replace(scenario, spec=spec))


def _row(setup: Setup, totals: Totals) -> dict[str, Any]:
    told = work(setup, totals)
    sums = {k: sum(s[k] for s in told["inference"]) for k in ("requests", "served", "late", "rejected", "output_tokens")}  # fmt: skip
    first = Spread()
    for spread in totals.work.first_token:
        first.join(spread)
    p50, p95 = first.quantiles(QUANTILES)
    orbit_j, sites_j = _energy(setup, totals)
    ships = setup.hosts.ships
    hours = setup.scenario.clock.step_s / 3600.0
    return sums | {
        "step_s": setup.scenario.clock.step_s, "first_token_p50_s": p50, "first_token_p95_s": p95,
        "delivered_gpu_hours": waterfall(setup, totals)["delivered"]["gpu_hours"] + float(_used(totals)[ships:].sum()) * hours,
        "training_tokens": sum(r["tokens"] for r in told["training"]), "orbit_j": orbit_j, "sites_j": float(sites_j.sum()),
        "carbon_kg": float((sites_j * setup.hosts.carbon_kg_j[ships:]).sum()), "energy_usd": float((sites_j * setup.hosts.energy_usd_j[ships:]).sum()),
        "usd_per_mtoken": usd_per_mtoken(setup, totals),
    }  # fmt: skip


def _used(totals: Totals) -> Floats:
    """GPU-ticks at work (H,)."""
    used: Floats = totals.work.hosts["inference_gpu"] + totals.work.hosts["training_gpu"]
    return used


def _energy(setup: Setup, totals: Totals) -> tuple[float, Floats]:
    """What ships drew and what work drew at each site, its facility's share counted [J]."""
    step_s, ships = setup.scenario.clock.step_s, setup.hosts.ships
    orbit = float(sum(totals.ships.sums[c].sum() for c in ("gpu_w", "bus_w"))) * step_s
    return orbit, _used(totals)[ships:] * setup.hosts.full_w[ships:] * step_s
