"""What a run writes down, tick by tick, and the tables it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from aether.base.clock import DAY_S
from aether.base.tables import Event, Floats, Ints
from aether.engine import work_record
from aether.engine.assemble import Setup
from aether.engine.block import Block
from aether.engine.tick import Tick
from aether.engine.work_record import WorkRecord
from aether.network import access
from aether.space import ground, motion, sun

SHIP_COLUMNS = (
    "lit", "array_cosine", "array_w", "curtailed_w", "bus_w", "gpu_w", "charge_w", "discharge_w", "charge_j", "charge_share", "shed_w",
    "sink_k", "chip_k", "coolant_k", "radiator_k", "rejected_w", "dose_rad_s", "anomaly", "upset_s", "corruption_s",
    "installed", "working", "power", "heat", "radiation", "reach", "placed", "delivered", "reach_share", "attached", "link_bit_s",
)  # fmt: skip
TABLES = {
    "energy": (
        "lit",
        "array_cosine",
        "array_w",
        "curtailed_w",
        "bus_w",
        "gpu_w",
        "charge_w",
        "discharge_w",
        "charge_j",
        "charge_share",
        "shed_w",
    ),
    "heat": ("sink_k", "chip_k", "coolant_k", "radiator_k", "rejected_w"),
    "radiation": ("dose_rad_s", "anomaly", "upset_s", "corruption_s"),
    "capacity": (
        "installed",
        "working",
        "power",
        "heat",
        "radiation",
        "reach",
        "placed",
        "delivered",
        "reach_share",
        "attached",
        "link_bit_s",
    ),
}
LATITUDE_BANDS = 18  # of ten degrees
HOURS = 24  # of local solar time


@dataclass
class Record:
    """Arrays filled as the run goes. Ships (T, K), probes (T, P), cities (T, C)."""

    ships: dict[str, np.ndarray]
    handovers: np.ndarray  # (T,)
    links_alive: np.ndarray  # (T,)
    rtt_s: np.ndarray  # (T, P) propagation, NaN in an outage
    delivered_s: np.ndarray  # (T, P)
    hops: np.ndarray  # (T, P)
    changed: np.ndarray  # (T, P)
    city_rtt_s: np.ndarray  # (T, C) propagation to the nearest ship that computes, NaN without one
    city_gateway_rtt_s: np.ndarray  # (T, C) the same by local fibre and a gateway
    cell_covered: np.ndarray  # (N,) ticks
    cell_rtt_s: np.ndarray  # (N,) sum over covered ticks
    hours: access.Coverage  # by latitude band and local solar time
    work: WorkRecord  # what was asked and served; empty where nothing is asked
    paths: list[tuple[int, ...]] = field(default_factory=list)  # last path of each probe

    @classmethod
    def empty(cls, setup: Setup, network: bool) -> Record:
        """A record with room for the whole run; without `network` for the ships alone."""
        ticks, ships = setup.scenario.clock.ticks, len(setup.fleet.name)
        probes, cities, cells = (
            len(s) if network else 0 for s in (setup.probes, setup.cities.fixed_m, setup.cells.fixed_m)
        )
        return cls(
            {c: np.zeros((ticks, ships), dtype=np.float32) for c in SHIP_COLUMNS}, np.zeros(ticks, dtype=np.int32),
            np.zeros(ticks, dtype=np.int32), np.full((ticks, probes), np.nan), np.full((ticks, probes), np.nan),
            np.zeros((ticks, probes), dtype=np.int32), np.zeros((ticks, probes), dtype=np.bool_),
            np.full((ticks, cities), np.nan, dtype=np.float32), np.full((ticks, cities), np.nan, dtype=np.float32),
            np.zeros(cells), np.zeros(cells), access.coverage(LATITUDE_BANDS, HOURS),
            WorkRecord.empty(setup), [()] * probes,
        )  # fmt: skip

    def add(self, setup: Setup, block: Block, i: int, tick: Tick) -> None:
        """Write down the ships of one tick."""
        t, e, h, c, m = block.first + i, tick.energy, tick.heat, tick.capacity, tick.mesh
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
        _take_back(self.ships["delivered"], t)
        self.handovers[t] = m.handovers
        self.links_alive[t] = int((m.links.alive > 0).sum())


def _take_back(delivered: np.ndarray, t: int) -> None:
    """Work lost to an interruption is taken from the ticks that did it, so that no tick delivers less than nothing."""
    owed = np.maximum(-delivered[t], 0.0)
    delivered[t] += owed
    while owed.any() and t > 0:
        t -= 1
        taken = np.minimum(delivered[t], owed)
        delivered[t], owed = delivered[t] - taken, owed - taken


def tables(setup: Setup, record: Record, events: list[Event]) -> dict[str, pa.Table]:
    """The record as Arrow tables; times in seconds from the scenario's start, SI units in the column names."""
    clock = setup.scenario.clock
    times = clock.times()
    names = pa.array(setup.fleet.name)
    made: dict[str, pa.Table] = {}
    for table, kept in TABLES.items():
        made[table] = pa.table(_keys(times, "ship", names) | {c: record.ships[c].ravel() for c in kept})
    if len(setup.probes):
        label = pa.array([f"{a.name} - {b.name}" for a, b in setup.probes])
        columns = ("rtt_s", "delivered_s", "hops", "changed")
        made["probes"] = pa.table(_keys(times, "probe", label) | {c: getattr(record, c).ravel() for c in columns})
    if len(setup.cities.names):
        made["cities"] = pa.table(_keys(times, "city", pa.array(setup.cities.names)) | {
            "rtt_s": record.city_rtt_s.ravel(), "rtt_by_gateway_s": record.city_gateway_rtt_s.ravel(),
            "sun_elevation_deg": _sun_elevation(setup, times).ravel()})  # fmt: skip
    if len(setup.cells.fixed_m):
        seen = np.maximum(record.cell_covered, 1)
        made["coverage"] = pa.table({
            "latitude_deg": np.degrees(setup.cells.latitude_rad), "longitude_deg": np.degrees(setup.cells.longitude_rad),
            "covered_share": record.cell_covered / clock.ticks,
            "rtt_mean_s": np.where(record.cell_covered > 0, record.cell_rtt_s / seen, np.nan)})  # fmt: skip
        made["coverage_hours"] = _hours(record)
    made["network"] = pa.table({"time_s": times, "handovers": record.handovers, "links_alive": record.links_alive})
    made["events"] = pa.table(
        {k: [getattr(e, k) for e in events] for k in ("kind", "subject", "start_s", "end_s", "value")}
    )
    made["gateways"] = pa.table({"name": list(setup.gateways.names), "latitude_deg": np.degrees(setup.gateways.latitude_rad),
                                 "longitude_deg": np.degrees(setup.gateways.longitude_rad), "open_share": setup.gateway_open})  # fmt: skip
    made["places"] = _places(setup)
    return made | work_record.tables(setup, record.work, _keys)


