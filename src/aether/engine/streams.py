"""Streams within the tick: what sensors make, where it is worked on, what waits, how old insight is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.tables import Buffered, Floats, Ints, Links, Track
from aether.engine.assemble import Setup
from aether.engine.loads import Load, fan_in, from_places, to_ground, together
from aether.engine.reach import Ways
from aether.engine.sources import Source
from aether.network import downlink, handover, topology
from aether.space import motion, sun, visibility
from aether.workloads import streams

GRAIN_S = 1.0  # of data that is worked on at once: what the newest of it waits for


@dataclass(frozen=True)
class Made:
    """What a stream makes in a window (T, S)."""

    bit: Floats  # raw data of each tick
    track: Track | None  # of imagers
    radio: Floats  # share of the tick in which a station hears them


@dataclass(frozen=True)
class Wanted:
    """What a stream asks of a tick, sources S."""

    held: Buffered  # after this tick's handovers, what waits as before
    host: Ints  # (S,) that works on its data, -1 for none
    entry: Ints  # (S,) relay at which it enters the mesh, -1 for none
    todo_bit: Floats  # (S,) as much as its own first link carries
    gpus: Floats  # (S,) at full clocks
    lag_s: Floats  # (S,) from the source to its host


@dataclass(frozen=True)
class Streamed:
    """What a tick made of a stream; (S,) unless said."""

    state: Buffered
    made_bit: Floats
    insight_bit: Floats  # raw bits that became insight
    insight_s: Floats  # their mean age by then, NaN without any
    late_bit: Floats
    lost_bit: Floats  # no room, or too old
    waiting_bit: Floats
    down_bit: Floats  # through gateways or the own radio
    raw_bit: Floats  # had it gone down raw: what arrived
    raw_s: Floats  # its mean age
    raw_lost_bit: Floats
    gpu: Floats  # (H,) GPUs at full clocks at work


def nothing(setup: Setup) -> tuple[Buffered, ...]:
    """Empty buffers, lasers free."""
    return tuple(
        Buffered(
            np.zeros((s.ticks, len(s.names))), np.zeros((s.ticks, len(s.names))),
            np.full((len(s.names), 1), handover.FREE), np.zeros((len(s.names), 1)),
        )
        for s in setup.sources
    )  # fmt: skip


def ahead(setup: Setup, source: Source, time_s: Floats, gateway_up: Floats) -> Made:
    """What a stream makes in a window of ticks; gateway_up: (T, W)."""
    step_s, asked = setup.scenario.spec.step, source.asked
    if source.imagers is None or asked.imaging is None:
        on = np.ones(len(time_s))
        if asked.places is not None and asked.places.windows:
            spans = ((w.start, w.start + w.duration) for w in asked.places.windows)
            on = sum(_overlap(time_s, step_s, a, b) for a, b in spans)  # type: ignore[assignment]
        made = np.minimum(on, 1.0)[:, None] * source.bit_s * step_s
        return Made(made, None, np.zeros_like(made))
    track = motion.propagate(source.imagers, time_s, setup.julian)
    up = track.inertial_m / np.linalg.norm(track.inertial_m, axis=2, keepdims=True)
    sun_m = sun.position(setup.julian + time_s / 86400.0)
    sine = np.einsum("tsx,tx->ts", up, sun_m / np.linalg.norm(sun_m, axis=1, keepdims=True))
    share = streams.looks(np.arcsin(sine), asked.imaging.sun_elevation, asked.imaging.duty)
    radio = np.stack([_heard(setup, source, track.fixed_m[t], gateway_up[t]) for t in range(len(time_s))])
    return Made(share * source.bit_s * step_s, track, radio)


def _overlap(time_s: Floats, step_s: float, begin_s: float, end_s: float) -> Floats:
    """Share of each tick that lies between two times."""
    low, high = np.maximum(time_s - step_s / 2.0, begin_s), np.minimum(time_s + step_s / 2.0, end_s)
    return np.maximum(high - low, 0.0) / step_s


def _heard(setup: Setup, source: Source, fixed_m: Floats, gateway_up: Floats) -> Floats:
    """Share of a tick in which each imager has a station in view that rain leaves open (S,)."""
    seen = visibility.seen(setup.gateways.horizon, visibility.sky(fixed_m))
    return downlink.open_share(seen, setup.gateway_open * gateway_up * source.stations, len(fixed_m))


def wanted(setup: Setup, source: Source, held: Buffered, made: Made, i: int, spare: Ints, relays: tuple[Floats, Floats],
           free_gpu: Floats, way: Ways) -> Wanted:  # fmt: skip
    """Where a stream's data would go, and how much.

    spare: (R,) terminals that relays have left. relays: their inertial places and velocities (R, 3). free_gpu: (H,).
    """
    step_s, hosts = setup.scenario.spec.step, setup.hosts
    count = len(source.names)
    entry, most_bit = source.node.copy(), np.full(count, np.inf)
    if made.track is not None and source.asked.process == "orbit":
        held, entry, most_bit = _climb(setup, source, held, made.track, i, spare, relays)
    elif made.track is not None:
        most_bit = source.downlink_bit_s * made.radio[i] * step_s
    lag_s = _delays(setup, source, entry, way)
    todo = np.minimum(held.waiting.sum(axis=0) + made.bit[i], most_bit)
    asked = todo[:, None] * source.gpu_s_bit / step_s
    host, gpus = streams.nearest_with_room(lag_s, source.allowed, asked, free_gpu)
    if (
        source.asked.process == "ground" and not hosts.sites
    ):  # down to the owner's own computers, which are not ours to count
        return Wanted(held, host, entry, todo, gpus, np.zeros(count))
    there = np.where(host >= 0, lag_s[np.arange(count), host], np.inf)
    return Wanted(held, host, entry, np.where(host >= 0, todo, 0.0), gpus, there)


def _climb(
    setup: Setup, source: Source, held: Buffered, track: Track, i: int, spare: Ints, relays: tuple[Floats, Floats]
) -> tuple[Buffered, Ints, Floats]:
    """Imagers' lasers onto relays: the buffers with their lasers, the relay of each, and what each can send [bit]."""
    spec, step_s = setup.scenario.spec, setup.scenario.spec.step
    place, speed = relays
    grazing_m = setup.scenario.value("link.grazing")
    attached, acquiring_s, alive = handover.attach(
        track.inertial_m[i], place, held.attached, held.acquiring_s, spare, source.laser.max_range_m,
        source.laser.acquisition_s if spec.couplings.acquisition else 0.0, step_s,
        grazing_m=grazing_m, drift_m_s=(track.velocity_m_s[i], speed),
    )  # fmt: skip
    entry, first = attached[:, 0], len(place)
    pairs = np.stack([np.maximum(entry, 0), first + np.arange(len(entry))], axis=1)
    rate = topology.links(np.concatenate([place, track.inertial_m[i]]), pairs, source.laser, alive[:, 0], grazing_m)
    most = np.where(entry >= 0, rate.rate_bit_s * rate.alive * step_s, 0.0)
    return Buffered(held.waiting, held.raw, attached, acquiring_s), entry, most


