"""Requests one by one through replicas with continuous batching: a token clock, a heap of departures, caches that fill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aether.base.errors import InputError, Problem
from aether.base.tables import Floats, Ints
from aether.scenario.catalog import Accelerator, LanguageModel
from aether.workloads import batching_kernels as kernels
from aether.workloads.batching_kernels import EXPIRED, IN_FLIGHT, SERVED, TOO_LONG
from aether.workloads.inference import Drafts, Efficiency, flops_per_gpu, iteration_s
from aether.workloads.models import attention_flops, kv_bytes, weight_bytes

__all__ = ["EXPIRED", "IN_FLIGHT", "MOST_REQUESTS", "SERVED", "TOO_LONG", "Batched", "Drafts", "Server", "Split", "queue", "serve",
           "server", "split"]  # fmt: skip

MOST_REQUESTS = 1 << kernels.SLOT_BITS
BLOCK_TOKENS = 16  # of one block of cache: block_size of vLLM on NVIDIA GPUs, docs of version 0.19


@dataclass(frozen=True, slots=True)
class Server:
    """What an iteration of one replica takes, and what the replica holds."""

    matrix_s: Floats  # (chunk + 1,) matrices, exchange and overhead by tokens in the iteration
    extra_s: Floats  # (batch + 1,) drafts by answers in progress
    context_s: float  # of an answer for each token it looks at
    prompt_s: float  # of a prompt's token for each token it looks at
    cache_tokens: float  # that memory holds beside the weights
    spare_tokens: float  # of each request: the most that its last block leaves empty
    context_tokens: float  # longest context of the model, infinity where not said
    width: int  # tokens of an answer that an iteration checks, 1 without drafts
    gain: float  # tokens that an answer wins in an iteration
    kv_bit: float  # of one token's cache


@dataclass(frozen=True, slots=True)
class Batched:
    """What became of each request (N,), and of each replica (R,)."""

    begun_s: Floats  # (N,) prompt taken up, NaN where never
    first_s: Floats  # (N,) first token
    finish_s: Floats  # (N,) last token; of a request that was refused, when
    status: NDArray[np.int8]  # (N,) SERVED, EXPIRED, TOO_LONG or IN_FLIGHT
    busy_s: Floats  # (R,) at work, in seconds of full clocks, until the last request is done
    peak_tokens: Floats  # (R,) most in the cache at once, spare ones of blocks included
    preempted: Ints  # (R,) times that a request was thrown out for want of memory


@dataclass(frozen=True, slots=True)
class Split:
    """Prompts read on some replicas, answers written on others (N,)."""

    prompts: Batched
    answers: Batched
    sent_bit: Floats  # (N,) caches over the link
    arrive_s: Floats  # (N,) last bit of the cache, NaN where none was sent


def server(
    model: LanguageModel, gpu: Accelerator, gpus: int, precision: str, efficiency: Efficiency, drafts: Drafts | None = None
) -> Server:  # fmt: skip
    """The costs of a replica's iterations as the event core wants them.

    t = M(w D + P) + k t_draft(D) + a sum c_i + b sum p (o + p/2): the roofline of `inference.iteration_s` splits without
    error, since its matrices depend on the tokens in the iteration alone and its attention is linear in what is looked at;
    M is tabulated at every whole number of tokens. D answers of context c_i, P prompt tokens, p of a prompt after its
    first o. Drafts: w = k + 1 tokens checked an iteration, (1 - q^(k+1)) / (1 - q) won [2].
    gpus: of the replica. efficiency: shares of peak, `chunk_tokens` and `max_batch` (taken as it is for any number of
    GPUs). Returns a Server. Raises InputError where weights leave no memory, or the batch does not fit an iteration.
    Valid as `inference.iteration_s`; a model's draft runs on the same GPUs. References: [1] arXiv 2308.16369.
    [2] Leviathan, Kalman, Matias, arXiv 2211.17192, eq. 1.
    """
    chunk, batch = int(efficiency.chunk_tokens), int(efficiency.max_batch)
    length = drafts.length if drafts else 0
    width = length + 1
    _check(model, gpu, gpus, precision, efficiency, drafts)
    tokens = np.arange(chunk + 1, dtype=float)
    matrix_s = iteration_s(model, gpu, gpus, precision, tokens, 0.0, 0.0, 0.0, efficiency)
    extra_s, held = np.zeros(batch + 1), weight_bytes(model, precision)
    each = float(kv_bytes(model, 1.0, precision))
    if drafts:
        answers = np.arange(batch + 1, dtype=float)
        extra_s += length * iteration_s(drafts.model, gpu, gpus, precision, answers, 0.0, 0.0, 0.0, efficiency)
        held += weight_bytes(drafts.model, precision)
        each += float(kv_bytes(drafts.model, 1.0, precision))
    sixteen = gpus * float(gpu.bf16) * efficiency.compute
    flops = float(attention_flops(model, width, 1.0, absorbed=True))
    context_s = max(flops / sixteen, each / (gpus * float(gpu.memory_rate) * efficiency.bandwidth))
    free = efficiency.memory * float(gpu.memory) * gpus - held
    gain = drafts.gain if drafts else 1.0
    return Server(matrix_s, extra_s, context_s, float(attention_flops(model, 1.0, 1.0)) / sixteen, float(free // each), BLOCK_TOKENS - 1.0,
                  float(model.context or np.inf), width, gain, 8.0 * each)  # fmt: skip


def _check(
    model: LanguageModel, gpu: Accelerator, gpus: int, precision: str, efficiency: Efficiency, drafts: Drafts | None
) -> None:
    """InputError where the replica cannot be."""
    problems, width = [], drafts.length + 1 if drafts else 1
    flops_per_gpu(gpu, precision)
    batch, chunk = int(efficiency.max_batch), int(efficiency.chunk_tokens)
    if drafts and not (drafts.length >= 1 and 0.0 <= drafts.acceptance <= 1.0):
        problems.append(Problem("drafts", "proposes one token at least, each kept with a chance of 0 to 1"))
    if not 1 <= batch <= MOST_REQUESTS:
        problems.append(Problem("max_batch", f"must be 1 to {MOST_REQUESTS:,} requests, got {batch:,}"))
    if chunk <= width * batch:
        what = f"{chunk:,} tokens an iteration leave no room for prompts beside {batch:,} answers of {width}"
        problems.append(Problem("chunk_tokens", what))
    weights = weight_bytes(model, precision) + (weight_bytes(drafts.model, precision) if drafts else 0.0)
    have = efficiency.memory * float(gpu.memory) * gpus
    if weights >= have:
        what = f"{model.name} in {precision} needs {weights / 1e9:,.1f} GB for weights, {gpus} x {gpu.name} has {have / 1e9:,.1f} GB usable"
        problems.append(Problem("gpus", what))
    if problems:
        raise InputError(problems)


def serve(
    made: Server, start: ArrayLike, time_s: ArrayLike, input_tokens: ArrayLike, output_tokens: ArrayLike, *,
    hit_tokens: ArrayLike | None = None, patience_s: ArrayLike | None = None, until_s: float = np.inf,
    speed: ArrayLike | None = None, step_s: float = 1.0, memory: Literal["preempt", "reserve"] = "preempt",
) -> Batched:  # fmt: skip
    """Requests through replicas, exactly, iteration by iteration, though most iterations are jumped over.

    While no prompt is read and nobody leaves, iterations are equal but for contexts that grow: m of them take
    m A + B m (m + 1) / 2 in closed form; departures are points on the clock of tokens, kept in a heap. Answers go first,
    prompts share the tokens of an iteration that remain, first come first. memory: "preempt" takes a request in when its
    prompt fits and throws out the last admitted when contexts outgrow memory, its tokens to be read again (vLLM);
    "reserve" takes it in when all of it fits.
    start: (R + 1,) requests start[r] to start[r + 1] are those of replica r. time_s: arrivals, rising in each replica (N,)
    [s]. input_tokens, output_tokens: whole, 1 at least (N,). hit_tokens: of the prompt, found in the cache (N,). patience_s:
    who has not begun by then gives up, one or (N,) [s]. until_s: what ends later is in flight [s]. speed: share of full
    clocks in steps from 0 s on, one profile (T,) or (R, T), the last one lasts. step_s: [s]. Returns a Batched.
    Raises InputError for arrays that do not belong together. Valid where clocks slow memory and arithmetic alike; caches
    are counted by tokens with a whole spare block less one token for each request; chunks of prompts longer than an
    iteration are stepped one by one. References: [1] arXiv 2309.06180. [2] arXiv 2308.16369.
    """
    start, time_s, patience, profile, tokens = _read(
        start, time_s, input_tokens, output_tokens, hit_tokens, patience_s, speed, step_s
    )
    count, replicas = time_s.size, start.size - 1
    deadline_s = time_s + patience if patience.size else patience
    arrive_s = time_s
    if profile.size:
        arrive_s = _warp(profile, step_s, start, time_s)
        deadline_s = _deadlines(profile, step_s, start, deadline_s) if patience.size else patience
    begun, first = np.full(count, np.nan), np.full(count, np.nan)
    finish, status = np.full(count, np.nan), np.zeros(count, np.int8)
    busy_s, peak, lost = np.zeros(replicas), np.zeros(replicas), np.zeros(replicas, np.int64)
    kernels.run(start, arrive_s, deadline_s, tokens[0], tokens[2], tokens[1], made.matrix_s, made.extra_s, made.context_s, made.prompt_s,
                made.width, made.gain, made.spare_tokens, made.cache_tokens, made.context_tokens, memory == "reserve",
                begun, first, finish, status, busy_s, peak, lost)  # fmt: skip
    if profile.size:
        refused = (status == EXPIRED) | (status == TOO_LONG)
        begun = np.maximum(_unwarp(profile, step_s, start, begun, "right"), time_s)
        first, finish = (_unwarp(profile, step_s, start, v, "left") for v in (first, finish))
        said = time_s + np.where(status == EXPIRED, patience if patience.size else 0.0, 0.0)
        finish = np.where(refused, said, finish)
    if np.isfinite(until_s) or profile.size:
        status[~((finish <= until_s) & (finish < np.inf))] = IN_FLIGHT
        for values in (begun, first, finish):
            values[~((values <= until_s) & (values < np.inf))] = np.nan
    return Batched(begun, first, finish, status, busy_s, peak, lost)


_Read = tuple[Ints, Floats, Floats, Floats, tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]]


def _read(start: ArrayLike, time_s: ArrayLike, asked: ArrayLike, answer: ArrayLike, hit: ArrayLike | None,
          patience_s: ArrayLike | None, speed: ArrayLike | None, step_s: float) -> _Read:  # fmt: skip
    """The inputs as arrays of the kernel's types; InputError for what does not belong together."""
    begin, times = np.asarray(start, np.int64), np.asarray(time_s, np.float64)
    tokens = tuple(np.asarray(v if v is not None else (), np.int32) for v in (asked, answer, hit))
    patience = np.empty(0) if patience_s is None else np.broadcast_to(np.asarray(patience_s, float), times.shape)
    profile = np.empty((0, 0)) if speed is None else np.atleast_2d(np.asarray(speed, float))
    count, problems = times.size, []
    if not begin.size or begin[0] != 0 or begin[-1] != count or (np.diff(begin) < 0).any():
        problems.append(Problem("start", f"must rise from 0 to {count:,}, the number of requests"))
    else:
        falls = np.diff(times) < 0.0
        falls[begin[(begin > 0) & (begin < count)] - 1] = False
        if not np.isfinite(times).all() or falls.any() or (count and times.min() < 0.0):
            problems.append(Problem("time_s", "must be 0 or later and never fall within a replica"))
    for name, values, least in zip(("input_tokens", "output_tokens", "hit_tokens"), tokens, (1, 1, 0), strict=True):
        if name == "hit_tokens" and hit is None:
            continue
        if values.size != count or (count and values.min() < least):
            problems.append(Problem(name, f"must be {count:,} whole numbers of {least} at least"))
    if profile.size and (step_s <= 0.0 or profile.shape[0] not in (1, begin.size - 1) or not (profile >= 0.0).all()):
        problems.append(
            Problem("speed", f"must be shares from 0 on, one profile or {begin.size - 1}, in steps above 0 s")
        )
    if problems:
        raise InputError(problems)
    return begin, times, np.ascontiguousarray(patience), profile, (tokens[0], tokens[1], tokens[2])


