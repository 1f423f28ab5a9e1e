"""What each event of a scenario moved and cost: the run beside the same run without that event."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from aether.base.tables import Floats, Ints, State
from aether.engine import batch
from aether.engine.assemble import Setup
from aether.engine.block import Block, struck
from aether.engine.happenings import without
from aether.engine.running import Spread
from aether.engine.tick import Tick, step
from aether.scenario.spec import Happening, Place

COUNTED = ("requests", "served", "late", "rejected")
WORKED = ("inference", "training", "jobs", "data")
QUANTILES = (0.5, 0.95)
SAME_MESH = ("price", "sites")  # events that move no link and no way
MOST_BINS = 120  # of an event's series in the summary
HOUR_S = 3600.0  # definition


@dataclass
class Seen:
    """What a run did, tick by tick; groups of hosts G, classes of requests Q, training jobs W."""

    setup: Setup
    asked: tuple[Happening, ...]  # in whose time first tokens are counted, one Spread each
    time_s: list[float] = field(default_factory=list)
    gpu: list[Floats] = field(default_factory=list)  # (len(WORKED), G) at full clocks
    able: list[Floats] = field(default_factory=list)  # (G,) GPUs that could have worked
    hosted: list[Floats] = field(default_factory=list)  # (G,) requests served
    counts: list[Floats] = field(default_factory=list)  # (len(COUNTED), Q)
    waiting: list[float] = field(default_factory=list)
    useful_s: list[Floats] = field(default_factory=list)  # (W,)
    steps: list[Floats] = field(default_factory=list)  # (W,) done at the tick's end
    paid: list[Floats] = field(default_factory=list)  # energy of sites [USD], its carbon [kg]
    jobs_usd: float = 0.0  # worth of jobs, at the last tick

    def __post_init__(self) -> None:
        self.spreads = tuple(Spread() for _ in self.asked)
        self.names = tuple(dict.fromkeys(self.setup.hosts.group))
        self._group = np.array([self.names.index(g) for g in self.setup.hosts.group], dtype=np.int64)

    def add(self, block: Block, i: int, tick: Tick) -> None:
        """Go on with a tick."""
        time_s = float(block.time_s[i])
        hosts, s = self.setup.at(time_s).hosts, tick.served
        work, nothing = self.setup.work, np.zeros(len(hosts.names))
        jobs = nothing if tick.ran is None else tick.ran.gpu
        gpu = [nothing] * len(WORKED) if s is None else [s.inference_gpu, s.training_gpu, jobs, s.data_gpu]
        joule = (np.sum(gpu, axis=0) * hosts.full_w)[hosts.ships :] * self.setup.scenario.spec.step
        self.time_s.append(time_s)
        self.gpu.append(np.stack([self._by_group(v) for v in gpu]))
        self.able.append(self._by_group(np.concatenate([tick.capacity.reach, block.working[i, hosts.ships :]])))
        self.paid.append(np.array([joule @ v[hosts.ships :] for v in (hosts.energy_usd_j, hosts.carbon_kg_j)]))
        if s is None:
            return
        self.hosted.append(self._by_group(s.by_host.sum(axis=0)))
        self.counts.append(np.stack([getattr(s, k).sum(axis=1) for k in COUNTED]).reshape(-1, len(work.services)))
        self.waiting.append(float(s.waiting.sum()))
        self.useful_s.append(np.array([spent.useful_s for spent in s.spent]))
        self.steps.append(np.array([job.step for job in s.jobs]))
        for event, spread in zip(self.asked, self.spreads, strict=True):
            if _lasts(event, time_s, self.setup):
                spread.add(s.first_token_s.ravel(), s.served.ravel())
        if tick.ran is not None:
            self.jobs_usd = float(batch.summary(self.setup, tick.ran.underway)["worth_usd"])

    def _by_group(self, values: Floats) -> Floats:
        return np.bincount(self._group, values, len(self.names)).astype(np.float64)

    def worth_usd(self) -> float:
        """Worth of what was done: requests, less of those late, training that counts, jobs."""
        work, worth = self.setup.work, self.jobs_usd
        if self.counts:
            counts = np.sum(self.counts, axis=0)
            late_worth = self.setup.scenario.value("placement.late_worth")
            of_one = np.array([s.value_usd for s in work.services])
            worth += float(of_one @ (counts[1] - (1.0 - late_worth) * counts[2])) if len(of_one) else 0.0
            useful_s = np.sum(self.useful_s, axis=0)
            worth += sum(
                float(u * r.gpus.sum()) / HOUR_S * r.asked.price for u, r in zip(useful_s, work.runs, strict=True)
            )
        return worth


class Variant:
    """The run without one event, stepped beside the run from the event's first tick on."""

    def __init__(self, setup: Setup, number: int) -> None:
        calm = without(setup.happenings, number, setup.scenario, setup.hosts, setup.cities, setup.gateways)
        self.event = setup.happenings.asked[number]
        self.setup = replace(setup, happenings=calm)
        self.seen = Seen(self.setup, (self.event,))
        self._state: State | None = None
        self._block: Block | None = None

    def add(self, before: State, block: Block, i: int, tick: Tick) -> None:
        """The tick that the run has made, without the event; until the event begins both are one."""
        if block.time_s[i] + self.setup.scenario.spec.step / 2.0 <= self.event.start:
            return
        if self._block is None or self._block.first != block.first:
            self._block = struck(self.setup, block)
        known = tick.mesh if self.event.kind in SAME_MESH else None
        self._state, made = step(self.setup, self._state or before, self._block, i, known)
        self.seen.add(self._block, i, made)


