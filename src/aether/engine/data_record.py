"""What a window of ticks writes down about streams and tuning, the tables it becomes, and what a run comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from aether.base.tables import Floats
from aether.engine.assemble import Setup
from aether.engine.running import Spread
from aether.engine.scaling import scaled
from aether.engine.serve import Served

FLOWS = (
    "made_bit",
    "insight_bit",
    "insight_s",
    "late_bit",
    "lost_bit",
    "waiting_bit",
    "down_bit",
    "raw_bit",
    "raw_s",
    "raw_lost_bit",
)
SUMMED = ("made_bit", "insight_bit", "late_bit", "lost_bit", "down_bit", "raw_bit", "raw_lost_bit")
SIZED = ("hosts", "moved_bit", "begun")
TUNED = ("samples", "pending", "version", "sent_bit", "gpu")


@dataclass
class DataRecord:
    """Ticks T, sources N of all streams, tuners U, hosts H; filled in place."""

    flows: dict[str, np.ndarray]  # (T, N) of `FLOWS`
    tuned: dict[str, np.ndarray]  # (T, U) of `TUNED`
    sized: dict[str, np.ndarray]  # (T, services that scale) of `SIZED`
    stream_gpu: np.ndarray  # (T, H)
    tuning_gpu: np.ndarray
    fresh: list[tuple[int, np.ndarray, Floats]] = field(
        default_factory=list
    )  # tuner, ages [s], samples of a version that serves

    @classmethod
    def empty(cls, setup: Setup, ticks: int) -> DataRecord:
        """Room for some ticks."""
        count, tuners, hosts = sum(len(s.names) for s in setup.sources), len(setup.work.tuners), len(setup.hosts.names)
        return cls(
            {k: np.zeros((ticks, count), dtype=np.float64) for k in FLOWS}, {k: np.zeros((ticks, tuners)) for k in TUNED},
            {k: np.zeros((ticks, len(scaled(setup)))) for k in SIZED},
            np.zeros((ticks, hosts), dtype=np.float32), np.zeros((ticks, hosts), dtype=np.float32),
        )  # fmt: skip

    def add(self, setup: Setup, t: int, served: Served) -> None:
        """Write one tick down."""
        first = 0
        for made in served.streamed:
            last = first + len(made.made_bit)
            for name, values in self.flows.items():
                values[t, first:last] = getattr(made, name)
            self.stream_gpu[t] += made.gpu
            first = last
        for n, one in enumerate(served.sized):
            for name, value in zip(SIZED, (one.ready, one.moved_bit, one.begun), strict=True):
                self.sized[name][t, n] = value
        step_s = setup.scenario.spec.step
        for u, tick in enumerate(served.tuned):
            row = (
                tick.samples,
                float(tick.state.pending.sum()),
                tick.state.version,
                tick.sent_bit,
                float(tick.gpu.sum()),
            )
            for name, value in zip(TUNED, row, strict=True):
                self.tuned[name][t, u] = value
            self.tuning_gpu[t] += tick.gpu
            some = np.flatnonzero(tick.fresh)
            if some.size:  # feedback came in about the middle of its tick
                self.fresh.append((u, (some + 0.5) * step_s + tick.fresh_s, tick.fresh[some]))


def tables(setup: Setup, time_s: Floats, record: DataRecord, keys: Any) -> dict[str, pa.Table]:
    """A window of the record as Arrow tables; keys: makes the columns of time and subject."""
    made: dict[str, pa.Table] = {}
    if setup.sources:
        counts = [len(s.names) for s in setup.sources]
        stream = np.repeat(np.arange(len(counts)), counts)
        word = pa.DictionaryArray.from_arrays(
            pa.array(np.tile(stream, len(time_s)).astype(np.int32)),
            pa.array([s.name for s in setup.sources], pa.string()),
        )
        names = pa.array([f"{s.name}: {n}" for s in setup.sources for n in s.names], pa.string())
        made["streams"] = pa.table(
            keys(time_s, "source", names)
            | {"stream": word}
            | {k: v.astype(np.float32).ravel() for k, v in record.flows.items()}
        )
    if scaled(setup):
        names = pa.array([setup.work.services[q].name for q in scaled(setup)], pa.string())
        made["scaling"] = pa.table(keys(time_s, "workload", names) | {k: v.ravel() for k, v in record.sized.items()})
    if setup.work.tuners:
        names = pa.array([t.name for t in setup.work.tuners], pa.string())
        made["tuning"] = pa.table(keys(time_s, "tuner", names) | {k: v.ravel() for k, v in record.tuned.items()})
    return made


@dataclass
class DataTotals:
    """Streams and tuners over all ticks."""

    sums: dict[str, Floats]  # (N,) of `SUMMED`
    waiting_bit: Floats  # (N,) at the end
    insight: tuple[Spread, ...]  # of each stream, weighed by bits
    raw: tuple[Spread, ...]
    samples: Floats  # (U,)
    pending: Floats  # (U,) at the end
    versions: Floats  # (U,)
    sent_bit: Floats  # (U,)
    fresh: tuple[Spread, ...]  # of each tuner, weighed by samples
    in_time: Floats  # (U,) samples that were fresh in real time
    learnt: Floats  # (U,) samples in versions that serve
    gpu_ticks: Floats  # (2, H) of streams and of tuning
    hosts: Floats  # (2, services that scale) sum over ticks, and most
    moved: Floats  # (2, services that scale) bits of weights, loads begun

    @classmethod
    def empty(cls, setup: Setup) -> DataTotals:
        """Nothing yet."""
        count, streams, tuners = sum(len(s.names) for s in setup.sources), len(setup.sources), len(setup.work.tuners)
        zeros = (np.zeros(tuners) for _ in range(6))
        return cls(
            {k: np.zeros(count) for k in SUMMED}, np.zeros(count), tuple(Spread() for _ in range(streams)),
            tuple(Spread() for _ in range(streams)), next(zeros), next(zeros), next(zeros), next(zeros),
            tuple(Spread() for _ in range(tuners)), next(zeros), next(zeros), np.zeros((2, len(setup.hosts.names))),
            np.zeros((2, len(scaled(setup)))), np.zeros((2, len(scaled(setup)))),
        )  # fmt: skip

    def add(self, setup: Setup, record: DataRecord) -> None:
        """Go on with a window."""
        for name, total in self.sums.items():
            total += record.flows[name].sum(axis=0)
        self.waiting_bit = record.flows["waiting_bit"][-1].copy()
        first = 0
        for n, source in enumerate(setup.sources):
            mine = slice(first, first + len(source.names))
            self.insight[n].add(
                record.flows["insight_s"][:, mine].ravel(), record.flows["insight_bit"][:, mine].ravel()
            )
            self.raw[n].add(record.flows["raw_s"][:, mine].ravel(), record.flows["raw_bit"][:, mine].ravel())
            first = mine.stop
        self.samples += record.tuned["samples"].sum(axis=0)
        self.sent_bit += record.tuned["sent_bit"].sum(axis=0)
        self.pending, self.versions = record.tuned["pending"][-1].copy(), record.tuned["version"][-1].copy()
        for u, ages_s, samples in record.fresh:
            self.fresh[u].add(ages_s, samples)
            self.in_time[u] += samples[ages_s <= setup.work.tuners[u].asked.fresh].sum()
            self.learnt[u] += samples.sum()
        self.hosts[0] += record.sized["hosts"].sum(axis=0)
        self.hosts[1] = np.maximum(self.hosts[1], record.sized["hosts"].max(axis=0, initial=0.0))
        self.moved += [record.sized[k].sum(axis=0) for k in ("moved_bit", "begun")]
        self.gpu_ticks += [
            record.stream_gpu.sum(axis=0, dtype=np.float64),
            record.tuning_gpu.sum(axis=0, dtype=np.float64),
        ]


SHARES = (0.5, 0.95, 0.99)


def summary(setup: Setup, totals: DataTotals) -> dict[str, Any]:
    """What streams and tuning came to."""
    hours = setup.scenario.clock.step_s / 3600.0
    told, first = [], 0
    for n, source in enumerate(setup.sources):
        mine = slice(first, first + len(source.names))
        first = mine.stop
        told.append(_stream(source, {k: float(v[mine].sum()) for k, v in totals.sums.items()}, float(totals.waiting_bit[mine].sum()),
                            totals.insight[n].quantiles(SHARES), totals.raw[n].quantiles(SHARES)))  # fmt: skip
    return {"streams": told, "tuning": [_tuner(setup, totals, u) for u in range(len(setup.work.tuners))],
            "stream_gpu_hours": float(totals.gpu_ticks[0].sum()) * hours, "tuning_gpu_hours": float(totals.gpu_ticks[1].sum()) * hours}  # fmt: skip


def _stream(source: Any, sums: dict[str, float], waiting: float, insight: list[float | None], raw: list[float | None]) -> dict[str, Any]:  # fmt: skip
    done = sums["insight_bit"]
    flies = source.imagers is not None
    told = {
        "name": source.name, "sources": len(source.names), "process": source.asked.process, "reduction": source.reduction,
        "made_bit": sums["made_bit"], "insight_bit": done, "waiting_bit": waiting, "lost_bit": sums["lost_bit"],
        "late_share": sums["late_bit"] / done if done else 0.0, "down_bit": sums["down_bit"], "max_insight_s": source.asked.max_insight,
        "downlink_saved": 1.0 - sums["down_bit"] / done if done else 0.0,
    }  # fmt: skip
    told |= {f"insight_p{round(100 * s)}_s": v for s, v in zip(SHARES, insight, strict=True)}
    if flies:
        told["raw"] = {"arrived_bit": sums["raw_bit"], "lost_bit": sums["raw_lost_bit"]}
        told["raw"] |= {f"insight_p{round(100 * s)}_s": v for s, v in zip(SHARES, raw, strict=True)}
    return told


def _tuner(setup: Setup, totals: DataTotals, u: int) -> dict[str, Any]:
    tuner, service = setup.work.tuners[u], setup.work.services[setup.work.tuners[u].service]
    learnt = float(totals.learnt[u])
    told = {
        "name": tuner.name, "service": service.name, "model": service.model.name, "method": tuner.asked.method, "gpus": tuner.gpus,
        "version_bytes": tuner.size_bytes, "replica_hosts": len(tuner.serves), "versions": int(totals.versions[u]),
        "samples": float(totals.samples[u]), "learnt": learnt, "waiting": float(totals.samples[u]) - learnt, "sent_bit": float(totals.sent_bit[u]),
        "fresh_limit_s": tuner.asked.fresh, "fresh_share": float(totals.in_time[u]) / learnt if learnt else None,
    }  # fmt: skip
    return told | {
        f"fresh_p{round(100 * s)}_s": v for s, v in zip(SHARES, totals.fresh[u].quantiles(SHARES), strict=True)
    }