def _delays(setup: Setup, source: Source, entry: Ints, way: Ways) -> Floats:
    """One way from each source to each host [s] (S, H)."""
    hosts = len(setup.hosts.names)
    if _on_ground(source):
        return 0.5 * way.round_trip_s[source.place].astype(np.float64)
    if source.asked.imaging is not None and source.asked.process == "ground":
        return np.zeros((len(entry), hosts))  # from the station on by fibre, which is nothing beside a pass
    to_hosts = way.fields.latency_s[:hosts, np.maximum(entry, 0)].T.astype(np.float64)
    return np.where(entry[:, None] >= 0, to_hosts, np.inf)


def _on_ground(source: Source) -> bool:
    return source.asked.places is not None


def load(setup: Setup, source: Source, want: Wanted, granted: Floats, links: Links, way: Ways) -> Load:
    """What a stream asks of the network: raw data to its hosts, results to the ground (2 S rows).

    granted: (H,) share of the GPUs asked for that placement gives.
    """
    step_s = setup.scenario.spec.step
    bit = _worked(setup, source, want, granted)
    on = (want.host >= 0) & (bit > 0.0)
    host = np.maximum(want.host, 0)
    if source.asked.imaging is not None and source.asked.process == "ground":
        on = np.zeros_like(on)  # by its own radio
    if _on_ground(source):
        raw = from_places(setup, source.place, host, on, links, way)
    else:
        raw = fan_in(setup, host, want.entry, on & (want.entry >= 0), links, way)
    down = to_ground(setup, host, on & (host < setup.hosts.ships), links, way)
    return together([Load(raw, bit / step_s), Load(down, bit / source.reduction / step_s)])


