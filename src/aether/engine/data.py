"""Streams and tuning among the work of a tick: what they ask of hosts and links, and what they get."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.tables import Capacity, Floats, Ints, Links, Scaled, State, Tuned
from aether.engine import scaling, streams, tuners
from aether.engine.assemble import Setup
from aether.engine.block import Block
from aether.engine.carry import Carried
from aether.engine.loads import Load
from aether.engine.reach import Ways


@dataclass(frozen=True)
class Data:
    """What streams N and then tuners U ask in one tick."""

    wants: tuple[streams.Wanted, ...]
    tuned: tuple[Tuned, ...]
    scaled: tuple[tuple[Scaled, int], ...]  # services that scale, and loads begun
    asked_gpu: Floats  # (N + U, H)


def data_asked(setup: Setup, state: State, block: Block, i: int, capacity: Capacity, way: Ways, attached: Ints) -> Data:
    """Where data would be worked on and versions trained; attached: relays that ships hold (K, terminals)."""
    hosts, relays = len(setup.hosts.names), setup.relay_count
    asked = np.zeros((len(setup.sources) + len(setup.work.tuners), hosts))
    free = np.concatenate([capacity.reach, block.working[i, setup.hosts.ships :]])
    sizes = tuple(
        scaling.order(setup, q, now, state.waiting[:, q].sum(axis=0) + block.arrivals[i, q], free, way)
        for q, now in zip(scaling.scaled(setup), state.scaled, strict=True)
    )
    if not len(asked):
        return Data((), (), sizes, asked)
    held = np.bincount(attached[attached >= 0], minlength=relays)
    up = np.isfinite(block.relays.fixed_m[i, :, 0])
    spare = np.where(up, setup.scenario.spec.relays.ship_terminals, 0) - held
    moving = (block.relays.inertial_m[i], block.relays.velocity_m_s[i])
    wants, tuned = [], []
    for n, (source, before, made) in enumerate(zip(setup.sources, state.streams, block.made, strict=True)):
        want = streams.wanted(setup, source, before, made, i, spare, moving, free, way)
        on = want.host >= 0
        asked[n] = np.bincount(want.host[on], want.gpus[on], hosts)
        free = np.maximum(free - asked[n], 0.0)
        spare = spare - np.bincount(want.entry[want.entry >= 0], minlength=relays)[:relays] * (made.track is not None)
        wants.append(want)
    for u, (tuner, now) in enumerate(zip(setup.work.tuners, state.tuned, strict=True)):
        now, asked[len(wants) + u] = tuners.wanted(tuner, now, free)
        tuned.append(now)
    return Data(tuple(wants), tuple(tuned), sizes, asked)


def data_loads(setup: Setup, data: Data, given: Floats, links: Links, way: Ways) -> tuple[Load, ...]:
    """What each asks of the network; given: (N + U, H) share of its GPUs that placement grants."""
    first = len(data.wants)
    loads = [
        streams.load(setup, s, w, given[n], links, way)
        for n, (s, w) in enumerate(zip(setup.sources, data.wants, strict=True))
    ]
    loads += [
        tuners.load(setup, t, now, data.asked_gpu[first + u] * given[first + u], links, way)
        for u, (t, now) in enumerate(zip(setup.work.tuners, data.tuned, strict=True))
    ]
    return (*loads, *(scaling.load(setup, now, links, way) for now, _ in data.scaled))


def close(
    setup: Setup,
    data: Data,
    given: Floats,
    loads: tuple[Load, ...],
    carried: Carried,
    block: Block,
    i: int,
    served: Floats,
) -> tuple[tuple[streams.Streamed, ...], tuple[tuners.Tuning, ...], tuple[scaling.Scaling, ...]]:
    """What became of it; served: (Q, C) requests, of which some teach."""
    rates = np.split(carried.more_bit_s, np.cumsum([len(one.bit_s) for one in loads])[:-1]) if loads else []
    first, made, taught = len(data.wants), [], []
    for n, (source, want) in enumerate(zip(setup.sources, data.wants, strict=True)):
        wanted = loads[n].bit_s
        share = np.where(wanted > 0.0, rates[n] / np.where(wanted > 0.0, wanted, 1.0), 1.0)
        made.append(streams.settle(setup, source, want, given[n], share, block.made[n], i))
    up = block.working[i] > 0.0
    for u, (tuner, now) in enumerate(zip(setup.work.tuners, data.tuned, strict=True)):
        n = first + u
        samples = float(served[tuner.service].sum()) * tuner.asked.feedback
        taught.append(tuners.settle(setup, tuner, now, data.asked_gpu[n] * given[n], rates[n], up, samples))
    last = first + len(data.tuned)
    sized = tuple(
        scaling.settle(setup, q, now, rates[last + n], begun)
        for n, (q, (now, begun)) in enumerate(zip(scaling.scaled(setup), data.scaled, strict=True))
    )
    return tuple(made), tuple(taught), sized
