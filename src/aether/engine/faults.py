"""What fails in a run: drawn once from named streams, then read window by window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from aether.base.clock import stream
from aether.base.tables import Bools, Dose, Floats, Ints, Outage
from aether.engine.happenings import EVENT
from aether.engine.hosts import Hosts
from aether.engine.work import Run
from aether.operations import faults
from aether.scenario.load import Scenario

TERMINALS = 4  # of a relay for other relays


@dataclass(frozen=True)
class Window:
    """Service through a window of ticks."""

    ship_up: Floats  # (T, K)
    host_up: Floats  # (T, H)
    gpus_lost: Floats  # (T, H) failed in this run
    relay_down: Bools  # (T, R)
    gateway_up: Floats  # (T, W)
    links_down: tuple[Ints, ...]


def outages(scenario: Scenario, hosts: Hosts, relays: int, gateways: int, planes: Ints) -> tuple[Outage, ...]:
    """Every outage of the run, in order of time; planes: (K,) number of each ship's plane, whose ships may fail together."""
    duration_s, seed = scenario.clock.duration_s, scenario.spec.seed
    kinds = (("ship", hosts.ships, "ship"), ("relay", relays, "relay_outage"), ("link", TERMINALS * relays, "link"),
             ("gateway", gateways, "gateway"), ("site", hosts.sites, "site"))  # fmt: skip
    found: list[Outage] = []
    for kind, count, rate in kinds:
        repair = scenario.value(f"faults.{kind}_repair")
        found += faults.draw(
            stream(seed, f"faults/{kind}"), kind, count, scenario.value(f"faults.{rate}"), repair, duration_s
        )
    found += faults.draw(
        stream(seed, "faults/relay lost"), "relay", relays, scenario.value("faults.relay"), np.inf, duration_s
    )
    found += _together(scenario, planes)
    in_orbit = np.arange(len(hosts.names)) < hosts.ships
    aboard, below = (np.where(here, hosts.gpus, 0.0).astype(np.int64) for here in (in_orbit, ~in_orbit))
    rng = stream(seed, "faults/gpu")
    found += faults.broken(rng, aboard, scenario.value("faults.gpu_orbit"), duration_s)
    found += faults.broken(
        rng, below, scenario.value("faults.gpu_ground"), duration_s, scenario.value("faults.gpu_repair_ground")
    )
    return tuple(sorted(found, key=lambda o: (o.start_s, o.kind, o.subject)))


def _together(scenario: Scenario, planes: Ints) -> list[Outage]:
    """Outages of whole planes: of all their ships at once."""
    count = int(planes.max(initial=-1)) + 1
    rate, repair = scenario.value("faults.plane"), scenario.value("faults.plane_repair")
    drawn = faults.draw(
        stream(scenario.spec.seed, "faults/plane"), "plane", count, rate, repair, scenario.clock.duration_s
    )
    return [
        Outage("ship", int(k), o.start_s, o.end_s, "plane") for o in drawn for k in np.flatnonzero(planes == o.subject)
    ]


def worn(scenario: Scenario, group: Ints, sites: int) -> Floats:
    """Share of each host's GPUs that its age has left (H,): those of ships are not replaced, those of sites are."""
    ages = np.array([scenario.spec.ships[g].age for g in group])
    left = faults.attrition(ages, scenario.value("faults.gpu_orbit"))
    return np.concatenate([left, np.ones(sites)])


