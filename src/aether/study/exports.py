"""A scenario in the formats of others: what of the engine each needs, written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import numpy as np

from aether.base.errors import InputError, Problem, unknown
from aether.base.tables import Elements, Floats, Ints, Links
from aether.engine.assemble import Setup, assemble
from aether.engine.block import Block, block, window
from aether.engine.places import Sites
from aether.engine.run import Progress
from aether.engine.tick import connect, start
from aether.network import access, routing
from aether.results.export import czml, ns3, oem
from aether.scenario.load import Scenario
from aether.space import elements as element_sets
from aether.space import ground, motion, orbits

CHUNK_BYTES = 64e6  # what the states of the satellites in hand may take: bounds memory
STATE_BYTES = 72.0  # position in two frames and velocity
TLE_NAME = 24  # characters of a name in three-line element sets
LEAST_ECCENTRICITY = 1e-7  # the format's last digit: satgenpy's library of orbits refuses 0; 1.4 m in low orbit
SPARE = 1.001  # over the longest links, for readers whose geometry is coarser; ours
EARTH_RATE_RAD_S = 7.292115e-5  # WGS-84, NGA.STND.0036


@dataclass(frozen=True)
class Written:
    """What an export wrote."""

    path: str
    format: str
    files: int
    bytes: int
    counts: dict[str, float]
    seconds: float


def export(scenario: Scenario, form: str, out: Path, progress: Progress | None = None, links: bool = False) -> Written:
    """Write a scenario in another format; nothing is left behind when it fails.

    form: "czml" (a file), "oem" (a folder, one file per satellite) or "ns3" (a folder as Hypatia's). links: also draw
    laser links, in CZML. Returns what was written. Raises InputError for an unknown format, a folder that is not empty,
    a disk that is full and what only shows when the fleet is assembled.
    """
    if form not in FORMATS:
        raise InputError(unknown("", "format", form, FORMATS))
    if links and form != "czml":
        raise InputError(Problem("", "only CZML draws links", next="Leave --links out"))
    made, folder = FORMATS[form]
    _check(out, folder)
    begun = time.perf_counter()
    spec = scenario.spec.model_copy(update={"workloads": ()})  # work moves no satellite and no laser
    setup = assemble(replace(scenario, spec=spec))
    with _whole(out, folder) as part:
        counts = made(setup, part, progress or (lambda *_: None), links)
    found = [p for p in out.rglob("*") if p.is_file()] if folder else [out]
    size = sum(p.stat().st_size for p in found)
    return Written(str(out), form, len(found), size, counts, time.perf_counter() - begun)


def _check(out: Path, folder: bool) -> None:
    if folder and (out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir())))):
        raise InputError(Problem("", f"{out} is already there", next="Name an empty or new folder with --out"))
    if not folder and (out.is_symlink() or (out.exists() and not out.is_file())):
        raise InputError(Problem("", f"{out} is not a file", next="Name a file with --out"))
    parent = next(p for p in out.absolute().parents if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(Problem("", f"{out} cannot be written", next="Name another with --out"))


@contextmanager
def _whole(out: Path, folder: bool) -> Iterator[Path]:
    """A place beside `out` to write to, moved there once all is written."""
    out = out.absolute()
    made = [p for p in (out.parent, *out.parent.parents) if not p.exists()]
    part: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        target = part / out.name
        if folder:
            target.mkdir()
        yield target
        target.replace(out)
    except BaseException as error:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        if isinstance(error, OSError):
            what = f"cannot write {out}: {error.strerror or error}"
            raise InputError(Problem("", what, next="Nothing was written; name another with --out")) from error
        raise
    shutil.rmtree(part, ignore_errors=True)


def _satellites(setup: Setup, times: int) -> Iterator[tuple[Elements, list[str], list[str]]]:
    """Some satellites at a time: their elements, identifiers and, for ships, labels."""
    few = max(1, int(CHUNK_BYTES / (STATE_BYTES * times)))
    ships = [f"ship/{name}" for name in setup.fleet.name]
    relays = [f"relay/{i}" for i in range(setup.relay_count)]
    groups = ((setup.relays, relays, [""] * len(relays)), (setup.ships, ships, list(setup.fleet.name)))
    for elements, names, labels in groups:
        for first in range(0, len(names), few):
            cut = slice(first, first + few)
            part = Elements(*(getattr(elements, f.name)[cut] for f in fields(elements)))
            yield part, names[cut], labels[cut]


def _lasting(place_m: Floats) -> Ints:
    """How many states each satellite has before it decays: place_m (T, S, 3) -> (S,)."""
    gone = ~np.isfinite(place_m[..., 0])
    return np.where(gone.any(axis=0), gone.argmax(axis=0), len(place_m))


def _czml(setup: Setup, path: Path, progress: Progress, links: bool) -> dict[str, float]:
    clock = setup.scenario.clock
    rate, radius = _fastest(setup)
    step_s = czml.sample_step(rate + EARTH_RATE_RAD_S, radius)
    time_s = np.arange(max(czml.DEGREE + 1, int(np.ceil(clock.duration_s / step_s)) + 1)) * np.float64(step_s)
    total, done, written = setup.relay_count + len(setup.fleet.name), 0, 0
    with path.open("wb") as file:
        file.write(czml.opening(setup.scenario.spec.name, clock.epoch, clock.duration_s))
        for part, names, labels in _satellites(setup, len(time_s)):
            fixed_m = motion.positions(motion.prepare(part), time_s, setup.julian)
            for k, count in enumerate(_lasting(fixed_m)):
                if count:
                    file.write(czml.satellite(names[k], labels[k], clock.epoch, time_s[:count], fixed_m[:count, k]))
                    written += 1
            done += len(names)
            progress("satellites", done, total, names[-1])
        drawn = _draw(setup, file, progress) if links else 0
        file.write(czml.CLOSING)
    return {"satellites": written, "samples": len(time_s), "sample_step_s": step_s, "links": drawn}


def _fastest(setup: Setup) -> tuple[float, float]:
    """The fastest angular rate of any satellite round the Earth [rad/s], and the farthest from its centre [m]."""
    time_s = np.arange(8) * np.float64(900.0)  # two hours, an orbit and more
    rate, radius = 0.0, 0.0
    for part, _, _ in _satellites(setup, len(time_s)):
        track = motion.propagate(part, time_s, setup.julian)
        away = np.linalg.norm(track.inertial_m, axis=-1)
        speed = np.linalg.norm(track.velocity_m_s, axis=-1)
        rate, radius = max(rate, float(np.nanmax(speed / away))), max(radius, float(np.nanmax(away)))
    return rate, radius


def _draw(setup: Setup, file: IO[bytes], progress: Progress) -> int:
    """Write every laser link with the times it holds; returns how many there were."""
    clock, nodes = setup.scenario.clock, setup.relay_count + len(setup.fleet.name)
    names = [f"relay/{i}" for i in range(setup.relay_count)] + [f"ship/{name}" for name in setup.fleet.name]
    held: dict[int, list[tuple[float, float]]] = {}
    since: dict[int, float] = {}
    before = np.empty(0, np.int64)
    for tick, _, _, links in _network(setup, progress):
        now, at = _codes(links, nodes), tick * clock.step_s
        since |= dict.fromkeys(np.setdiff1d(now, before).tolist(), at)
        for code in np.setdiff1d(before, now).tolist():
            held.setdefault(code, []).append((since.pop(code), at))
        before = now
    for code, at in since.items():
        held.setdefault(code, []).append((at, clock.duration_s))
    for code in sorted(held):
        a, b = divmod(code, nodes)
        file.write(czml.link(f"link/{a}-{b}", (names[a], names[b]), clock.epoch, held[code]))
    return len(held)


def _codes(links: Links, nodes: int) -> Ints:
    """The links that carry data as sorted numbers, lower node x nodes + higher."""
    on = links.alive > 0.0
    a, b = links.a[on], links.b[on]
    return np.unique(np.minimum(a, b) * nodes + np.maximum(a, b))


def _network(setup: Setup, progress: Progress) -> Iterator[tuple[int, Block, int, Links]]:
    """The laser links at the beginning of every tick: its number, its block, its row there, the links."""
    clock = setup.scenario.clock
    state, pairs = None, None
    for first, time_s in clock.windows(window(setup)):
        ahead = block(setup, first, time_s - 0.5 * clock.step_s, pairs)
        pairs = ahead.mesh_pairs
        state = start(setup, ahead) if state is None else state
        for i in range(len(time_s)):
            mesh, attached, acquiring_s = connect(setup, state, ahead, i)
            state = replace(state, attached=attached, acquiring_s=acquiring_s)
            yield first + i, ahead, i, mesh.links
            if i % 10 == 0:
                progress("mesh", first + i, clock.ticks, f"{clock.date(time_s[i]):%Y-%m-%d %H:%M}")
    progress("mesh", clock.ticks, clock.ticks, "")


def _oem(setup: Setup, folder: Path, progress: Progress, _: bool) -> dict[str, float]:
    clock = setup.scenario.clock
    micro = np.rint(np.arange(clock.ticks + 1) * (clock.step_s * 1e6)).astype(np.int64)
    begin = np.datetime64(clock.epoch.astimezone(UTC).replace(tzinfo=None), "us")
    dates = np.datetime_as_string(begin + micro.astype("timedelta64[us]")).astype("S26")
    made = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
    total, done, written, states = setup.relay_count + len(setup.fleet.name), 0, 0, 0
    for part, names, labels in _satellites(setup, len(dates)):
        track = motion.propagate(part, micro / 1e6, setup.julian)
        for k, count in enumerate(_lasting(track.inertial_m)):
            if count:
                path = folder / f"{names[k]}.oem"
                path.parent.mkdir(parents=True, exist_ok=True)
                flown = (x[:count, k] for x in (track.inertial_m, track.velocity_m_s))
                path.write_bytes(oem.message(labels[k] or names[k], made, dates[:count], *flown))
                written, states = written + 1, states + int(count)
        done += len(names)
        progress("satellites", done, total, names[-1])
    return {"satellites": written, "states": states}


def _ns3(setup: Setup, folder: Path, progress: Progress, _: bool) -> dict[str, float]:
    clock, satellites = setup.scenario.clock, setup.relay_count + len(setup.fleet.name)
    stations = _stations(setup)
    step_ms = clock.step_s * 1e3
    if abs(step_ms - round(step_ms)) > 1e-6:
        raise InputError(Problem("step", f"{clock.step_s} s is no whole number of milliseconds", next="ns-3 needs one"))
    (folder / "tles.txt").write_text(_tles(setup))
    with tempfile.TemporaryFile(dir=folder.parent) as spool:
        used, longest, changes = _spool(setup, stations, spool, progress)
        known = ns3.interfaces(used, satellites, len(stations.names))
        dynamic = folder / f"dynamic_state_{round(step_ms)}ms_for_{clock.duration_s:.12g}s"
        dynamic.mkdir()
        spool.seek(0)
        for tick, count in enumerate(changes):
            at = round(step_ms) * 1_000_000 * tick
            where, hop = np.frombuffer(spool.read(16 * count), np.int64).reshape(2, count)
            (dynamic / f"fstate_{at}.txt").write_bytes(ns3.forwarding(where, hop, known))
            (dynamic / f"gsl_if_bandwidth_{at}.txt").write_bytes(b"" if tick else ns3.bandwidths(known))
            progress("writing", tick + 1, len(changes), "")
    (folder / "isls.txt").write_bytes(ns3.lasers(used))
    (folder / "gsl_interfaces_info.txt").write_bytes(ns3.radios(known))
    places = stations.latitude_rad, stations.longitude_rad, stations.fixed_m
    (folder / "ground_stations.txt").write_text(ns3.stations(stations.names, *places), encoding="utf-8")
    (folder / "description.txt").write_text(ns3.description(*longest))
    counts = {"satellites": satellites, "stations": len(stations.names), "lasers": len(used)}
    return {**counts, "steps": len(changes), "changes": sum(changes)}


def _stations(setup: Setup) -> Sites:
    """The ends of the probes on the ground, or all cities where there are no two."""
    for sites in (setup.probe_sites, setup.cities):
        if len(sites.names) > 1:
            return sites
    raise InputError(Problem("probes", "no two places to send between", next="Name probes or cities on the ground"))


def _spool(
    setup: Setup, stations: Sites, spool: IO[bytes], progress: Progress
) -> tuple[Ints, tuple[float, float], list[int]]:
    """Next hops that change, tick by tick, into a file: interfaces are known only once all links are.

    Returns all links ever used (E, 2), the longest slant and laser [m], and how many next hops change at each tick.
    """
    nodes, everyone = setup.relay_count + len(setup.fleet.name), np.arange(len(stations.names))
    codes, before, changes = np.empty(0, np.int64), None, []
    slant_m, laser_m = 0.0, 0.0
    for _, ahead, i, links in _network(setup, progress):
        mesh = routing.mesh(nodes, links, order=setup.sweep)
        seen = ground.visible(stations.fixed_m, ahead.relays.fixed_m[i], stations.elevation_rad, stations.max_slant_m)
        hops = ns3.next_hops(mesh, access.place_fields(mesh, seen, everyone), seen).reshape(-1).astype(np.int64)
        where = np.flatnonzero(hops != before) if before is not None else _all(nodes, len(everyone))
        spool.write(where.tobytes())
        spool.write(hops[where].tobytes())
        changes.append(len(where))
        before = hops
        codes = np.union1d(codes, _codes(links, nodes))
        slant_m = max(slant_m, float(seen.slant_m.max(initial=0.0)))
        laser_m = max(laser_m, float(links.range_m[links.alive > 0.0].max(initial=0.0)))
    return np.stack(np.divmod(codes, nodes), axis=1), (slant_m * SPARE, laser_m * SPARE), changes


def _all(nodes: int, stations: int) -> Ints:
    """Every place of a table of next hops but those from a station to itself."""
    own = (nodes + np.arange(stations)) * stations + np.arange(stations)
    return np.setdiff1d(np.arange((nodes + stations) * stations), own)


def _tles(setup: Setup) -> str:
    """All satellites as element sets of one epoch, the start, after a line that says how many."""
    every = orbits.join(setup.relays, setup.ships)
    labels = ["relay"] * setup.relay_count + list(setup.fleet.name)
    names = [f"{label[: TLE_NAME - 1 - len(str(i))]} {i}" for i, label in enumerate(labels)]
    made = _at_start(every, setup.scenario.clock.duration_s, setup.julian)
    made = replace(made, eccentricity=np.maximum(made.eccentricity, LEAST_ECCENTRICITY))
    return f"1 {len(names)}\n" + element_sets.write_tle(made, names, setup.julian)


def _at_start(elements: Elements, duration_s: float, julian: float) -> Elements:
    """The same orbits with second 0 as their epoch.

    Angles are brought there by their secular rates; anomaly and mean motion are then set so that the satellites stand
    level with the old elements, along their tracks, at the start and at the end.
    """
    if not elements.epoch_s.any():
        return elements
    ready, ahead = motion.prepare(elements), -elements.epoch_s
    axis = (motion.THEORY_KE / (elements.mean_motion_rad_s * 60.0)) ** (2.0 / 3.0)
    turn = 0.75 * motion.THEORY_J2 * (5.0 * np.cos(elements.inclination_rad) ** 2 - 1.0)
    perigee = turn * elements.mean_motion_rad_s / (axis * (1.0 - elements.eccentricity**2)) ** 2 * ahead
    made = replace(
        elements,
        epoch_s=np.zeros_like(ahead),
        node_rad=elements.node_rad + ready.node_rate_rad_s * ahead,
        perigee_rad=elements.perigee_rad + perigee,
        mean_anomaly_rad=elements.mean_anomaly_rad + ready.latitude_rate_rad_s * ahead - perigee,
    )
    ends = np.array([0.0, duration_s])
    true = motion.propagate(ready, ends, julian)
    for _ in range(3):
        near = motion.propagate(made, ends, julian)
        along = np.einsum("tsx,tsx->ts", true.inertial_m - near.inertial_m, near.velocity_m_s)
        behind = np.nan_to_num(along / np.einsum("tsx,tsx->ts", near.velocity_m_s, near.velocity_m_s))
        behind *= elements.mean_motion_rad_s
        made = replace(
            made,
            mean_anomaly_rad=made.mean_anomaly_rad + behind[0],
            mean_motion_rad_s=made.mean_motion_rad_s + (behind[1] - behind[0]) / duration_s,
        )
    return made


FORMATS: dict[str, tuple[Callable[[Setup, Path, Progress, bool], dict[str, float]], bool]] = {
    "czml": (_czml, False),
    "oem": (_oem, True),
    "ns3": (_ns3, True),
}