def _work(profile: Floats, step_s: float) -> tuple[Floats, Floats]:
    """Edges of a profile's steps and the work done by then, (T + 1,)."""
    edges: Floats = np.arange(profile.size + 1) * np.float64(step_s)
    return edges, np.concatenate(([0.0], np.cumsum(profile) * step_s))


def _warp(profile: Floats, step_s: float, start: Ints, time_s: Floats) -> Floats:
    """Seconds of full clocks that each replica could have worked until each time (N,)."""
    out = np.empty_like(time_s)
    for r in range(start.size - 1):
        row, part = profile[r % len(profile)], slice(start[r], start[r + 1])
        edges, done = _work(row, step_s)
        beyond = np.where(np.isinf(time_s[part]), np.inf if row[-1] > 0.0 else 0.0, time_s[part] - edges[-1])
        out[part] = np.interp(time_s[part], edges, done) + np.maximum(beyond, 0.0) * (row[-1] or 1.0) * (row[-1] > 0.0)
    return out


def _deadlines(profile: Floats, step_s: float, start: Ints, deadline_s: Floats) -> Floats:
    """As `_warp`, but just before a standstill for what falls into it: nothing begins until after."""
    out = _warp(profile, step_s, start, deadline_s)
    for r in range(start.size - 1):
        row, part = profile[r % len(profile)], slice(start[r], start[r + 1])
        at = np.minimum(deadline_s[part] / step_s, row.size - 1.0).astype(np.int64)
        out[part] = np.where(row[at] > 0.0, out[part], np.nextafter(out[part], -np.inf))
    return out


