"""Streams made ready: what sends where, how fast, and what one bit costs at each host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aether.base.errors import InputError, Problem
from aether.base.tables import Bools, Elements, Floats, Ints
from aether.engine.hosts import Hosts
from aether.engine.places import Sites
from aether.network import links
from aether.placement import capacity
from aether.scenario.catalog import Terminal
from aether.scenario.load import Scenario
from aether.scenario.spec import Imaging, Stream
from aether.space import ground, motion, orbits
from aether.workloads.streams import imaging_bit_s

MOST_ROWS = 4_000_000  # ages by sources of one stream: 32 MB


@dataclass(frozen=True)
class Source:
    """One stream of data, sources S, hosts H."""

    name: str
    asked: Stream
    names: tuple[str, ...]  # (S,)
    bit_s: Floats  # (S,) of raw data while it sends
    imagers: Any  # ready for `motion.propagate`, None for sources that do not fly on their own
    inclined: Elements | None  # of imagers
    place: Ints  # (S,) row among the cities, -1 for none
    node: Ints  # (S,) satellite of the fabric, -1 for none
    laser: links.Terminal  # of imagers
    stations: Bools  # (W,) gateways that receive their radio
    downlink_bit_s: float
    allowed: Bools  # (H,)
    gpu_s_bit: Floats  # (H,) GPU-seconds at full clocks on one bit
    reduction: float
    buffer_bit: float
    ticks: int  # for which data keeps its worth


def sources(
    scenario: Scenario, hosts: Hosts, cities: Sites, gateways: Sites, relays: Elements, laser: links.Terminal,
    flying: dict[str, Elements], terminal: Any,
) -> tuple[Source, ...]:  # fmt: skip
    """The Sources of a scenario; InputError with all problems that only show here.

    laser: of the relays. flying: elements of the imagers of each stream that has some. terminal: makes a link budget of a
    part of the catalog.
    """
    made, problems = [], list[Problem]()
    for i, workload in enumerate(scenario.spec.workloads):
        if workload.stream is None:
            continue
        allowed = capacity.allowed(workload.where, workload.jurisdictions, hosts.group, hosts.country)
        allowed &= (np.arange(len(hosts.names)) < hosts.ships) == (workload.stream.process == "orbit")
        if not hosts.names:
            lacks = f"{workload.name}: there is neither ship nor site for its data"
            problems.append(Problem(f"workloads[{i}].stream", lacks, next="Give ships or sites"))
            continue
        try:
            made.append(_source(scenario, workload.name, workload.stream, allowed, hosts, cities, gateways, relays, laser,
                                flying.get(workload.name), terminal))  # fmt: skip
        except InputError as error:
            problems += [
                Problem(f"workloads[{i}].stream.{p.path}", p.what, p.nearest, p.next, p.file, p.line)
                for p in error.problems
            ]
    if problems:
        raise InputError(problems)
    return tuple(made)


def _source(
    scenario: Scenario, name: str, asked: Stream, allowed: Bools, hosts: Hosts, cities: Sites, gateways: Sites,
    relays: Elements, laser: links.Terminal, flying: Elements | None, terminal: Any,
) -> Source:  # fmt: skip
    spec, value = scenario.spec, scenario.value
    names, bit_s, place, node = _senders(scenario, asked, cities, relays, hosts, flying)
    ticks = max(1, round(asked.keep / spec.step))
    if ticks * len(names) > MOST_ROWS:
        what = f"{len(names):,} sources over {ticks:,} steps are {ticks * len(names):,} rows; {MOST_ROWS:,} are allowed"
        raise InputError(Problem("keep", what, next="Keep data for less long, or take longer steps"))
    imaging = asked.imaging
    known = set(gateways.names)
    lost = [s for s in (imaging.stations if imaging else ()) if s not in known]
    if lost:
        what = f"no gateway of the run is called {', '.join(lost[:5])}"
        raise InputError(
            Problem("imaging.stations", what, next="`aether catalog list gateways`, or ground.gateways.add")
        )
    heard = np.array([not imaging or not imaging.stations or g in imaging.stations for g in gateways.names], np.bool_)
    flop = asked.flop_per_bit or value("streams.flop_per_bit")
    speed = np.array([scenario.catalog.accelerator(a).bf16.value for a in hosts.accelerator], dtype=np.float64)
    own: Terminal | None = scenario.catalog.terminal(imaging.terminal) if imaging and imaging.terminal else None
    radio = imaging.downlink if imaging and imaging.downlink else value("streams.downlink")
    return Source(
        name, asked, names, bit_s, None if flying is None else motion.prepare(flying), flying, place, node,
        terminal(own) if own is not None else laser, heard, radio, allowed,
        flop / (speed * value("streams.compute_efficiency")), asked.reduction or value("streams.reduction"),
        8.0 * (asked.buffer or value("streams.buffer")), ticks,
    )  # fmt: skip


def _senders(
    scenario: Scenario, asked: Stream, cities: Sites, relays: Elements, hosts: Hosts, flying: Elements | None
) -> tuple[tuple[str, ...], Floats, Ints, Ints]:
    """Names, rates [bit/s], rows among cities and satellites' nodes of a stream's sources (S,)."""
    first = len(relays.epoch_s)
    if flying is not None and asked.imaging is not None:
        none = np.full(len(flying.epoch_s), -1, dtype=np.int64)
        return tuple(f"imager {n}" for n in range(len(none))), _imaged(asked.imaging, flying), none, none
    if asked.places is not None:
        own = {p.name for p in scenario.spec.ground.cities.add}
        names = [n if n in own else scenario.place(n).name for n in asked.places.places]
        rows = np.array([cities.names.index(n) for n in names], dtype=np.int64)
        return tuple(names), np.full(len(rows), asked.places.units * asked.places.rate), rows, np.full(len(rows), -1)
    rate = asked.satellites.rate if asked.satellites else 0.0
    if asked.satellites and asked.satellites.of == "ships":
        nodes = first + np.arange(hosts.ships)
        return hosts.names[: hosts.ships], np.full(len(nodes), rate), np.full(len(nodes), -1), nodes
    planes = np.stack([relays.shell, relays.plane], axis=1)
    _, begin, count = np.unique(
        planes, axis=0, return_index=True, return_counts=True
    )  # one source for each plane of relays
    names_ = tuple(f"plane {relays.plane[b]} of shell {relays.shell[b]}" for b in begin)
    return names_, rate * count.astype(np.float64), np.full(len(begin), -1), begin.astype(np.int64)


def _imaged(camera: Imaging, flying: Elements) -> Floats:
    speed_m_s = flying.mean_motion_rad_s * ground.EQUATORIAL_RADIUS_M  # of the point below, the Earth at rest
    return imaging_bit_s(camera.swath, speed_m_s, camera.resolution, camera.bits, camera.bands, camera.compression)


def imagers(scenario: Scenario, julian: float, problems: list[Problem]) -> dict[str, Elements]:
    """Mean elements of the imaging satellites of each stream."""
    made: dict[str, Elements] = {}
    for i, workload in enumerate(scenario.spec.workloads):
        camera = workload.stream.imaging if workload.stream else None
        if camera is None:
            continue
        ring, shell = camera.orbit.ring, camera.orbit.walker
        if ring is not None:
            made[workload.name] = orbits.ring(camera.count, ring.altitude, ring.node_local_time, julian)
        elif shell is not None and shell.planes * shell.per_plane == camera.count:
            made[workload.name] = orbits.walker(
                shell.planes, shell.per_plane, shell.altitude, shell.inclination, phasing=shell.phasing,
                raan_spread_rad=shell.raan_spread, odd_plane_offset=shell.odd_plane_offset,
            )  # fmt: skip
        else:
            holds = f"the walker holds {shell.planes * shell.per_plane}" if shell else "a formation holds none"
            what = f"count is {camera.count} imagers, but {holds}"
            problems.append(
                Problem(f"workloads[{i}].stream.imaging.count", what, next="Make count planes times per_plane")
            )
    return made
