"""What a window of ticks writes down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.tables import Floats
from aether.engine.assemble import Setup
from aether.engine.block import Block
from aether.engine.tick import Tick
from aether.engine.work_record import WorkRecord
from aether.network import access

TABLES = {
    "energy": (
        "lit", "array_cosine", "array_w", "curtailed_w", "bus_w", "gpu_w", "charge_w", "discharge_w", "charge_j",
        "charge_share", "shed_w",
    ),
    "heat": ("sink_k", "chip_k", "coolant_k", "radiator_k", "rejected_w"),
    "radiation": ("dose_rad_s", "anomaly", "upset_s", "corruption_s"),
    "capacity": (
        "installed", "working", "power", "heat", "radiation", "reach", "placed", "delivered", "reach_share", "attached",
        "link_bit_s",
    ),
}  # fmt: skip
SHIP_COLUMNS = tuple(column for columns in TABLES.values() for column in columns)
LATITUDE_BANDS = 18  # of ten degrees
HOURS = 24  # of local solar time
WINDOW_BYTES = 64e6  # of a record: fewer ticks at a time for larger fleets


@dataclass
class Standing:
    """What goes on from window to window."""

    network: bool  # whether latencies of cities, cells and probes are measured
    cell_covered: Floats  # (N,) ticks so far
    cell_rtt_s: Floats  # (N,) sum over covered ticks
    hours: access.Coverage  # by latitude band and local solar time
    paths: list[tuple[int, ...]]  # last path of each probe
    owed: Floats  # (K,) work taken back from windows that are written already, still to be made good

    @classmethod
    def empty(cls, setup: Setup, network: bool) -> Standing:
        """Before the first tick."""
        cells, probes = (len(s) if network else 0 for s in (setup.cells.fixed_m, setup.probes))
        hours = access.coverage(LATITUDE_BANDS, HOURS)
        return cls(network, np.zeros(cells), np.zeros(cells), hours, [()] * probes, np.zeros(len(setup.fleet.name)))


@dataclass
class Record:
    """Arrays of a window, filled tick by tick. Ships (T, K), probes (T, P), cities (T, C)."""

    first: int  # tick number of row 0
    time_s: Floats  # (T,)
    ships: dict[str, np.ndarray]
    handovers: np.ndarray  # (T,)
    links_alive: np.ndarray  # (T,)
    rtt_s: np.ndarray  # (T, P) propagation, NaN in an outage
    delivered_s: np.ndarray  # (T, P)
    hops: np.ndarray  # (T, P)
    changed: np.ndarray  # (T, P)
    city_rtt_s: np.ndarray  # (T, C) propagation to the nearest ship that computes, NaN without one
    city_gateway_rtt_s: np.ndarray  # (T, C) the same by local fibre and a gateway
    work: WorkRecord  # what was asked and served; empty where nothing is asked
    standing: Standing

    @classmethod
    def empty(cls, setup: Setup, first: int, time_s: Floats, standing: Standing) -> Record:
        """A record with room for some ticks."""
        ticks, ships = len(time_s), len(setup.fleet.name)
        probes, cities = (len(s) if standing.network else 0 for s in (setup.probes, setup.cities.fixed_m))
        return cls(
            first, time_s, {c: np.zeros((ticks, ships), dtype=np.float32) for c in SHIP_COLUMNS},
            np.zeros(ticks, dtype=np.int32), np.zeros(ticks, dtype=np.int32), np.full((ticks, probes), np.nan),
            np.full((ticks, probes), np.nan), np.zeros((ticks, probes), dtype=np.int32), np.zeros((ticks, probes), dtype=np.bool_),
            np.full((ticks, cities), np.nan, dtype=np.float32), np.full((ticks, cities), np.nan, dtype=np.float32),
            WorkRecord.empty(setup, ticks), standing,
        )  # fmt: skip

    def add(self, setup: Setup, block: Block, i: int, tick: Tick) -> None:
        """Write down the ships of one tick of a block."""
        t, e, h, c, m = block.first + i - self.first, tick.energy, tick.heat, tick.capacity, tick.mesh
        row = {
            "lit": block.light.lit[i], "array_cosine": block.pose.array_cosine[i], "array_w": e.array_w, "curtailed_w": e.curtailed_w,
            "bus_w": e.bus_w, "gpu_w": e.gpu_w, "charge_w": e.charge_w, "discharge_w": e.discharge_w,
            "charge_j": e.charge_j, "charge_share": e.charge_j / np.maximum(setup.fleet.battery_j, 1e-9), "shed_w": e.shed_w, "sink_k": block.pose.sink_k[i],
            "chip_k": h.chip_k, "coolant_k": h.coolant_k, "radiator_k": h.radiator_k, "rejected_w": h.rejected_w,
            "dose_rad_s": block.dose.dose_rad_s[i], "anomaly": block.paused[i], "upset_s": block.dose.upset_s[i],
            "corruption_s": block.dose.corruption_s[i], "installed": c.installed, "working": c.working, "power": c.power,
            "heat": c.heat, "radiation": c.radiation, "reach": c.reach, "reach_share": m.share, "attached": m.attached,
            "link_bit_s": m.rate_bit_s,
        }  # fmt: skip
        row["placed"], row["delivered"] = self.work.add(setup, t, tick)
        for name, values in row.items():
            self.ships[name][t] = values
        self._take_back(t)
        self.handovers[t] = m.handovers
        self.links_alive[t] = int((m.links.alive > 0).sum())

    def _take_back(self, t: int) -> None:
        """Work lost to an interruption is taken from the ticks that did it, so that no tick delivers less than nothing.

        What was done in windows before, which are written already, is taken from the ticks that follow.
        """
        delivered, standing = self.ships["delivered"], self.standing
        paid = np.minimum(np.maximum(delivered[t], 0.0), standing.owed)
        delivered[t] -= paid
        standing.owed -= paid
        owed = np.maximum(-delivered[t], 0.0)
        delivered[t] += owed
        while owed.any() and t > 0:
            t -= 1
            taken = np.minimum(delivered[t], owed)
            delivered[t], owed = delivered[t] - taken, owed - taken
        standing.owed += owed


def window(setup: Setup, side_by_side: int = 1) -> int:
    """Ticks in a record, so that memory grows neither with the run nor much with the fleet."""
    asked = setup.work.some * (len(setup.work.services) * 7 * len(setup.cities.names) + 5 * len(setup.hosts.names))
    tick_bytes = 4.0 * (len(SHIP_COLUMNS) * len(setup.fleet.name) + 2 * len(setup.cities.names) + asked)
    return int(max(1, WINDOW_BYTES / max(tick_bytes * side_by_side, 1.0)))
