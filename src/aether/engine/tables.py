"""The tables of a run: those that grow window by window, and those that are known at its end."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from aether.base.clock import DAY_S
from aether.base.tables import Floats, Ints
from aether.engine import work_record
from aether.engine.assemble import Setup
from aether.engine.record import HOURS, LATITUDE_BANDS, TABLES, Record, Standing
from aether.engine.totals import Totals
from aether.engine.work_summary import outage_events
from aether.space import ground, motion, sun


def growing(setup: Setup, record: Record) -> dict[str, pa.Table]:
    """A window as Arrow tables; times in seconds from the scenario's start, SI units in the column names."""
    times, names = record.time_s, pa.array(setup.fleet.name, pa.string())
    made: dict[str, pa.Table] = {}
    for table, kept in TABLES.items():
        made[table] = pa.table(_keys(times, "ship", names) | {c: record.ships[c].ravel() for c in kept})
    if record.rtt_s.shape[1]:
        label = pa.array([f"{a.name} - {b.name}" for a, b in setup.probes], pa.string())
        columns = ("rtt_s", "delivered_s", "hops", "changed")
        made["probes"] = pa.table(_keys(times, "probe", label) | {c: getattr(record, c).ravel() for c in columns})
    if record.city_rtt_s.shape[1]:
        made["cities"] = pa.table(_keys(times, "city", pa.array(setup.cities.names, pa.string())) | {
            "rtt_s": record.city_rtt_s.ravel(), "rtt_by_gateway_s": record.city_gateway_rtt_s.ravel(),
            "sun_elevation_deg": _sun_elevation(setup, times).ravel()})  # fmt: skip
    made["network"] = pa.table({"time_s": times, "handovers": record.handovers, "links_alive": record.links_alive})
    return made | work_record.tables(setup, times, record.work, _keys)


def closing(setup: Setup, totals: Totals) -> dict[str, pa.Table]:
    """The tables that one row of time does not make: coverage, events, where things are."""
    made: dict[str, pa.Table] = {}
    cells = totals.standing
    if len(cells.cell_covered):
        seen = np.maximum(cells.cell_covered, 1)
        made["coverage"] = pa.table({
            "latitude_deg": np.degrees(setup.cells.latitude_rad), "longitude_deg": np.degrees(setup.cells.longitude_rad),
            "covered_share": cells.cell_covered / totals.ticks,
            "rtt_mean_s": np.where(cells.cell_covered > 0, cells.cell_rtt_s / seen, np.nan)})  # fmt: skip
        made["coverage_hours"] = _hours(cells)
    made["events"] = events(setup, totals)
    made["gateways"] = pa.table({"name": list(setup.gateways.names), "latitude_deg": np.degrees(setup.gateways.latitude_rad),
                                 "longitude_deg": np.degrees(setup.gateways.longitude_rad), "open_share": setup.gateway_open})  # fmt: skip
    made["places"] = _places(setup)
    return made


def events(setup: Setup, totals: Totals) -> pa.Table:
    """The calendar of the run by begin: eclipses, anomaly passes, times without a path to a gateway, at the heat limit, faults."""
    faults = outage_events(setup)
    words = sorted({*totals.searches, *setup.fleet.name, *(e.kind for e in faults), *(e.subject for e in faults)})
    number = {word: n for n, word in enumerate(words)}  # in the words' own order
    ships = np.array([number[name] for name in setup.fleet.name], dtype=np.int32)
    parts = [[np.array([number[e.kind] for e in faults], dtype=np.int32), np.array([number[e.subject] for e in faults], dtype=np.int32),
              *(np.array([getattr(e, k) for e in faults], dtype=np.float64) for k in ("start_s", "end_s", "value"))]]  # fmt: skip
    for kind, search in totals.searches.items():
        found = search.found()
        kinds = np.full(len(found.subject), number[kind], dtype=np.int32)
        parts.append([kinds, ships[found.subject], found.start_s, found.end_s, found.value])
    kinds, subjects, start_s, end_s, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((subjects, kinds, start_s))
    named = {
        name: pa.DictionaryArray.from_arrays(pa.array(index[order]), pa.array(words, pa.string()))
        for name, index in (("kind", kinds), ("subject", subjects))
    }
    return pa.table(named | {"start_s": start_s[order], "end_s": end_s[order], "value": value[order]})


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


def _hours(cells: Standing) -> pa.Table:
    band, hour = (a.ravel() for a in np.mgrid[0:LATITUDE_BANDS, 0:HOURS])
    seen, covered, total = (a.ravel() for a in (cells.hours.samples, cells.hours.covered, cells.hours.latency_s))
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {
            "covered_share": np.where(seen > 0, covered / seen, np.nan),
            "rtt_mean_s": np.where(covered > 0, total / covered, np.nan),
        }
    return pa.table({"latitude_from_deg": band * 10.0 - 90.0, "local_hour": hour, **columns})