def window(
    found: Sequence[Outage], hosts: Hosts, others: tuple[int, int], time_s: Floats, step_s: float, on: bool
) -> Window:
    """Service through a window (T,); others: how many relays and gateways; off: nothing fails but by the scenario's events."""
    here = [o for o in found if o.start_s < time_s[-1] + step_s and o.end_s > time_s[0] - step_s and (on or o.cause == EVENT)]  # fmt: skip
    relays, gateways = others

    def up(kind: str, count: int) -> Floats:
        return faults.share_up(here, kind, count, time_s, step_s)

    ship_up = up("ship", hosts.ships)
    lost = faults.lost(here, "gpu", len(hosts.names), time_s, step_s)
    dropped = [(o.subject, o.start_s, o.end_s) for o in here if o.kind == "link"]
    terminal, start_s, end_s = np.array(dropped).reshape(-1, 3).T
    links_down = tuple(terminal[(start_s <= t) & (t < end_s)].astype(np.int64) for t in time_s)
    host_up = np.concatenate([ship_up, up("site", hosts.sites)], axis=1)
    return Window(ship_up, host_up, lost, up("relay", relays) < 0.5, up("gateway", gateways), links_down)


def interruptions(
    scenario: Scenario, runs: Sequence[Run], dose: Dose, first: int, ticks: int, broken: Sequence[Outage] = ()
) -> tuple[tuple[tuple[float, ...], ...], ...]:
    """When training jobs are interrupted: of each tick and job, seconds into the tick.

    Nodes fail as measured on the ground, and every upset of a chip in orbit stops the whole gang, or its member
    alone where the others go on. Neither moves when the other is switched off, so that runs with and without can be
    compared. broken: ships that break, which stops it too; one that is drained leaves in order, without an interruption.
    What events strike, ships and sites, stops it whether faults are on or not.
    """
    on, step_s, seed = scenario.spec.couplings, scenario.spec.step, scenario.spec.seed
    told: list[list[tuple[float, ...]]] = [[] for _ in range(ticks)]
    ships = dose.upset_s.shape[1]
    for run in runs:
        aboard = run.members < ships
        upset_s = (dose.upset_s[:, run.members[aboard]] * run.gpus[aboard]).sum(axis=1) * on.anomaly
        failure_s = np.full(ticks, 1.0 / run.mttf_s * on.faults)
        name, rng = f"interruptions/{run.name}", partial(_stream, seed)
        nodes = faults.arrivals(partial(rng, f"{name}/nodes"), failure_s, first, step_s)
        if run.apart:
            upsets = _one_by_one(run, partial(rng, f"{name}/upsets"), dose.upset_s * on.anomaly, ships, first, step_s)
        else:
            upsets = faults.arrivals(partial(rng, f"{name}/upsets"), upset_s, first, step_s)
        sudden = [o for o in broken if np.isinf(o.end_s) or o.cause == EVENT]
        hit = [o.start_s for o in sudden if o.subject + (ships if o.kind == "site" else 0) in run.members]
        crashes = np.array(hit if run.apart else sorted(set(hit))) - first * step_s  # a gang restarts once for all
        for t in range(ticks):
            here = crashes[(crashes >= t * step_s) & (crashes < (t + 1) * step_s)] - t * step_s
            told[t].append(tuple(np.sort(np.concatenate([nodes[t], upsets[t], here])).tolist()))
    return tuple(tuple(row) for row in told)


def _one_by_one(
    run: Run, rng: Callable[[str], np.random.Generator], upset_s: Floats, ships: int, first: int, step_s: float
) -> list[Floats]:
    """Upsets that cost one member a restart: of those closer together than a restart takes, the last (in a window)."""
    ticks, found = len(upset_s), [np.empty(0)]
    for m, gpus in zip(run.members, run.gpus, strict=True):
        if m < ships:
            each = faults.arrivals(partial(_of_member, rng, int(m)), upset_s[:, m] * gpus, first, step_s)
            at_s = np.concatenate([t * step_s + hits for t, hits in enumerate(each)])
            found.append(at_s[np.diff(at_s, append=np.inf) > run.job.restart_s])
    times = np.sort(np.concatenate(found))
    tick = np.minimum((times // step_s).astype(np.int64), ticks - 1)
    return [times[tick == t] - t * step_s for t in range(ticks)]


def _of_member(rng: Callable[[str], np.random.Generator], member: int, part: str) -> np.random.Generator:
    return rng(f"{member}/{part}")


def _stream(seed: int, name: str, part: str) -> np.random.Generator:
    return stream(seed, f"{name}/{part}")