def _worked(setup: Setup, source: Source, want: Wanted, granted: Floats) -> Floats:
    """Bits that the GPUs granted can make insight in this tick (S,)."""
    if not setup.hosts.sites and source.asked.process == "ground":
        return want.todo_bit
    host, step_s = np.maximum(want.host, 0), setup.scenario.spec.step
    able = want.gpus * granted[host] * step_s / source.gpu_s_bit[host]
    return np.where(want.host >= 0, np.minimum(want.todo_bit, able), 0.0)


def settle(setup: Setup, source: Source, want: Wanted, granted: Floats, carried: Floats, made: Made, i: int) -> Streamed:  # fmt: skip
    """Close a tick; carried: (2 S,) share of raw data and results that the network took."""
    step_s, count = setup.scenario.spec.step, len(source.names)
    bit = _worked(setup, source, want, granted) * np.minimum(carried[:count], carried[count:])
    gone = streams.flow(want.held.waiting, made.bit[i], bit, source.buffer_bit)
    insight = gone.taken.sum(axis=0)
    host = np.maximum(want.host, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        grain_s = np.where(want.gpus > 0.0, GRAIN_S * source.bit_s * source.gpu_s_bit[host] / want.gpus, 0.0)
    after_s = np.where(np.isfinite(want.lag_s), want.lag_s, 0.0) + grain_s
    age_s, late = _ages(gone.taken, step_s, after_s, source.asked.max_insight)
    raw_bit = source.downlink_bit_s * made.radio[i] * step_s
    shadow = streams.flow(want.held.raw, made.bit[i] * (made.track is not None), raw_bit, source.buffer_bit)
    raw_s, _ = _ages(shadow.taken, step_s, np.zeros(count), np.inf)
    gpu = np.bincount(host, insight * source.gpu_s_bit[host] / step_s * (want.host >= 0), len(setup.hosts.names))
    orbit = source.asked.process == "orbit"
    return Streamed(
        Buffered(gone.waiting, shadow.waiting, want.held.attached, want.held.acquiring_s), made.bit[i], insight, age_s, late,
        gone.full + gone.stale, gone.waiting.sum(axis=0), insight / source.reduction if orbit else insight,
        shadow.taken.sum(axis=0), raw_s, shadow.full + shadow.stale, gpu.astype(np.float64),
    )  # fmt: skip


def _ages(taken: Floats, step_s: float, after_s: Floats, limit_s: float) -> tuple[Floats, Floats]:
    """Mean age of what left, NaN where nothing did, and how much of it was older than a limit (S,)."""
    age_s = np.arange(len(taken))[:, None] * step_s + after_s
    total = taken.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(total > 0.0, (taken * age_s).sum(axis=0) / total, np.nan)
    return mean, np.where(age_s > limit_s, taken, 0.0).sum(axis=0)
