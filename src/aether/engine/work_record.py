"""What a window of ticks writes down about its work, and the tables it becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from aether.base.tables import Floats, Underway
from aether.engine import sample
from aether.engine.assemble import Setup
from aether.engine.data_record import DataRecord
from aether.engine.data_record import tables as data_tables
from aether.engine.serve import BUSIEST, Served
from aether.engine.tick import Tick

ASKED = ("requests", "served", "late", "rejected", "waiting", "first_token_s", "network_s")  # (T, Q, C) each
HOST_COLUMNS = ("free_gpu", "inference_gpu", "training_gpu", "batch_gpu", "requests", "tokens")  # (T, H) each
SPENT = ("useful_s", "slow_s", "sync_s", "checkpoint_s", "restart_s", "rework_s", "stopped_s")
PACES = ("working", "power", "heat", "radiation", "reach", "placed")
MOVED = ("answers", "requests", "synchronisation", "checkpoints", "caches")


@dataclass(frozen=True)
class WorkRecord:
    """Ticks T, classes Q, places C, hosts H, jobs W; filled in place."""

    asked: dict[str, np.ndarray]  # (T, Q, C) of `ASKED`
    hosts: dict[str, np.ndarray]  # (T, H) of `HOST_COLUMNS`
    reasons: np.ndarray  # (T, 3)
    jobs: np.ndarray  # (T, W, len(SPENT) + 3) spent seconds, then step done, bits sent and the rate to send at
    paces: np.ndarray  # (T, W, len(PACES))
    moved_bit: np.ndarray  # (T, len(MOVED))
    lost_bit: np.ndarray  # (T,)
    busiest: np.ndarray  # (T, BUSIEST, 4)
    data: DataRecord
    followed: np.ndarray  # (T, Q, G, SEEN), no groups where nobody is followed
    underway: list[Underway]  # of the last tick, where the scenario has jobs

    @classmethod
    def empty(cls, setup: Setup, ticks: int) -> WorkRecord:
        """Room for some ticks; none where nothing is asked."""
        ticks = ticks if setup.work.some else 0
        q, c, h, w = len(setup.work.services), len(setup.cities.names), len(setup.hosts.names), len(setup.work.runs)
        return cls(
            {k: np.zeros((ticks, q, c), dtype=np.float32) for k in ASKED},
            {k: np.zeros((ticks, h), dtype=np.float32) for k in HOST_COLUMNS},
            np.zeros((ticks, 3)), np.zeros((ticks, w, len(SPENT) + 3)), np.zeros((ticks, w, len(PACES))),
            np.zeros((ticks, len(MOVED))), np.zeros(ticks), np.zeros((ticks, BUSIEST, 4)), DataRecord.empty(setup, ticks),
            np.zeros((ticks, q, len(sample.groups(setup)), sample.SEEN)), [],
        )  # fmt: skip

    def add(self, setup: Setup, t: int, tick: Tick) -> tuple[Floats, Floats]:
        """Write one tick down; returns placed and delivered GPUs at full clocks of the ships (K,)."""
        s, ships = tick.served, setup.hosts.ships
        if s is None:
            return tick.capacity.reach, tick.capacity.reach
        sums = {"waiting": s.waiting.sum(axis=0)}
        for name, values in self.asked.items():
            values[t] = sums[name] if name in sums else getattr(s, name)
        self.hosts["free_gpu"][t] = np.concatenate([tick.capacity.reach, s.ground_gpu])
        self.hosts["inference_gpu"][t], self.hosts["training_gpu"][t] = s.inference_gpu, s.training_gpu
        if tick.ran is not None:
            self.hosts["batch_gpu"][t] = tick.ran.gpu
            self.underway[:] = [tick.ran.underway]
        out = np.array([x.output_tokens for x in setup.work.services])
        self.hosts["requests"][t], self.hosts["tokens"][t] = s.by_host.sum(axis=0), out @ s.by_host
        for name in ("reasons", "paces", "moved_bit", "lost_bit", "busiest"):
            getattr(self, name)[t] = getattr(s, name)
        self.data.add(setup, t, s)
        self.followed[t] = sample.observe(setup, s, tick.capacity)
        for w, (spent, job) in enumerate(zip(s.spent, s.jobs, strict=True)):
            self.jobs[t, w] = [*(getattr(spent, k) for k in SPENT), job.step, spent.sent_bit, s.rates_bit_s[w]]
        held, useful = (tick.ran.gpu[:ships], tick.ran.useful_gpu[:ships]) if tick.ran is not None else (0.0, 0.0)
        return _placed(setup, s)[:ships] + held, _delivered(setup, s)[:ships] + useful


def _placed(setup: Setup, s: Served) -> Floats:
    """GPUs at full clocks that the plan gives work (H,)."""
    need = np.array([x.need_gpu_s for x in setup.work.services]).reshape(-1, len(setup.hosts.names))
    rows = s.plan.requests * need[s.plan.work, s.plan.host] if len(s.plan.work) else np.empty(0)
    placed = np.bincount(s.plan.host, rows, len(setup.hosts.names)) / setup.scenario.spec.step
    for w, run in enumerate(setup.work.runs):
        placed[run.members] += run.gpus * s.plan.job_share[w, run.members]
    return placed + s.data_gpu + s.parted.placed_gpu + s.again_gpu


def _delivered(setup: Setup, s: Served) -> Floats:
    """GPUs at full clocks whose work counted (H,): requests served, training steps kept."""
    made = s.inference_gpu.copy()
    for w, run in enumerate(setup.work.runs):
        made[run.members] += run.gpus * s.parts[w] * (s.spent[w].useful_s / setup.scenario.spec.step)
    return made + s.data_gpu


Keys = Callable[[Floats, str, pa.Array], dict[str, pa.Array]]


def tables(setup: Setup, time_s: Floats, record: WorkRecord, keys: Keys) -> dict[str, pa.Table]:
    """A window of the record as Arrow tables; keys: makes the columns of time and subject."""
    if not setup.work.some:
        return {}
    made: dict[str, pa.Table] = {}
    if setup.work.services and setup.cities.names:
        made["requests"] = _requests(setup, time_s, record)
    made["hosts"] = pa.table(
        keys(time_s, "host", pa.array(setup.hosts.names, pa.string())) | {k: v.ravel() for k, v in record.hosts.items()}
    )
    if setup.work.runs:
        columns = {k: record.jobs[:, :, n].ravel() for n, k in enumerate((*SPENT, "step", "sent_bit", "rate_bit_s"))}
        columns |= {f"pace_{k}": record.paces[:, :, n].ravel() for n, k in enumerate(PACES)}
        made["training"] = pa.table(
            keys(time_s, "job", pa.array([r.name for r in setup.work.runs], pa.string())) | columns
        )
    made["traffic"] = pa.table(
        {"time_s": time_s}
        | {f"{k}_bit": record.moved_bit[:, n] for n, k in enumerate(MOVED)}
        | {"lost_bit": record.lost_bit}
    )
    made["lasers"] = _lasers(setup, record, time_s)
    return made | data_tables(setup, time_s, record.data, keys)


def _requests(setup: Setup, time_s: Floats, record: WorkRecord) -> pa.Table:
    """What was asked and served, by tick, workload and city."""
    ticks, services, cities = record.asked["served"].shape
    city, workload = np.tile(np.arange(cities), services), np.repeat(np.arange(services), cities)
    labels = {
        name: pa.DictionaryArray.from_arrays(pa.array(np.tile(index, ticks).astype(np.int32)), pa.array(words, pa.string()))
        for name, index, words in (
            ("city", city, setup.cities.names), ("workload", workload, [s.name for s in setup.work.services]),
        )
    }  # fmt: skip
    each = np.array([s.output_tokens for s in setup.work.services], dtype=np.float32)
    tokens = record.asked["served"] * each[:, None]
    return pa.table(
        {"time_s": np.repeat(time_s, services * cities)} | labels | {k: record.asked[k].ravel() for k in ASKED} | {"output_tokens": tokens.ravel()}
    )  # fmt: skip


def _lasers(setup: Setup, record: WorkRecord, times: Floats) -> pa.Table:
    """The busiest lasers of each tick, by name."""
    rows = record.busiest.reshape(-1, 4)
    kept = rows[:, 2] > 0.0
    names = node_names(setup)
    ends = [pa.array([names[int(n)] for n in rows[kept, side]], pa.string()).dictionary_encode() for side in (0, 1)]
    return pa.table({"time_s": np.repeat(times, BUSIEST)[kept], "from": ends[0], "to": ends[1],
                     "load_bit_s": rows[kept, 2], "capacity_bit_s": rows[kept, 3]})  # fmt: skip


def node_names(setup: Setup) -> list[str]:
    """What satellites are called: relays by number, ships by name."""
    return [*(f"relay {r}" for r in range(setup.relay_count)), *setup.fleet.name]