def _sun_elevation(setup: Setup, times: Floats) -> np.ndarray:
    """Day and night over the cities (T, C) [deg]."""
    towards = sun.to_fixed(sun.position(setup.julian + times / DAY_S)[:, None], sun.gmst_at(setup.julian, times))[:, 0]
    return np.degrees(ground.sun_elevation(setup.cities.fixed_m, towards)).astype(np.float32)


def _places(setup: Setup) -> pa.Table:
    """Where cities are, and where ships and relays are at the middle of the first tick."""
    first = setup.scenario.clock.times()[:1]
    fixed_m = [
        motion.propagate(s, first, setup.julian, inertial=False).fixed_m[0]
        for s in (setup.ships_ready, setup.relays_ready)
    ]
    latitude, longitude = ground.subpoint(np.concatenate(fixed_m))
    relays, cities = setup.relay_count, setup.cities
    return pa.table({
        "kind": ["city"] * len(cities.names) + ["ship"] * len(setup.fleet.name) + ["relay"] * relays,
        "name": [*cities.names, *setup.fleet.name, *(f"relay {i}" for i in range(relays))],
        "latitude_deg": np.degrees(np.concatenate([cities.latitude_rad, latitude])),
        "longitude_deg": np.degrees(np.concatenate([cities.longitude_rad, longitude])),
    })  # fmt: skip


def _keys(times: Floats, label: str, names: pa.Array) -> dict[str, pa.Array]:
    """Time and subject of every row, subjects as a dictionary so that they cost a byte or two."""
    index: Ints = np.tile(np.arange(len(names), dtype=np.int32), len(times))
    return {
        "time_s": pa.array(np.repeat(times, len(names))),
        label: pa.DictionaryArray.from_arrays(pa.array(index), names),
    }


def _hours(record: Record) -> pa.Table:
    band, hour = (a.ravel() for a in np.mgrid[0:LATITUDE_BANDS, 0:HOURS])
    seen, covered, total = (a.ravel() for a in (record.hours.samples, record.hours.covered, record.hours.latency_s))
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {
            "covered_share": np.where(seen > 0, covered / seen, np.nan),
            "rtt_mean_s": np.where(covered > 0, total / covered, np.nan),
        }
    return pa.table({"latitude_from_deg": band * 10.0 - 90.0, "local_hour": hour, **columns})
