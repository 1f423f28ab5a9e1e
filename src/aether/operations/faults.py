"""What fails: how often, for how long, and what share of each tick things are in service."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from aether.base.clock import DAY_S
from aether.base.errors import InputError, Problem
from aether.base.tables import Floats, Ints, Outage

HOUR_S = 3600.0  # definition
LOWEST_BAND_S = 1e-5  # of a rate, ours: a failure in a day
NODE_GPUS = 8.0  # GPUs of the nodes that interruption rates are counted by, arXiv 2407.21783 and 2410.21680


@dataclass(frozen=True, slots=True)
class Interruption:
    """A cause of interrupted training, the part it lies in (GPU, Host, Network, ...), and how often it was seen."""

    cause: str
    part: str
    count: int


@cache
def interruptions() -> tuple[Interruption, ...]:
    """The 419 unexpected interruptions of a training run on 16,384 GPUs in 54 days, by cause, most frequent first.

    Counts, not the printed shares: 148 of 419 is 35.3 %, printed as 30.1 % [1].

    [1] arXiv 2407.21783, Table 5.
    """
    text = (files("aether.operations") / "data" / "llama3_interruptions.csv").read_text(encoding="utf-8")
    return tuple(Interruption(r["cause"], r["part"], int(r["count"])) for r in csv.DictReader(io.StringIO(text)))


def node_rate(failures: float, duration_s: float, gpus_per_node: float, gpus: float) -> float:
    """Failures per node and day from a count: r = n / (days x nodes).

    failures: n. duration_s: [s]. gpus_per_node, gpus: of the run. Returns [1/day]. Raises InputError unless positive.
    Reference: [1] arXiv 2410.21680, section on the failure model.
    """
    _positive(failures=failures, duration_s=duration_s, gpus_per_node=gpus_per_node, gpus=gpus)
    return failures / (duration_s / DAY_S * gpus / gpus_per_node)


def mttf(failures_per_node_day: float, gpus_per_node: float, gpus: float) -> float:
    """Mean time to failure of a job on many nodes, each of which stops it: MTTF = 1 / (nodes r).

    failures_per_node_day: r [1/day]. gpus_per_node, gpus: of the job. Returns [s].
    Raises InputError unless positive. Valid where nodes fail independently: at 1,024 GPUs 7.9 h were measured where
    this says 28.8 h, since few bad nodes do much of the failing [1].

    [1] arXiv 2410.21680, failure model and Figure 7.
    """
    _positive(failures_per_node_day=failures_per_node_day, gpus_per_node=gpus_per_node, gpus=gpus)
    return DAY_S / (failures_per_node_day * gpus / gpus_per_node)


def draw(
    rng: np.random.Generator,
    kind: str,
    count: int,
    rate_s: Floats | float,
    repair_s: float,
    duration_s: float,
    causes: Mapping[str, float] | None = None,
    fixed: bool = False,
) -> list[Outage]:
    """Outages of many alike: alternating renewal of up times and repairs, from its steady state.

    Up times are exponential of mean 1 / rate; so are repairs, or all of one length. At the start a share
    rate repair / (1 + rate repair) is already out of service (their outages start at 0); without repair none is [1].
    rng: a stream of its own. kind: of Outage. count: N. rate_s: scalar or (N,) [1/s], 0 for never. repair_s: mean [s];
    infinity for never, 0 for an instant that interrupts. duration_s: [s]. causes: weights by name; none when left out.
    fixed: repairs all of one length. Returns outages by start and subject; an end may lie past the duration.
    Raises InputError for negative numbers. Valid for independent failures without wear.

    [1] Barlow and Proschan, Mathematical Theory of Reliability, 1965, chapter 3.
    """
    rate = np.broadcast_to(np.asarray(rate_s, np.float64), (count,))
    if not ((rate >= 0.0).all() and np.isfinite(rate).all() and repair_s >= 0.0 and 0.0 <= duration_s < np.inf):
        raise InputError(
            Problem(
                f"faults.{kind}",
                "rate, repair time and duration must be finite and not negative (repair may be infinite)",
            )
        )
    down = rate * repair_s / (1.0 + rate * repair_s) if np.isfinite(repair_s) else np.zeros(count)
    subject = np.flatnonzero(rate > 0.0)
    out = rng.random(subject.size) < down[subject]
    begin = np.where(out, 0.0, _up(rng, rate[subject]))
    residual = (
        repair_s * (rng.random(subject.size) if fixed else rng.exponential(size=subject.size)) if out.any() else 0.0
    )
    length = np.where(out, residual, _lengths(rng, repair_s, fixed, subject.size))
    found: list[tuple[Ints, Floats, Floats]] = []
    while True:
        inside = begin < duration_s
        subject, begin, length = subject[inside], begin[inside], length[inside]
        if not subject.size:
            break
        found.append((subject, begin, begin + length))
        begin = begin + length + _up(rng, rate[subject])
        length = _lengths(rng, repair_s, fixed, subject.size)
    return _outages(rng, kind, found, causes)


def broken(
    rng: np.random.Generator,
    count_per_host: Ints,
    rate_s: float,
    duration_s: float,
    repair_s: float = np.inf,
    causes: Mapping[str, float] | None = None,
) -> list[Outage]:
    """GPUs that break in hosts: outages of kind "gpu", subject the host, one for each GPU.

    A host loses n ~ binomial(count, 1 - exp(-rate T)), at times of the exponential cut off at T.
    rng: a stream of its own. count_per_host: (H,). rate_s: of one GPU [1/s]. duration_s: T [s]. repair_s: mean time to
    hands on the ground [s], infinity in orbit. causes: weights by name; those of GPUs in `interruptions` when left out.
    Returns outages by start and host. Raises InputError for negative numbers. Valid for T well below 1 / rate where
    GPUs are repaired: none breaks twice.

    [1] Barlow and Proschan 1965, chapter 2.
    """
    gpus = np.asarray(count_per_host, np.int64)
    if not ((gpus >= 0).all() and rate_s >= 0.0 and duration_s >= 0.0 and repair_s >= 0.0):
        raise InputError(Problem("faults.gpu", "counts, rate, repair time and duration must not be negative"))
    share = -np.expm1(-rate_s * duration_s)
    host = np.repeat(np.arange(gpus.size), rng.binomial(gpus, share))
    begin = -np.log1p(-share * rng.random(host.size)) / rate_s if host.size else np.zeros(0)
    given = causes or {i.cause: float(i.count) for i in interruptions() if i.part == "GPU"}
    return _outages(rng, "gpu", [(host, begin, begin + _lengths(rng, repair_s, False, host.size))], given)


def arrivals(rng: Callable[[str], np.random.Generator], rate_s: Floats, first: int, step_s: float) -> list[Floats]:
    """Times of a Poisson process whose rate is known tick by tick, the same however a run is cut into windows.

    Points of density one in the plane of time and rate, those that lie below the rate [1]: drawn by the hour and by bands
    of the rate, each twice as wide as the one below, from a stream of its own. A rate that changes moves no other point.
    rng: the stream of a name. rate_s: (T,) of ticks first to first + T - 1 [1/s]. step_s: length of a tick [s].
    Returns seconds into the tick, of each tick, rising. Raises InputError for a negative rate.

    [1] Lewis and Shedler, Naval Research Logistics Quarterly 26, 1979 (thinning).
    """
    if not ((rate_s >= 0.0).all() and np.isfinite(rate_s).all()):
        raise InputError(Problem("faults.arrivals", "rates must be finite and not negative"))
    ticks, found = len(rate_s), [np.empty((0, 2))]
    begin_s, end_s = first * step_s, (first + ticks) * step_s
    for hour in range(int(begin_s // HOUR_S), int(np.ceil(end_s / HOUR_S))):
        last = np.ceil((hour + 1) * HOUR_S / step_s) - first
        top = rate_s[max(int(hour * HOUR_S / step_s) - first, 0) : max(int(last), 0)].max(initial=0.0)
        low, wide = 0.0, LOWEST_BAND_S
        while low < top:
            band = rng(f"{hour}/{low:.3g}")
            count = band.poisson(wide * HOUR_S)
            time_s, level = (hour + band.random(count)) * HOUR_S, low + wide * band.random(count)
            tick = np.floor(time_s / step_s).astype(np.int64) - first
            here = (tick >= 0) & (tick < ticks)
            here[here] = level[here] < rate_s[tick[here]]
            found.append(np.stack([tick[here], time_s[here] - (first + tick[here]) * step_s], axis=1))
            low, wide = low + wide, 2.0 * wide
    points = np.concatenate(found)
    return [np.sort(points[points[:, 0] == t, 1]) for t in range(ticks)]


def share_up(outages: Iterable[Outage], kind: str, count: int, times_s: Floats, step_s: float) -> Floats:
    """The share of each tick that each of a kind is in service, exactly: 1 - |union of outages in tick| / step.

    outages: in any order, overlapping or not. kind: of those wanted. count: N. times_s: (T,) middle of ticks, rising
    [s]. step_s: length of a tick [s]. Returns (T, N), 0 to 1. Raises InputError for a subject outside 0 to N - 1.
    Reference: [1] measure of a union of intervals.
    """
    by_subject: dict[int, list[tuple[float, float]]] = {}
    for outage in sorted(_within(outages, kind, count, times_s, step_s), key=lambda o: o.start_s):
        spans = by_subject.setdefault(outage.subject, [])
        if spans and outage.start_s <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], outage.end_s))
        else:
            spans.append((outage.start_s, outage.end_s))
    merged = [(n, *span) for n, spans in by_subject.items() for span in spans]
    return np.clip(1.0 - _overlap(merged, count, times_s, step_s), 0.0, 1.0)


def lost(outages: Iterable[Outage], kind: str, count: int, times_s: Floats, step_s: float) -> Floats:
    """How many outages each subject has at once, as a mean of each tick: GPUs that a host lacks.

    outages, kind, times_s, step_s: as for `share_up`. count: H hosts. Returns (T, H).
    Raises InputError for a subject outside 0 to H - 1. Reference: [1] time average of a counting process.
    """
    within = _within(outages, kind, count, times_s, step_s)
    return _overlap([(o.subject, o.start_s, o.end_s) for o in within], count, times_s, step_s)


def attrition(age_s: Floats | float, rate_s: Floats | float) -> Floats:
    """The share that is left after an age when none is replaced: exp(-rate age).

    age_s: [s], rate_s: [1/s], any shapes that fit. Returns [1]. Raises InputError for negative numbers.
    Valid without infant mortality and wear. Reference: [1] Barlow and Proschan 1965, constant hazard.
    """
    age, rate = np.asarray(age_s, np.float64), np.asarray(rate_s, np.float64)
    if not ((age >= 0.0).all() and (rate >= 0.0).all()):
        raise InputError(Problem("faults.attrition", "age and rate must not be negative"))
    return np.asarray(np.exp(-rate * age), np.float64)


def _positive(**given: float) -> None:
    problems = [Problem(f"faults.{k}", f"must be positive, got {v:g}") for k, v in given.items() if not v > 0.0]
    if problems:
        raise InputError(problems)


def _up(rng: np.random.Generator, rate_s: Floats) -> Floats:
    with np.errstate(over="ignore"):  # a rate next to nothing: never
        return np.asarray(rng.exponential(size=rate_s.size) / rate_s, np.float64)


def _lengths(rng: np.random.Generator, repair_s: float, fixed: bool, size: int) -> Floats:
    if fixed or not np.isfinite(repair_s):
        return np.full(size, repair_s)
    return rng.exponential(repair_s, size)


def _outages(
    rng: np.random.Generator,
    kind: str,
    found: Sequence[tuple[Ints, Floats, Floats]],
    causes: Mapping[str, float] | None,
) -> list[Outage]:
    if not found:
        return []
    subject, begin, end = (np.concatenate([f[i] for f in found]) for i in range(3))
    order = np.lexsort((subject, begin))
    names = [""] * order.size
    if causes:
        weight = np.array(list(causes.values()), np.float64)
        names = [list(causes)[i] for i in rng.choice(weight.size, order.size, p=weight / weight.sum())]
    return [Outage(kind, int(subject[i]), float(begin[i]), float(end[i]), n) for i, n in zip(order, names, strict=True)]


def _within(outages: Iterable[Outage], kind: str, count: int, times_s: Floats, step_s: float) -> list[Outage]:
    """The outages of a kind that touch the ticks: few, where a window is cut from a long run."""
    begin_s, end_s = (times_s[0] - 0.5 * step_s, times_s[-1] + 0.5 * step_s) if times_s.size else (np.inf, -np.inf)
    found = [o for o in outages if o.kind == kind and o.start_s < end_s and o.end_s > begin_s]
    wrong = [o.subject for o in found if not 0 <= o.subject < count]
    if wrong:
        raise InputError(Problem(f"faults.{kind}", f"no subject {wrong[0]}; there are {count}"))
    return found


def _overlap(spans: Sequence[tuple[int, float, float]], count: int, times_s: Floats, step_s: float) -> Floats:
    """How much of each tick spans cover, summed by subject (T, N), in ticks."""
    covered = np.zeros((times_s.size, count))
    begin, end = times_s - 0.5 * step_s, times_s + 0.5 * step_s
    for subject, start_s, end_s in spans:
        own = slice(np.searchsorted(end, start_s, "right"), np.searchsorted(begin, end_s, "left"))
        covered[own, subject] += (np.minimum(end[own], end_s) - np.maximum(begin[own], start_s)) / step_s
    return covered
