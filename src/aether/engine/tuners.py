"""Tuning within the tick: feedback gathers, a version is trained, sent to every replica, and swapped in."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from aether.base.tables import Bools, Floats, Links, Tuned
from aether.engine.assemble import Setup
from aether.engine.carry import PLENTY_BIT_S
from aether.engine.loads import Load, between
from aether.engine.reach import Ways
from aether.engine.work import Tuner

GATHERING, TRAINING, SENDING = range(3)


@dataclass(frozen=True)
class Tuning:
    """What a tick made of one tuner."""

    state: Tuned
    samples: float  # of feedback that came in
    fresh: Floats  # (B,) samples that a version serving everywhere from this tick on has learnt from, by age in ticks
    fresh_s: float  # from the tick's beginning to that moment
    sent_bit: float
    gpu: Floats  # (H,) at full clocks at work


def nothing(setup: Setup) -> tuple[Tuned, ...]:
    """No feedback yet; the first version may begin at once."""
    hosts = len(setup.hosts.names)
    return tuple(
        Tuned(0, GATHERING, -1, math.inf, 0.0, np.zeros(hosts), np.zeros(t.ticks), np.zeros(t.ticks))
        for t in setup.work.tuners
    )


def wanted(tuner: Tuner, held: Tuned, free_gpu: Floats) -> tuple[Tuned, Floats]:
    """The tuner with the host that it trains at, and the GPUs that it asks of hosts (H,).

    It stays where it is while there is room for it; its state is small beside a model's, so moving costs nothing more.
    """
    asked = np.zeros(len(free_gpu))
    if held.busy != TRAINING:
        return held, asked
    able = tuner.allowed & (free_gpu >= tuner.gpus)
    host = held.host if held.host >= 0 and able[held.host] else -1
    if host < 0 and able.any():
        host = int(np.argmax(np.where(able, free_gpu, -1.0)))
    if host >= 0:
        asked[host] = tuner.gpus
    return replace(held, host=host if host >= 0 else held.host), asked


def load(setup: Setup, tuner: Tuner, held: Tuned, asked: Floats, links: Links, way: Ways) -> Load:
    """What it may send in this tick: the version under way to every host that serves, as fast as it goes."""
    if held.host < 0 or not (
        held.busy == SENDING or (held.busy == TRAINING and asked.any() and _ends(setup, tuner, held))
    ):
        return Load.none()
    to = tuner.serves
    paths = between(setup, held.host, to, links, way)
    by_fibre = (to >= setup.hosts.ships) & (held.host >= setup.hosts.ships)
    reached = (np.diff(paths.start) > 0) | by_fibre | (to == held.host)
    todo = held.left_bit[to] > 0.0 if held.busy == SENDING else np.ones(len(to), dtype=np.bool_)
    return Load(paths, np.where(reached & todo, PLENTY_BIT_S, 0.0))


def _ends(setup: Setup, tuner: Tuner, held: Tuned) -> bool:
    """Whether training may end in this tick."""
    return held.left * tuner.gpu_s_sample[held.host] <= tuner.gpus * setup.scenario.spec.step


def settle(setup: Setup, tuner: Tuner, held: Tuned, granted: Floats, rate_bit_s: Floats, up: Bools, samples: float) -> Tuning:  # fmt: skip
    """Close a tick: train, then send, then swap, one after the other as time allows; then feedback joins.

    granted: (H,) GPUs at full clocks. rate_bit_s: to each of the hosts that serve, empty where nothing was to send. up:
    (H,) hosts in service: who is not will load the version when it comes back. samples: of feedback in this tick.
    """
    step_s, used_s, gpu = setup.scenario.spec.step, 0.0, np.zeros_like(granted)
    now, fresh, fresh_s, sent = held, np.zeros_like(held.taught), 0.0, 0.0
    if now.busy == TRAINING and now.host >= 0:
        speed = float(granted[now.host] / tuner.gpu_s_sample[now.host])  # samples a second
        used_s = min(step_s, now.left / speed) if speed > 0.0 else step_s
        gpu[now.host] = granted[now.host] * used_s / step_s
        now = replace(now, left=max(now.left - speed * used_s, 0.0))
        if now.left <= 1e-9 and used_s < step_s:
            left = np.zeros_like(now.left_bit)
            left[tuner.serves] = 8.0 * tuner.size_bytes
            left[now.host] = 0.0
            now = replace(now, busy=SENDING, left=0.0, left_bit=left)
    if now.busy == SENDING:
        now, took_s, sent = _send(tuner, now, rate_bit_s, up, step_s - used_s)
        if took_s <= step_s - used_s:
            fresh, fresh_s = now.taught, used_s + took_s + tuner.swap_s
            now = replace(now, busy=GATHERING, version=now.version + 1, taught=np.zeros_like(now.taught))
    return Tuning(_age(tuner, now, samples, step_s), samples, fresh, fresh_s, sent, gpu)


def _send(tuner: Tuner, now: Tuned, rate_bit_s: Floats, up: Bools, time_s: float) -> tuple[Tuned, float, float]:
    """What is left to send after some time, when the last host has it, and bits sent; infinity where one has no way."""
    rate, left = np.zeros_like(now.left_bit), np.where(up, now.left_bit, 0.0)
    if len(rate_bit_s):
        rate[tuner.serves] = rate_bit_s
    with np.errstate(divide="ignore", invalid="ignore"):
        need_s = np.where(left > 0.0, left / rate, 0.0)
    gone = np.minimum(left, rate * time_s)
    took = float(np.nan_to_num(need_s, nan=np.inf).max(initial=0.0))
    return replace(now, left_bit=left - gone if took > time_s else np.zeros_like(left)), took, float(gone.sum())


def _age(tuner: Tuner, now: Tuned, samples: float, step_s: float) -> Tuned:
    """A tick older; feedback joins, and a new version begins where it is time and there is something to learn."""
    pending, taught = _older(now.pending), _older(now.taught)
    pending[0] += samples
    now = replace(now, pending=pending, taught=taught, since_s=now.since_s + step_s)
    if now.busy == GATHERING and now.since_s >= tuner.asked.every and pending.sum() >= 1.0:
        return replace(
            now, busy=TRAINING, since_s=0.0, left=float(pending.sum()), taught=pending, pending=np.zeros_like(pending)
        )
    return now


def _older(row: Floats) -> Floats:
    """Samples a tick older; the last place holds all that are older still."""
    made = np.roll(row, 1)
    made[-1] += made[0]
    made[0] = 0.0
    return made