def _unwarp(profile: Floats, step_s: float, start: Ints, work_s: Floats, side: Literal["left", "right"]) -> Floats:
    """When each replica has worked so much (N,): the first such time, or with "right" the last; infinity for never."""
    out = np.empty_like(work_s)
    for r in range(start.size - 1):
        row, part = profile[r % len(profile)], slice(start[r], start[r + 1])
        edges, done = _work(row, step_s)
        wanted = work_s[part]
        at = np.clip(np.searchsorted(done, wanted, side=side) - 1, 0, row.size - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = edges[at] + (wanted - done[at]) / row[at]
        out[part] = np.where(wanted == done[at], edges[at], found)
    return out


def queue(ready_s: ArrayLike, size_bit: ArrayLike, rate_bit_s: float, latency_s: float = 0.0) -> Floats:
    """When the last bit of each arrives over a link that sends one after another, the first that is ready first.

    f_i = max(r_i, f_(i-1)) + s_i / rate. ready_s: (N,) [s], NaN for what is never sent. size_bit: (N,) [bit]. rate_bit_s:
    [bit/s]. latency_s: of the way [s]. Returns (N,) [s]. Valid for one flow at a time at the link's whole rate.
    Reference: [1] Lindley 1952.
    """
    ready, order = np.asarray(ready_s, float), np.argsort(np.asarray(ready_s, float), kind="stable")
    order = order[np.isfinite(ready[order])]
    took = np.cumsum(np.broadcast_to(np.asarray(size_bit, float), ready.shape)[order] / rate_bit_s)
    before = np.concatenate(([0.0], took))[:-1]
    out = np.full(ready.shape, np.nan)
    out[order] = took + np.maximum.accumulate(ready[order] - before) + latency_s if order.size else 0.0
    return out


def split(
    prompts: Server, answers: Server, time_s: ArrayLike, input_tokens: ArrayLike, output_tokens: ArrayLike,
    rate_bit_s: float, latency_s: float = 0.0,
) -> Split:  # fmt: skip
    """Prompts read on one replica, their caches sent over a link, answers written on another.

    The first token comes from the one that reads; the other gets the cache of the prompt, reads its last token again and
    goes on from the second. time_s: rising (N,) [s]. input_tokens, output_tokens: (N,). rate_bit_s: of the link between
    the two [bit/s]. latency_s: of the way [s]. Returns a Split; requests of one token never travel, and have the end of
    their prompts. Raises InputError as `serve`. Valid for a cache sent whole after the prompt; sending layer by layer
    hides most of it. References: [1] arXiv 2401.09670. [2] arXiv 2311.18677.
    """
    times, asked, answer = np.asarray(time_s, float), np.asarray(input_tokens), np.asarray(output_tokens)
    one = np.ones(times.size, np.int64)
    read = serve(prompts, [0, times.size], times, asked, one)
    goes = (read.status == SERVED) & (answer > 1)
    sent_bit = np.where(goes, asked * prompts.kv_bit, 0.0)
    arrive_s = queue(np.where(goes, read.first_s, np.nan), sent_bit, rate_bit_s, latency_s)
    order = np.argsort(arrive_s, kind="stable")[: int(goes.sum())]
    wrote = serve(answers, [0, order.size], arrive_s[order], asked[order], answer[order] - 1, hit_tokens=asked[order])
    values = []
    for mine, before in ((wrote.begun_s, read.begun_s), (wrote.first_s, read.first_s), (wrote.finish_s, read.finish_s)):
        whole = before.copy()
        whole[order] = mine
        values.append(whole)
    status = read.status.copy()
    status[order] = wrote.status
    written = Batched(values[0], values[1], values[2], status, wrote.busy_s, wrote.peak_tokens, wrote.preempted)
    return Split(read, written, sent_bit, arrive_s)
