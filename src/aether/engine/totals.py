"""What a run comes to, summed window by window: its size does not depend on how long the run is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from aether.base.events import Search
from aether.base.tables import Floats, Ints
from aether.engine.assemble import Setup
from aether.engine.record import SHIP_COLUMNS, Record, Standing
from aether.engine.running import Peak
from aether.engine.work_totals import WorkTotals

STAGES = ("installed", "working", "power", "heat", "radiation", "reach", "placed", "delivered")
LEAST, MOST = ("charge_share", "sink_k", "link_bit_s"), ("chip_k", "coolant_k", "sink_k")


@dataclass
class ShipTotals:
    """Of every ship (K,), over all ticks."""

    load_w: Floats  # full load of GPUs and bus
    sums: dict[str, Floats]  # of every column of the record
    least: dict[str, Floats]
    most: dict[str, Floats]
    sink: Peak  # of the radiator's sink
    gaps: Peak  # of compute lost by the fleet to each stage but the first
    throttled: Ints  # ticks at the heat limit
    lack_w: Floats  # sum of what the array lacks for full load
    spare_w: Floats  # sum of what it makes beyond
    dark_w: Floats  # sum of what it lacks in the darkness that goes on
    darkest_w: Floats  # the largest such sum of one darkness [W ticks]
    paused: dict[str, Floats]  # sums of upset rates in pauses
    owed: Floats  # work taken back that no later tick has made good

    @classmethod
    def empty(cls, setup: Setup) -> ShipTotals:
        """Nothing yet."""
        fleet, ships = setup.fleet, len(setup.fleet.name)
        eldest = np.unique(setup.group, return_index=True)[1]  # the first ship of each group speaks for it
        load_w = (fleet.gpus * fleet.gpu_full_w + fleet.bus_w)[eldest][setup.group] if ships else np.zeros(0)
        zero = np.zeros(ships)
        return cls(
            load_w, {c: zero.copy() for c in SHIP_COLUMNS}, {c: np.full(ships, np.inf) for c in LEAST},
            {c: np.full(ships, -np.inf) for c in MOST}, Peak(ships), Peak(len(STAGES) - 1), zero.astype(np.int64),
            zero.copy(), zero.copy(), zero.copy(), zero.copy(), {c: zero.copy() for c in ("upset_s", "corruption_s")}, zero,
        )  # fmt: skip

    def add(self, record: Record) -> None:
        """Go on with a window."""
        s = record.ships
        for name, total in self.sums.items():
            total += s[name].sum(axis=0, dtype=np.float64)
        self.sums["delivered"] -= record.standing.owed - self.owed
        self.owed = record.standing.owed.copy()
        for name, least in self.least.items():
            np.minimum(least, s[name].min(axis=0), out=least)
        for name, most in self.most.items():
            np.maximum(most, s[name].max(axis=0), out=most)
        self.sink.add(record.first, s["sink_k"])
        stages = [s[name] for name in STAGES]
        gaps = [(a - b).sum(axis=1, dtype=np.float64) for a, b in pairwise(stages)]
        self.gaps.add(record.first, np.stack(gaps, axis=1))
        self.throttled += (s["heat"] < s["power"] * (1 - 1e-6)).sum(axis=0)
        paused = s["anomaly"] > 0
        for name, total in self.paused.items():
            total += np.where(paused, s[name], 0.0).sum(axis=0, dtype=np.float64)
        self._add_power(s["array_w"].astype(np.float64), s["lit"] < 0.5)

    def _add_power(self, array_w: Floats, dark: np.ndarray) -> None:
        lack_w = np.maximum(self.load_w - array_w, 0.0)
        self.lack_w += lack_w.sum(axis=0)
        self.spare_w += np.maximum(array_w - self.load_w, 0.0).sum(axis=0)
        for row in np.where(dark, lack_w, 0.0):
            self.dark_w = np.where(row > 0.0, self.dark_w + row, 0.0)
            np.maximum(self.darkest_w, self.dark_w, out=self.darkest_w)


@dataclass
class Distances:
    """Of every probe (P,) and city (C,), over all ticks."""

    probe_ticks: Ints  # with a path
    probe_sums: dict[str, Floats]
    probe_least_s: Floats
    probe_most_s: Floats
    city_ticks: Ints  # with a path
    city_rtt_s: Floats  # sum

    @classmethod
    def empty(cls, probes: int, cities: int) -> Distances:
        """Nothing yet."""
        sums = {c: np.zeros(probes) for c in ("rtt_s", "delivered_s", "hops", "changed")}
        return cls(
            np.zeros(probes, dtype=np.int64), sums, np.full(probes, np.inf), np.full(probes, -np.inf),
            np.zeros(cities, dtype=np.int64), np.zeros(cities),
        )  # fmt: skip

    def add(self, record: Record) -> None:
        """Go on with a window."""
        here = np.isfinite(record.rtt_s)
        self.probe_ticks += here.sum(axis=0)
        for name, total in self.probe_sums.items():
            values = getattr(record, name)
            total += (values if name == "changed" else np.where(here, values, 0.0)).sum(axis=0)
        np.minimum(self.probe_least_s, np.where(here, record.rtt_s, np.inf).min(axis=0), out=self.probe_least_s)
        np.maximum(self.probe_most_s, np.where(here, record.rtt_s, -np.inf).max(axis=0), out=self.probe_most_s)
        self.city_ticks += np.isfinite(record.city_rtt_s).sum(axis=0)
        self.city_rtt_s += np.nansum(record.city_rtt_s, axis=0, dtype=np.float64)


@dataclass
class Totals:
    """Everything that the summary is made from."""

    ticks: int
    handovers: int
    links_alive: int  # sum
    ships: ShipTotals
    distances: Distances
    standing: Standing
    work: WorkTotals
    searches: dict[str, Search]  # events of ships by kind

    @classmethod
    def empty(cls, setup: Setup, network: bool) -> Totals:
        """Nothing yet; without `network` for ships and work alone."""
        searches = {
            "eclipse": Search(0.5, above=False), "anomaly": Search(0.5), "outage": Search(0.5, above=False),
            "limit": Search(1e-6 * setup.fleet.gpus),
        }  # fmt: skip
        far = Distances.empty(*(len(s) if network else 0 for s in (setup.probes, setup.cities.fixed_m)))
        standing = Standing.empty(setup, network)
        return cls(0, 0, 0, ShipTotals.empty(setup), far, standing, WorkTotals.empty(setup), searches)

    def add(self, setup: Setup, record: Record) -> None:
        """Go on with a window, once it is full."""
        self.ticks += len(record.time_s)
        self.handovers += int(record.handovers.sum())
        self.links_alive += int(record.links_alive.sum())
        self.ships.add(record)
        self.distances.add(record)
        if setup.work.some:
            self.work.add(setup, record.first, record.time_s, record.work)
        s = record.ships
        searched = {
            "eclipse": s["lit"],
            "anomaly": s["anomaly"],
            "outage": s["reach_share"],
            "limit": s["power"] - s["heat"],
        }
        for kind, values in searched.items():
            self.searches[kind].add(record.time_s, values)
