"""The twin of a live fabric: the engine of a run, stepped as the fabric's clock goes, under the load of real jobs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from aether.base.clock import stream
from aether.base.errors import InputError, Problem, unknown
from aether.base.tables import Bools, Floats, Heat, Ints, Outage, State
from aether.engine import faults, reach
from aether.engine.assemble import Setup, assemble, planes, seen_from
from aether.engine.block import Block, block
from aether.engine.happenings import EVENT
from aether.engine.hosts import site_place
from aether.engine.manoeuvres import Manoeuvres, avoidances, manoeuvres
from aether.engine.tick import Tick, connect, in_service, start, step
from aether.fabric.twin.frame import Condition, Frame, HostFrame, Reach
from aether.fabric.twin.thresholds import Now, Told, still_within, tell
from aether.operations.degradation import Health
from aether.operations.faults import share_up
from aether.scenario.load import Scenario
from aether.scenario.places import find_place
from aether.scenario.spec import Place
from aether.space import ground

WINDOW = 30  # ticks of a block: of project-aether 20 ms, most of it the orbit ahead that batteries look to
FORESEEN = 15  # ticks in which loss of contact is foreseen: a pass over a ground station lasts ten minutes
MOST = 1440  # ticks stepped for one frame, ours: a day of them takes project-aether four seconds
KINDS = ("ship", "site", "link", "gateway", "relay", "gpu", "pump")
CUT = "cut"  # kind of an outage of a host's links alone; subject: the host
PUMP = "pump"  # kind of an outage of a ship's coolant pumps; subject: the ship
STALLED = 0.02  # of a loop's conductance while its pumps stand: nothing but conduction, for nothing rises without weight; ours


class Twin:
    """Every host of a scenario at the fabric's present time.

    The sky, power, heat, radiation, mesh and faults are those of `aether run` from start_s on; what the scenario asks of
    its hosts is left out, for real jobs take its place. Positions go on for ever; faults and evasive manoeuvres are drawn
    anew, from streams of their own, each time the scenario's duration has passed. Same scenario, start, seed, loads and
    injections: same frames.
    """

    def __init__(
        self, scenario: Scenario, start_s: float, seed: int | None = None, state: Mapping[str, Any] | None = None
    ) -> None:
        """Assemble the hosts.

        start_s: of the fabric's clock, in place of the scenario's start [Unix, UTC]. seed: in place of the scenario's.
        state: what `state()` of a twin of the same scenario has given, to go on from there; start_s is not used then.
        Raises InputError for what only shows when the fleet is assembled, and for a state of another scenario.
        """
        self._start_s = float(state["start_s"] if state else start_s)
        self._bare = _bare(scenario, self._start_s, int(state["seed"]) if state else seed)
        self._fresh = self._setup = assemble(self._bare)
        self._segment_ticks = self._bare.clock.ticks
        self._tick, self._segment = 0, -1  # the next to step; which draw of faults is in force
        self._lasting: tuple[Outage, ...] = ()  # faults of earlier segments that outlast them
        self._injected: tuple[Outage, ...] = ()
        self._block: _Ahead | None = None
        self._state: State | None = None
        self._gpus: Ints | None = None  # told last
        self._told: Told | None = None
        self._within: dict[tuple[str, float], Bools] = {}  # of watched pairs, (H,)
        self._asking: tuple[dict[str, int], Setup] = ({}, self._fresh)  # rows of the places that are watched
        self._watched: frozenset[tuple[str, float]] = frozenset()  # pairs told since the twin began
        self._trips: dict[str, dict[str, float]] = {}
        self._last: tuple[_Ahead, int, Tick] | None = None
        self._next: _Ahead | None = None  # the block after the present one, once somebody has looked so far
        self._added = scenario.spec.ground.cities.add
        spots = [site_place(scenario, site) for site in scenario.spec.sites]
        self._stand = [(p.latitude, p.longitude) for p in spots]
        self._frame: Frame | None = None
        if state:
            self._restore(state)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of the hosts, ships before sites."""
        return self._fresh.hosts.names

    @property
    def step_s(self) -> float:
        """Length of a tick [s]."""
        return self._bare.spec.step

    def advance(self, until_s: float, load: Mapping[str, float], watch: Sequence[tuple[str, float]] = ()) -> Frame:
        """Step every tick that has begun by a time, under one load, and tell what was crossed.

        until_s: [Unix, UTC]. load: GPUs at work by host; none where left out. watch: pairs of a place and the longest
        round trip to it [s]. With no tick to step, the frame before is given again, with what is new of pairs that were not
        watched then. Raises InputError for an unknown host or place, and for numbers that are none.

        After a gap of more than `MOST` ticks (the fabric was down, its clock has jumped) the last of them alone are
        stepped, from batteries and heat as they were before it. A clock that goes back waits for its time to come again.
        """
        if not math.isfinite(until_s):
            raise InputError(Problem("until_s", "must be finite"))
        load_gpu, pairs = self._load(load), self._look(watch)
        last = math.floor((until_s - self._start_s) / self.step_s + 1e-9)
        if self._frame is not None and self._tick > last:
            late = (
                self._reached(pairs, *self._last, self._frame.time_s)
                if self._last and self._watched != set(pairs)
                else []
            )
            return replace(self._frame, conditions=(), reaches=tuple(late), round_trip_s=self._trips)
        self._tick = max(self._tick, last + 1 - MOST)
        conditions: list[Condition] = []
        reaches: list[Reach] = []
        while True:
            ahead, i = self._ahead()
            if self._state is None:
                self._state = start(self._setup, ahead.block)
            after, tick = step(self._setup, self._state, ahead.block, i, load_gpu=load_gpu)
            now = self._now(ahead, i, tick, min(self._start_s + self._tick * self.step_s, until_s))
            conditions += self._crossed(now)
            reaches += self._reached(pairs, ahead, i, tick, now.time_s)
            if self._tick <= last:
                self._state, self._tick = after, self._tick + 1
            if self._tick > last:  # a first frame before its tick is looked at and not stepped
                break
        self._last = (ahead, i, tick)
        hosts = self._hosts(ahead, i, tick, now, self._gone_s(after, ahead, i, now))
        self._frame = Frame(now.time_s, hosts, tuple(conditions), tuple(reaches), self._trips)
        return self._frame

    def inject(self, kind: str, name: str, start_s: float, end_s: float | None) -> None:
        """Take something out of service; one GPU of a host with "gpu", only its links with "link", its coolant loop with "pump".

        kind: one of `KINDS`. name: of a ship, site or gateway, or as "relay 12"; a link is named by its end: a host, a
        gateway, a relay (all four lasers) or "relay 12/3" (one). start_s, end_s: [Unix, UTC], None for good.
        Raises InputError for what is unknown, with the nearest name.
        """
        begin = float(start_s) - self._start_s
        end = math.inf if end_s is None else float(end_s) - self._start_s
        if not (math.isfinite(begin) and end > begin):
            raise InputError(Problem("inject", "needs a finite start, and an end after it or none"))
        found = [Outage(k, n, begin, end, EVENT) for k, n in self._subjects(kind, name)]
        self._injected += tuple(found)
        self._setup, self._block = self._with_injected(self._setup), None

    def state(self) -> dict[str, Any]:
        """All that lasts, as JSON has it: batteries, heat, lasers, faults; what a new twin needs to go on here."""
        at = self._tick * self.step_s
        left = [o for o in (*self._lasting, *self._injected) if o.end_s > at]
        ships = self._state
        return {
            "hosts": _print(self.hosts, self.step_s),
            "start_s": self._start_s,
            "seed": self._bare.spec.seed,
            "tick": self._tick,
            "segment": max(self._segment, 0),
            "outages": [[o.kind, o.subject, o.start_s, None if math.isinf(o.end_s) else o.end_s, o.cause] for o in left],
            "ships": None if ships is None else {
                "charge_j": ships.charge_j.tolist(), "attached": ships.attached.tolist(), "acquiring_s": ships.acquiring_s.tolist(),
                **{k: getattr(ships.heat, k).tolist() for k in Heat.__slots__},
            },
            "gpus": None if self._gpus is None else self._gpus.tolist(),
            "within": [[place, limit_s, near.tolist()] for (place, limit_s), near in self._within.items()],
        }  # fmt: skip

    def _restore(self, state: Mapping[str, Any]) -> None:
        if state["hosts"] != _print(self.hosts, self.step_s):
            raise InputError(Problem("", "the twin's state is of another scenario", next="Begin without it"))
        self._tick = int(state["tick"])
        rows = [
            Outage(k, int(n), float(a), math.inf if b is None else float(b), c) for k, n, a, b, c in state["outages"]
        ]
        self._injected = tuple(o for o in rows if o.cause == EVENT)
        self._lasting = tuple(o for o in rows if o.cause != EVENT)
        self._segment = int(state["segment"])
        self._setup = self._with_injected(self._drawn())
        if state["ships"] is not None:
            kept = {k: np.array(v) for k, v in state["ships"].items()}
            rest = start(self._setup, self._ahead()[0].block)
            self._state = replace(
                rest, charge_j=kept["charge_j"], heat=Heat(**{k: kept[k] for k in Heat.__slots__}),
                attached=kept["attached"].reshape(rest.attached.shape).astype(np.int64),
                acquiring_s=kept["acquiring_s"].reshape(rest.attached.shape),
            )  # fmt: skip
        self._gpus = None if state["gpus"] is None else np.array(state["gpus"], np.int64)
        self._within = {(place, limit_s): np.array(near, np.bool_) for place, limit_s, near in state["within"]}

    # -- what is in force

    def _ahead(self) -> tuple[_Ahead, int]:
        """The block of the next tick, and its row there; blocks lie on a grid, so that a restored twin has the same."""
        segment = self._tick // self._segment_ticks
        if segment != self._segment:
            self._turn(segment)
        if self._block is None or self._tick >= self._block.block.first + len(self._block.block.time_s):
            first = max(self._tick // WINDOW * WINDOW, segment * self._segment_ticks)
            end = min((self._tick // WINDOW + 1) * WINDOW, (segment + 1) * self._segment_ticks)
            self._block = self._made(first, (np.arange(first, end) + np.float64(0.5)) * np.float64(self.step_s))
        return self._block, self._tick - self._block.block.first

    def _made(self, first: int, time_s: Floats) -> _Ahead:
        """A block, with ships whose links are cut where no laser finds them, and loops whose pumps stand."""
        there, made = self._setup.hosts, block(self._setup, first, time_s, None)
        on, struck = self._bare.spec.couplings.faults, (*self._setup.outages, *self._setup.happenings.struck)
        failed = [o for o in struck if on or o.cause == EVENT]
        site_up = share_up(failed, "site", there.sites, time_s, self.step_s)
        cut = share_up(self._injected, CUT, len(there.names), time_s, self.step_s) < 0.5
        away = cut[:, : there.ships, None]
        stalled = share_up(self._injected, PUMP, there.ships, time_s, self.step_s) < 0.5
        aloft_m, fixed_m = (np.where(away, np.nan, p) for p in (made.ships.inertial_m, made.ships.fixed_m))
        health = made.health or Health(*(np.ones(stalled.shape) for _ in range(3)))
        health = replace(health, loop=np.where(stalled, STALLED * health.loop, health.loop))
        blind = replace(made, ships=replace(made.ships, inertial_m=aloft_m, fixed_m=fixed_m), health=health)
        return _Ahead(blind, made.ships.fixed_m, np.concatenate([made.ship_up, site_up], axis=1) >= 0.5, cut)

    def _turn(self, segment: int) -> None:
        """Draw the faults of a new segment; those of the last that are not over go on."""
        begin = segment * self._segment_ticks * self.step_s
        if self._segment >= 0:
            self._lasting = tuple(o for o in self._setup.outages if o.end_s > begin and o.cause != EVENT)
        self._injected = tuple(o for o in self._injected if o.end_s > begin)
        self._segment = segment
        self._setup, self._block = self._with_injected(self._drawn()), None

    def _drawn(self) -> Setup:
        """The setup with the faults and manoeuvres of the present segment."""
        n, fresh = self._segment, self._fresh
        if n == 0:
            return fresh
        length_s = self._segment_ticks * self.step_s
        begin_s, seed = n * length_s, int(stream(self._bare.spec.seed, f"segment {n}").integers(2**62))
        drawn = replace(self._bare, spec=self._bare.spec.model_copy(update={"seed": seed}))
        found = faults.outages(
            drawn, fresh.hosts, fresh.relay_count, len(fresh.gateways.names), planes(fresh.group, fresh.ships)
        )  # what is out from the first second is not drawn again: what was out before still is
        late = tuple(_later(o, begin_s) for o in found if o.start_s > 0.0)
        whole = replace(self._bare, spec=self._bare.spec.model_copy(update={"duration": begin_s + length_s}))
        planned = tuple(o for o in manoeuvres(whole, fresh.fleet, fresh.group).planned if o.end_s > begin_s)
        by_chance = tuple(_later(o, begin_s) for o in avoidances(drawn, fresh.hosts.ships))
        moved = Manoeuvres(planned, by_chance, fresh.manoeuvres.delta_v_m_s, fresh.manoeuvres.thrust_w)
        return replace(fresh, scenario=whole, outages=(*self._lasting, *late), manoeuvres=moved)

    def _with_injected(self, setup: Setup) -> Setup:
        own = [o for o in setup.outages if o.cause != EVENT]
        return replace(setup, outages=(*own, *(o for o in self._injected if o.kind not in (CUT, PUMP))))

    def _subjects(self, kind: str, name: str) -> list[tuple[str, int]]:
        """What an injection takes out, as kinds and numbers of outages."""
        there, stations, relays = self._setup.hosts, self._setup.gateways.names, self._setup.relay_count
        ships, sites = there.names[: there.ships], there.names[there.ships :]
        known = {
            "ship": {n: [("ship", k)] for k, n in enumerate(ships)},
            "site": {n: [("site", j)] for j, n in enumerate(sites)},
            "gateway": {n: [("gateway", w)] for w, n in enumerate(stations)},
            "relay": {f"relay {r}": [("relay", r)] for r in range(relays)},
            "gpu": {n: [("gpu", h)] for h, n in enumerate(there.names)},
            "link": {n: [(CUT, h)] for h, n in enumerate(there.names)},
            "pump": {n: [(PUMP, k)] for k, n in enumerate(ships)},
        }
        if kind not in known:
            raise InputError(unknown("inject", "kind of fault", kind, KINDS))
        names = known[kind]
        if kind == "link":
            sides = range(faults.TERMINALS)
            names = known["gateway"] | names
            for r in range(relays):
                names[f"relay {r}"] = [("link", faults.TERMINALS * r + s) for s in sides]
                names |= {f"relay {r}/{s}": [("link", faults.TERMINALS * r + s)] for s in sides}
        if name not in names:
            raise InputError(unknown("inject", "end of a link" if kind == "link" else kind, name, names))
        return names[name]

    # -- what a tick came to

    def _load(self, load: Mapping[str, float]) -> Floats:
        """GPUs at work on each ship (K,)."""
        place = {name: h for h, name in enumerate(self.hosts)}
        problems = [unknown("load", "host", name, place) for name in load if name not in place]
        problems += [
            Problem(f"load.{name}", "must be a number of GPUs") for name, g in load.items() if not 0.0 <= g < math.inf
        ]
        if problems:
            raise InputError(problems)
        busy = np.zeros(len(place))
        for name, gpus in load.items():
            busy[place[name]] = gpus
        return busy[: self._fresh.hosts.ships]

    def _look(self, watch: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
        """Know the places of the watched pairs, and forget the pairs that are watched no longer."""
        pairs = list(dict.fromkeys((place, float(limit_s)) for place, limit_s in watch))
        problems = [Problem("watch", f"a round trip of {s} s to '{p}'") for p, s in pairs if not 0.0 < s < math.inf]
        rows, _ = self._asking
        names = list(dict.fromkeys(place for place, _ in pairs))
        if set(names) - set(rows):
            found = [self._place(name) for name in names]
            problems += [p for p in found if isinstance(p, Problem)]
            places = tuple(p for p in found if isinstance(p, Place))
            if not problems:
                self._asking = ({name: n for n, name in enumerate(names)}, seen_from(self._fresh, places))
        if problems:
            raise InputError(problems)
        self._within = {pair: near for pair, near in self._within.items() if pair in pairs}
        return pairs

    def _place(self, name: str) -> Place | Problem:
        """A place of the scenario, or a city or gateway of the catalog."""
        own = {p.name: p for p in self._added}
        return own.get(name) or find_place(self._bare.catalog, name)

    def _now(self, ahead: _Ahead, i: int, tick: Tick, time_s: float) -> Now:
        there, left, c = self._setup.hosts, ahead.block.working[i], tick.capacity
        below = np.tile(left[there.ships :], (3, 1))
        paused = ahead.block.paused[i]
        aloft = np.concatenate([np.stack([c.power, c.heat, np.where(paused, c.heat, c.radiation)]), below], axis=1)
        sites_reached = (ahead.up & ~ahead.cut)[i, there.ships :]
        return Now(
            time_s=time_s,
            installed=there.gpus,
            left=np.concatenate([left[None, :], aloft]),
            lit=np.concatenate([ahead.block.light.lit[i], np.ones(there.sites)]),
            gateway_share=np.concatenate([tick.mesh.share, sites_reached.astype(np.float64)]),
            up=ahead.up[i],
            paused=np.concatenate([paused, np.zeros(there.sites, np.bool_)]),
        )

    def _crossed(self, now: Now) -> list[Condition]:
        """Conditions that changed; all of them at first."""
        told = tell(now, self._gpus)
        new = np.flatnonzero(np.ones(len(self.hosts)) if self._told is None else told.differs(self._told))
        self._told, self._gpus, limits = told, told.gpus, now.limits
        return [
            Condition(self.hosts[h], now.time_s, int(told.gpus[h]), limits[h], *(bool(f) for f in told.flags[:, h]))
            for h in new.tolist()
        ]

    def _reached(self, pairs: list[tuple[str, float]], ahead: _Ahead, i: int, tick: Tick, time_s: float) -> list[Reach]:
        """Watched pairs that a host came within or left; all hosts for a pair that is new."""
        if not pairs:
            self._watched, self._trips = frozenset(), {}
            return []
        rows, setup = self._asking
        setup = setup.at(float(ahead.block.time_s[i]))
        open_now = in_service(tick.mesh.gateways, ahead.block.gateway_up[i])
        trip_s = np.asarray(reach.ways(setup, tick.mesh.sky, tick.mesh.links, open_now).round_trip_s, np.float64)
        trip_s = np.where(
            ahead.cut[i] | ~ahead.up[i],
            np.inf,
            trip_s if setup.scenario.spec.couplings.access else np.zeros_like(trip_s),
        )
        found: list[Reach] = []
        for place, limit_s in pairs:
            before = self._within.get((place, limit_s))
            within = still_within(before, trip_s[rows[place]], limit_s)
            known = before is not None and (place, limit_s) in self._watched
            new = np.flatnonzero(within != before) if known else np.arange(len(within))
            found += [Reach(self.hosts[h], place, limit_s, bool(within[h]), time_s) for h in new.tolist()]
            self._within[place, limit_s] = within
        self._trips = {
            place: {
                name: round(float(t), 6)
                for name, t in zip(self.hosts, trip_s[rows[place]], strict=True)
                if math.isfinite(t)
            }
            for place in dict.fromkeys(place for place, _ in pairs)
        }
        self._watched = frozenset(pairs)
        return found

    def _gone_s(self, after: State, ahead: _Ahead, i: int, now: Now) -> Floats:
        """Until each host is out of reach by what orbits alone will bring, inf where that is not in sight (H,) [s].

        The mesh of the next ticks is made as it will be if nothing fails: faults, drawn or injected, are not foreseen; cuts
        that are there last. after: the state after the present tick.
        """
        made = np.where(now.contact, np.inf, 0.0)
        attached, acquiring_s = after.attached, after.acquiring_s
        for n in range(1, FORESEEN + 1):
            later = self._later(i + n, ahead)
            if later is None:
                break
            calm, j = later
            setup = self._setup.at(float(calm.time_s[j]))
            mesh, attached, acquiring_s = connect(
                setup, replace(after, attached=attached, acquiring_s=acquiring_s), calm, j
            )
            lost = np.append(mesh.share <= 0.5, np.zeros(self._fresh.hosts.sites, np.bool_))
            made = np.where(lost & np.isinf(made), n * self.step_s, made)
        return made

    def _later(self, i: int, ahead: _Ahead) -> tuple[Block, int] | None:
        """A tick to come, of the present block or the next, as it will be if nothing fails; None beyond the present draw of faults."""
        count = len(ahead.block.time_s)
        if i >= count:
            first, end = ahead.block.first + count, (self._segment + 1) * self._segment_ticks
            if first >= end:
                return None
            if self._next is None or self._next.block.first != first:
                times = np.arange(first, min(first + WINDOW, end))
                self._next = self._made(first, (times + np.float64(0.5)) * np.float64(self.step_s))
            ahead, i = self._next, i - count
            if i >= len(ahead.block.time_s):
                return None
        block = ahead.block
        ones = np.ones_like(block.ship_up), np.ones_like(block.gateway_up)
        return replace(
            block, ship_up=ones[0], gateway_up=ones[1], links_down=(np.zeros(0, np.int64),) * len(block.time_s)
        ), i

    def _hosts(self, ahead: _Ahead, i: int, tick: Tick, now: Now, gone_s: Floats) -> tuple[HostFrame, ...]:
        """Every host as it is."""
        there, limits = self._setup.at(float(ahead.block.time_s[i])).hosts, now.limits
        where = np.stack(ground.geodetic(ahead.fixed_m[i]), axis=1)
        light_s = ahead.block.outlook.light_s[i]
        made = []
        for h, name in enumerate(there.names):
            flies = h < there.ships
            spot = where[h] if flies else (*self._stand[h - there.ships], 0.0)
            made.append(HostFrame(
                name=name, group=there.group[h], accelerator=there.accelerator[h], country=there.country[h],
                kind="ship" if flies else "site", gpus_installed=float(there.gpus[h]), gpus_usable=float(now.usable[h]),
                limit=limits[h], lit=float(now.lit[h]),
                charge_share=float(tick.energy.charge_j[h] / max(self._setup.fleet.battery_j[h], 1.0)) if flies else None,
                chip_k=float(tick.heat.chip_k[h]) if flies else None,
                coolant_k=float(tick.heat.coolant_k[h]) if flies else None,
                radiator_k=float(tick.heat.radiator_k[h]) if flies else None,
                contact=bool(now.contact[h]), gateway_share=float(now.gateway_share[h]),
                link_bit_s=float(tick.mesh.rate_bit_s[h]) if flies else None,
                gpu_full_w=float(there.full_w[h]), energy_usd_j=float(there.energy_usd_j[h]),
                latitude_deg=math.degrees(spot[0]), longitude_deg=math.degrees(spot[1]), altitude_m=float(spot[2]),
                eclipse_in_s=float(light_s[h]) if flies and math.isfinite(light_s[h]) else None, up=bool(now.up[h]), paused=bool(now.paused[h]),
                gone_in_s=float(gone_s[h]) if math.isfinite(gone_s[h]) else None,
            ))  # fmt: skip
        return tuple(made)


@dataclass(frozen=True)
class _Ahead:
    """A block, and what the twin adds to it."""

    block: Block  # ships whose links are cut stand nowhere in it
    fixed_m: Floats  # (T, K, 3) where ships are
    up: Bools  # (T, H) hosts in service
    cut: Bools  # (T, H) hosts whose links are cut


def _bare(scenario: Scenario, start_s: float, seed: int | None) -> Scenario:
    """The scenario from another start, without what it asks of its hosts and what only a run records."""
    try:
        begin = datetime.fromtimestamp(start_s, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(Problem("start_s", f"{start_s} is no date in seconds since 1970")) from error
    spec = scenario.spec
    towns = spec.ground.cities.model_copy(update={"largest": 0, "add": ()})
    silent = {
        "start": begin, "seed": spec.seed if seed is None else seed, "workloads": (), "jobs": (), "probes": (), "watch": None,
        "ground": spec.ground.model_copy(update={"cities": towns, "coverage_cells": 0}),
    }  # fmt: skip
    return replace(scenario, spec=spec.model_copy(update=silent))


def _later(outage: Outage, by_s: float) -> Outage:
    return replace(outage, start_s=outage.start_s + by_s, end_s=outage.end_s + by_s)


def _print(hosts: tuple[str, ...], step_s: float) -> str:
    """What tells one fleet from another."""
    return hashlib.sha256("\n".join((*hosts, str(step_s))).encode()).hexdigest()[:16]