class Differences:
    """Runs without each of a scenario's events, beside the run itself, and what they differ in."""

    def __init__(self, setup: Setup) -> None:
        self.seen = Seen(setup, setup.happenings.asked)
        self.variants = [Variant(setup, n) for n in range(len(setup.happenings.asked))]

    def add(self, before: State, block: Block, i: int, tick: Tick) -> None:
        """Go on with a tick of the run; before: the state that it began with."""
        self.seen.add(block, i, tick)
        for variant in self.variants:
            variant.add(before, block, i, tick)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each event, in the order of the scenario."""
        return [_row(self.seen, variant.seen, n) for n, variant in enumerate(self.variants)]


def _row(full: Seen, calm: Seen, number: int) -> dict[str, Any]:
    """An event: what moved while it lasted, and what differs from its first tick to the end of the run."""
    event, setup = full.asked[number], full.setup
    same = len(full.time_s) - len(calm.time_s)  # ticks before, alike in both runs
    told: dict[str, Any] = {
        "kind": event.kind, "words": words(setup, number), "start_s": event.start, "end_s": event.start + event.duration,
        "moved": _moved(full, calm, number, same), "probes": _probes(setup, calm.setup, event),
        "energy_usd": float(np.sum(full.paid[same:], axis=0)[0] - np.sum(calm.paid, axis=0)[0]),
        "carbon_kg": float(np.sum(full.paid[same:], axis=0)[1] - np.sum(calm.paid, axis=0)[1]),
        "series": _series(full, calm, event, same),
    }  # fmt: skip
    if not full.counts:
        idle: dict[str, Any] = {
            "requests": None,
            "first_token": None,
            "tokens_lost": 0.0,
            "training": [],
            "worth_lost_usd": 0.0,
        }
        return told | idle | {"cost_usd": told["energy_usd"]}
    alike = _cut(full, same)
    lost_usd = calm.worth_usd() - alike.worth_usd()
    return told | {
        "requests": _requests(alike, calm), "first_token": _first_tokens(full.spreads[number], calm.spreads[0]),
        "tokens_lost": float(_tokens(calm) - _tokens(alike)), "training": _training(alike, calm),
        "worth_lost_usd": lost_usd, "cost_usd": told["energy_usd"] + lost_usd,
    }  # fmt: skip


def _cut(full: Seen, same: int) -> Seen:
    """What the run did from an event's first tick on."""
    return replace(full, asked=(), **{k: getattr(full, k)[same:] for k in ("counts", "waiting", "useful_s", "steps")})


def _moved(full: Seen, calm: Seen, number: int, same: int) -> list[dict[str, Any]]:
    """GPU-hours and requests by group of hosts: while the event lasts, with and without it, and as long before.

    Before: the ticks there are just before the event, as many as it lasts at most, scaled to as long as it lasts.
    """
    during = np.flatnonzero([_lasts(full.asked[number], t, full.setup) for t in full.time_s])
    before = np.arange(max(int(during[0]) - len(during), 0), during[0])
    rows = []
    for g, name in enumerate(full.names):
        orbit = full.setup.hosts.group.index(name) < full.setup.hosts.ships
        sides = {"with": _hosted(full, during, g), "without": _hosted(calm, during - same, g)}
        scale = len(during) / max(len(before), 1)
        earlier = {k: v * scale for k, v in _hosted(full, before, g).items()} if len(before) else None
        rows.append({"host": name, "orbit": bool(orbit), "before": earlier} | sides)
    return rows


def _lasts(event: Happening, time_s: float, setup: Setup) -> bool:
    """Whether an event lasts in any part of the tick with this middle."""
    half_s = setup.scenario.spec.step / 2.0
    return event.start < time_s + half_s and time_s - half_s < event.start + event.duration


def _hosted(seen: Seen, ticks: Ints, g: int) -> dict[str, float]:
    """What a group of hosts did in some ticks."""
    hours = seen.setup.scenario.spec.step / HOUR_S
    gpu = np.sum([seen.gpu[t][:, g] for t in ticks], axis=0) * hours
    told = {"gpu_hours": float(gpu.sum()), "deliverable_gpu_hours": sum(float(seen.able[t][g]) for t in ticks) * hours}
    told["requests"] = sum(float(seen.hosted[t][g]) for t in ticks) if seen.hosted else 0.0
    return told | {f"{k}_gpu_hours": float(v) for k, v in zip(WORKED, gpu, strict=True)}


def _requests(full: Seen, calm: Seen) -> dict[str, Any]:
    """Requests from the event's first tick to the end of the run; what came in is the same in both runs."""
    told: dict[str, Any] = {}
    for key, seen in (("with", full), ("without", calm)):
        counts = np.sum(seen.counts, axis=0).sum(axis=1)
        told[key] = dict(zip(COUNTED, counts.tolist(), strict=True)) | {"waiting": seen.waiting[-1]}
    changed = {k: told["with"][k] - told["without"][k] for k in ("rejected", "late", "waiting")}
    return told | {"lost": changed["rejected"], "late": changed["late"], "waiting": changed["waiting"]}


def _first_tokens(full: Spread, calm: Spread) -> dict[str, Any]:
    """Time to first token while the event lasts, with and without it, and the difference [s]."""
    told: dict[str, Any] = {}
    for key, spread in (("with", full), ("without", calm)):
        told[key] = {f"p{round(100 * q)}_s": v for q, v in zip(QUANTILES, spread.quantiles(QUANTILES), strict=True)}
    pairs = {k: (v, told["without"][k]) for k, v in told["with"].items()}
    return told | {f"extra_{k}": None if a is None or b is None else a - b for k, (a, b) in pairs.items()}


def _tokens(seen: Seen) -> float:
    """Tokens of answers."""
    out = np.array([s.output_tokens for s in seen.setup.work.services])
    return float(out @ np.sum(seen.counts, axis=0)[1]) if len(out) else 0.0


def _training(full: Seen, calm: Seen) -> list[dict[str, Any]]:
    """Tokens trained by the end of the run, and how much the event slowed it."""
    told = []
    for w, run in enumerate(full.setup.work.runs):
        steps = {k: float(seen.steps[-1][w]) for k, seen in (("with", full), ("without", calm))}
        lost = (steps["without"] - steps["with"]) * run.tokens_step
        useful_s = float(np.sum(calm.useful_s, axis=0)[w] - np.sum(full.useful_s, axis=0)[w])
        done = steps["without"] * run.tokens_step
        told.append({"name": run.name, "tokens_without": done, "tokens_lost": lost, "useful_s_lost": useful_s})
    return told


def _probes(full: Setup, calm: Setup, event: Happening) -> list[dict[str, Any]]:
    """Probes whose way by fibre is another at the event's beginning: round trips with and without it."""
    with_s, without_s = full.at(event.start).fibre_s, calm.at(event.start).fibre_s
    rows = zip(full.probes, with_s, without_s, strict=True)
    return [{"from": a.name, "to": b.name, "with_fibre_s": x, "without_fibre_s": y} for (a, b), x, y in rows if x != y]


def _series(full: Seen, calm: Seen, event: Happening, same: int) -> dict[str, Any]:
    """GPUs by group of hosts, with the event and without, from as long before it to as long after; those at work, or
    those that could be where nothing is asked."""
    time_s = np.array(full.time_s)
    rows = np.flatnonzero((time_s >= event.start - event.duration) & (time_s < event.start + 2.0 * event.duration))
    kind, sums = ("gpu", 1) if full.counts else ("able", ())
    here, there = getattr(full, kind), getattr(calm, kind)
    width = -(-len(rows) // MOST_BINS)
    starts = np.arange(0, len(rows), max(width, 1))
    sizes = np.diff([*starts, len(rows)])
    told: dict[str, dict[str, list[float]]] = {name: {} for name in full.names}
    for key, values in (
        ("with", [here[t] for t in rows]),
        ("without", [here[t] if t < same else there[t - same] for t in rows]),
    ):
        used = np.sum(values, axis=sums).reshape(len(rows), len(full.names))
        means = np.add.reduceat(used, starts, axis=0) / sizes[:, None] if len(rows) else used
        for g, name in enumerate(full.names):
            told[name][key] = means[:, g].tolist()
    middle = np.add.reduceat(time_s[rows], starts) / sizes if len(rows) else time_s[rows]
    return {"what": "at work" if full.counts else "deliverable", "time_s": middle.tolist(), "hosts": told}


def words(setup: Setup, number: int) -> str:
    """An event in words."""
    event, struck_by = setup.happenings.asked[number], len(setup.happenings.outages[number])
    if event.cut_cables is not None:
        return f"{_listed(event.cut_cables)} cut"
    if event.gateways is not None:
        within = event.gateways.within
        where = (
            f"in {event.gateways.country}"
            if within is None
            else f"within {within.radius / 1e3:,.0f} km of {_name(within.at)}"
        )
        return f"{struck_by} gateways {where} out"
    if event.price is not None:
        return f"energy in {event.price.country} at {event.price.factor:g} times its price"
    return f"{_listed(event.ships or event.sites or ())} lost"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _name(at: str | Place) -> str:
    return at if isinstance(at, str) else at.name
