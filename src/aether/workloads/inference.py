"""How fast a replica answers: a roofline kernel by kernel, continuous batching, memory for weights and caches, queues."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from aether.base.errors import InputError, Problem, unknown
from aether.base.tables import Floats, Serving
from aether.scenario.catalog import Accelerator, Calibration, Catalog, LanguageModel
from aether.workloads.models import attention_flops, kv_bytes, parameters, read_bytes, weight_bytes

_WIDER = {"bf16": ("bf16",), "fp8": ("fp8", "bf16"), "fp4": ("fp4", "fp8", "bf16")}  # what runs where a chip lacks it
_ACTIVATION_BYTES = 2.0  # activations travel in BF16, arXiv 1909.08053
_GPUS_OF_MAX_BATCH = 8  # the replica that `serving.max_batch` is told for


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What real servers reach: shares of peak, overheads, and how they are set up (the catalog's `serving.*`)."""

    compute: float  # share of peak FLOP/s
    bandwidth: float  # share of peak memory bandwidth
    overhead_s: float  # of each iteration
    allreduce: float  # share of the scale-up fabric's rate
    collective_s: float  # latency of one collective
    memory: float  # share of memory for weights and caches
    chunk_tokens: float  # most prefill tokens of an iteration
    max_batch: float  # requests in flight, replica of up to eight GPUs
    least_batch: float  # requests that a replica should hold


@dataclass(frozen=True, slots=True)
class Drafts:
    """Speculative decoding: a small model proposes, the large one checks."""

    model: LanguageModel
    length: int  # proposed in an iteration
    acceptance: float  # chance that a proposal is kept, alike for all

    @property
    def gain(self) -> float:
        """Tokens that an answer wins in an iteration, (1 - q^(k+1)) / (1 - q)."""
        width = self.length + 1
        return float(width) if self.acceptance == 1.0 else (1.0 - self.acceptance**width) / (1.0 - self.acceptance)


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a model fits on no replica: bytes needed, bytes there, and both in words."""

    need_bytes: float
    have_bytes: float
    words: str


def efficiency(catalog: Catalog) -> Efficiency:
    """The catalog's assumptions about servers as one record.

    catalog: with `serving.*`. Returns an Efficiency of nominal values. Raises InputError where one is missing.
    Valid for servers with continuous batching and paged caches. Reference: [1] arXiv 2309.06180.
    """
    names = ("compute_efficiency", "bandwidth_efficiency", "iteration_overhead", "allreduce_efficiency",
             "collective_latency", "memory_share", "prefill_chunk", "max_batch", "least_batch")  # fmt: skip
    return Efficiency(*(catalog.value(f"serving.{name}") for name in names))


def calibrated(catalog: Catalog, model: str, accelerator: str, precision: str) -> Efficiency:
    """The catalog's assumptions, with what was fitted to a log where model, accelerator and precision have been.

    catalog: with `serving.*` and calibrations. Returns an Efficiency; `efficiency` where none matches, the last by name
    where several do. Valid for servers set up as the log's. Reference: [1] the calibration's own source in the catalog.
    """
    found, wanted = efficiency(catalog), (model, accelerator, precision)
    for part in catalog.kind("calibrations").values():
        if isinstance(part, Calibration) and (part.model, part.accelerator, part.precision) == wanted:
            found = replace(found, compute=float(part.compute_efficiency), bandwidth=float(part.bandwidth_efficiency),
                            overhead_s=float(part.iteration_overhead))  # fmt: skip
    return found


def flops_per_gpu(gpu: Accelerator, precision: str) -> float:
    """Peak dense speed of a chip at a precision, or at the next wider one that it has.

    gpu: the chip. precision: bf16, fp8 or fp4. Returns [FLOP/s]. Raises InputError for another precision.
    Valid for dense matrices. Reference: [1] the accelerator's own source in the catalog.
    """
    if precision not in _WIDER:
        raise InputError(unknown("precision", "precision", precision, _WIDER))
    speeds = (getattr(gpu, name) for name in _WIDER[precision])
    return next(float(speed) for speed in speeds if speed is not None)


def iteration_s(
    model: LanguageModel, gpu: Accelerator, gpus: int, precision: str, decode: ArrayLike, prefill: ArrayLike,
    context: ArrayLike, prompt: ArrayLike, efficiency: Efficiency, width: int = 1,
) -> Floats:  # fmt: skip
    """Time of one iteration of a server that mixes answers and prompts.

    t = max(2 P n / F, W / B) + max(A_d / F_16, K / B) + A_p / F_16 + exchange + overhead, n = w decode + prefill: matrices,
    attention of answers and attention of prompts are kernels one after another, each bound by arithmetic or memory.
    exchange: 2 all-reduces a layer of 2 (g-1)/g n h bytes each over half the fabric's rate, and their latency.
    decode: answers in progress [1]. prefill: prompt tokens mixed in [1]. context: mean context of answers [1]. prompt:
    length of prompts [1], any shapes that broadcast. gpus: g, tensor parallel. width: w, tokens of an answer that are
    checked at once, 1 without drafts. Returns [s], as broadcast.
    Raises InputError where the chip's fabric does not join so many GPUs. Valid for caches spread evenly over the GPUs
    (latent caches: by requests), without pipelines or expert parallelism across domains.
    References: [1] Williams, Waterman, Patterson 2009. [2] arXiv 2308.16369 for chunked prefill. [3] arXiv 1909.08053.
    """
    _check(gpu, gpus)
    decode, prefill = np.asarray(decode, float), np.asarray(prefill, float)
    tokens, count = decode * width + prefill, parameters(model)
    linear = gpus * flops_per_gpu(gpu, precision) * efficiency.compute
    sixteen = gpus * float(gpu.bf16) * efficiency.compute  # attention stays in BF16
    memory = gpus * float(gpu.memory_rate) * efficiency.bandwidth
    matrices = np.maximum(
        2.0 * (count.active - count.embedding) * tokens / linear, read_bytes(model, tokens, precision) / memory
    )
    answers = np.maximum(
        attention_flops(model, decode * width, context, absorbed=True) / sixteen,
        decode * kv_bytes(model, context, precision) / memory,
    )
    prompts = attention_flops(model, prefill, np.asarray(prompt, float) / 2.0) / sixteen
    return matrices + answers + prompts + _exchange(model, gpu, gpus, tokens, efficiency) + efficiency.overhead_s


def _exchange(model: LanguageModel, gpu: Accelerator, gpus: int, tokens: Floats, efficiency: Efficiency) -> Floats:
    if gpus == 1 or gpu.domain_rate is None:
        return np.zeros_like(tokens)
    sent = 2.0 * (gpus - 1) / gpus * tokens * model.hidden * _ACTIVATION_BYTES
    one_way = float(gpu.domain_rate) / 2.0 * efficiency.allreduce
    return 2.0 * model.layers * (sent / one_way + efficiency.collective_s)


def _check(gpu: Accelerator, gpus: int) -> None:
    if gpus < 1 or gpus > gpu.domain or (gpus > 1 and gpu.domain_rate is None):
        most = gpu.domain if gpu.domain_rate is not None else 1
        raise InputError(
            Problem("gpus", f"a replica has 1 to {most} {gpu.name}, as many as its fabric joins, not {gpus}")
        )


def fits(
    model: LanguageModel, gpu: Accelerator, gpus: int, precision: str, input_tokens: float, output_tokens: float,
    efficiency: Efficiency, drafts: Drafts | None = None,
) -> int:  # fmt: skip
    """The most requests that a replica's memory holds.

    slots = floor((share M g - weights) / cache of one whole request), at most `max_batch`; a draft's weights and cache
    stand beside. gpus: g. input_tokens, output_tokens: of one request [1]. Returns slots [1], 0 where weights or one request do not
    fit. Raises InputError for an unknown precision. Valid for paged caches; counts each request at its end, so
    preemption never happens. Reference: [1] arXiv 2309.06180.
    """
    weights, each = _held(model, precision, input_tokens + output_tokens, drafts)
    free = efficiency.memory * float(gpu.memory) * gpus - weights
    most = max(1, int(efficiency.max_batch * max(1.0, gpus / _GPUS_OF_MAX_BATCH)))
    return int(min(most, max(0.0, free // each)))


def replica(
    model: LanguageModel, gpu: Accelerator, precision: str, tokens: float, most_gpus: int, efficiency: Efficiency,
    drafts: Drafts | None = None,
) -> int | Shortage:  # fmt: skip
    """The fewest GPUs that serve a model well, or what is missing.

    1, 2, 4, ... up to the scale-up domain: the first that holds `least_batch` requests, else the largest that holds one.
    tokens: of one whole request [1]. most_gpus: of the host [1]. Returns GPUs, or a Shortage at the largest replica.
    Raises InputError for an unknown precision. Valid for tensor parallelism. Reference: [1] arXiv 1909.08053.
    """
    limit = max(1, min(gpu.domain if gpu.domain_rate is not None else 1, most_gpus))
    sizes = [2**power for power in range(limit.bit_length())]
    held = {size: fits(model, gpu, size, precision, tokens, 0.0, efficiency, drafts) for size in sizes}
    if held[sizes[-1]] == 0:
        return _shortage(model, gpu, sizes[-1], precision, tokens, efficiency, drafts)
    return next((size for size in sizes if held[size] >= efficiency.least_batch), sizes[-1])


def _shortage(
    model: LanguageModel, gpu: Accelerator, gpus: int, precision: str, tokens: float, efficiency: Efficiency,
    drafts: Drafts | None,
) -> Shortage:  # fmt: skip
    weights, one = _held(model, precision, tokens, drafts)
    have = efficiency.memory * float(gpu.memory) * gpus
    need = weights if weights > have else weights + one
    parts = f"{_gb(weights)} for weights" + ("" if weights > have else f" and {_gb(one)} for a request")
    there = f"{gpus} x {_gb(float(gpu.memory))} has {_gb(have)} usable"
    return Shortage(need, have, f"{model.name} in {precision} needs {parts}, {there}: short by {_gb(need - have)}")


def _held(model: LanguageModel, precision: str, tokens: float, drafts: Drafts | None) -> tuple[float, float]:
    """Bytes of weights and of one request's cache, a draft's counted."""
    weights, each = weight_bytes(model, precision), float(kv_bytes(model, tokens, precision))
    if drafts is None:
        return weights, each
    return weights + weight_bytes(drafts.model, precision), each + float(kv_bytes(drafts.model, tokens, precision))


def _gb(size: float) -> str:
    return f"{size / 1e9:,.{0 if size >= 20e9 else 1}f} GB"


def curve(
    model: LanguageModel, gpu: Accelerator, gpus: int, precision: str, input_tokens: float, output_tokens: float,
    efficiency: Efficiency, hit: float = 0.0, drafts: Drafts | None = None,
) -> Serving:  # fmt: skip
    """How a replica serves requests of one length, by requests in flight.

    With D answers in progress, prompts come in as answers leave: X = D / (out t). A share m = min(1, D chunks / out) of
    iterations carries a chunk of a prompt: t = (1 - m) t(D, 0) + m t(D, chunk); a single request meets no other's prompt.
    A first token takes half an iteration, its prompt's chunks among D answers, and the wait behind other prompts,
    rho s / (2 (1 - rho)), rho = X s their share of time. In flight: b = D + X first (Little). Of a prompt, 1 - hit is read,
    each token looking at (1 + hit) / 2 of it. Drafts: an answer takes out / g iterations, which check k + 1 of its tokens
    after k of the draft; g as in `Drafts`.
    gpus: of the replica. input_tokens, output_tokens: means [1]. hit: share of a prompt found in the cache [1]. drafts:
    of speculative decoding. Returns Serving over b = 1 to the slots of `fits`; `iteration_s` is between two tokens.
    Raises InputError with the shortage where nothing fits. Valid for a steady state at full clocks with greedy batching,
    caches shared by no two requests in memory, drafts that read prompts for nothing.
    References: [1] arXiv 2308.16369. [2] Little 1961. [3] Pollaczek 1930. [4] arXiv 2211.17192. [5] arXiv 2407.00079.
    """
    _check(gpu, gpus)
    slots = _slots(model, gpu, gpus, precision, input_tokens, output_tokens, efficiency, drafts)
    context, gain = input_tokens + output_tokens / 2.0, drafts.gain if drafts else 1.0
    read, turns = max(input_tokens * (1.0 - hit), 1.0), output_tokens / gain  # the last token is always read
    chunks = float(np.ceil(read / efficiency.chunk_tokens))

    def took(decode: Floats, prefill: ArrayLike) -> Floats:
        seen = input_tokens * (1.0 + hit)
        return _turn(model, gpu, gpus, precision, decode, prefill, context, seen, efficiency, drafts)

    answers = np.geomspace(1e-6, slots, 400)
    busy = np.maximum(answers, 1.0)  # while it runs, a decoder has at least one answer
    plain, chunk = took(busy, 0.0), read / chunks
    share = np.minimum(busy * chunks / turns, 1.0)  # of iterations that carry a chunk
    full = plain + share * (took(busy, np.maximum(chunk, busy * read / turns)) - plain)
    alone = chunks * took(busy, chunk)
    flight = answers * (1.0 + (0.5 * full + alone) / (turns * full))
    others = 1.0 - 1.0 / np.maximum(flight, 1.0)  # nobody meets his own prompt
    few = np.maximum(plain + answers * others * (full - plain), answers * full)
    t = np.where(answers < 1.0, few, full)
    rate = np.maximum.accumulate(answers / (turns * t))  # a server that would lose by taking more does not
    prompt = alone - chunks * plain  # what the prompt itself adds
    load = np.minimum(rate * prompt * others, 1.0 - 1e-9)
    first = np.maximum.accumulate(0.5 * t + alone + prompt * load / (2.0 * (1.0 - load)))
    flight = answers + rate * first
    batch = np.unique(np.round(np.geomspace(1.0, slots, 48)))
    rate, t, first = (np.interp(batch, flight, values) for values in (rate, t, first))
    return Serving(gpus, batch, rate, t / gain, first, weight_bytes(model, precision),
                   float(kv_bytes(model, input_tokens + output_tokens, precision)))  # fmt: skip


def _turn(
    model: LanguageModel, gpu: Accelerator, gpus: int, precision: str, decode: Floats, prefill: ArrayLike, context: float,
    prompt: float, efficiency: Efficiency, drafts: Drafts | None,
) -> Floats:  # fmt: skip
    """One iteration of a replica, with what its draft proposes before."""
    width = drafts.length + 1 if drafts else 1
    whole = iteration_s(model, gpu, gpus, precision, decode, prefill, context, prompt, efficiency, width)
    if drafts is None:
        return whole
    return whole + drafts.length * iteration_s(
        drafts.model, gpu, gpus, precision, decode, 0.0, context, 0.0, efficiency
    )


def _slots(
    model: LanguageModel, gpu: Accelerator, gpus: int, precision: str, input_tokens: float, output_tokens: float,
    efficiency: Efficiency, drafts: Drafts | None,
) -> int:  # fmt: skip
    """`fits`, or InputError with the shortage."""
    slots = fits(model, gpu, gpus, precision, input_tokens, output_tokens, efficiency, drafts)
    if slots == 0:
        short = _shortage(model, gpu, gpus, precision, input_tokens + output_tokens, efficiency, drafts)
        raise InputError(Problem("gpus", short.words))
    return slots


def reading(
    model: LanguageModel, gpu: Accelerator, gpus: int, precision: str, input_tokens: float, efficiency: Efficiency,
    hit: float = 0.0,
) -> Serving:  # fmt: skip
    """How a replica reads prompts whose answers are written elsewhere, one after another.

    s = chunks t(0, chunk); 1 / s prompts a second, first token after s. input_tokens: mean [1]. hit: share of it found in
    the cache [1]. Returns Serving with one request in flight. Raises InputError with the shortage where weights and one
    prompt do not fit. Valid for prompts of one length. Reference: [1] arXiv 2401.09670.
    """
    _check(gpu, gpus)
    _slots(model, gpu, gpus, precision, input_tokens, 1.0, efficiency, None)
    read = max(input_tokens * (1.0 - hit), 1.0)
    chunks = float(np.ceil(read / efficiency.chunk_tokens))
    seen = input_tokens * (1.0 + hit)
    took = chunks * float(iteration_s(model, gpu, gpus, precision, 0.0, read / chunks, 0.0, seen, efficiency))
    each = float(kv_bytes(model, input_tokens, precision))
    return Serving(
        gpus, np.ones(1), np.array([1.0 / took]), np.array([took]), np.array([took]), weight_bytes(model, precision), each
    )  # fmt: skip


def writing(
    model: LanguageModel, gpu: Accelerator, gpus: int, precision: str, input_tokens: float, output_tokens: float,
    efficiency: Efficiency, drafts: Drafts | None = None,
) -> Serving:  # fmt: skip
    """How a replica writes answers whose prompts were read elsewhere, by answers in progress.

    X = D / ((out - 1) / g t(D)): the reader gives the first token. input_tokens, output_tokens: means [1]. Returns Serving;
    `first_token_s` is half an iteration, the wait to join. Raises InputError with the shortage where nothing fits. Valid
    as `curve`. References: [1] arXiv 2401.09670. [2] arXiv 2311.18677.
    """
    _check(gpu, gpus)
    slots = _slots(model, gpu, gpus, precision, input_tokens, output_tokens, efficiency, drafts)
    batch, gain = np.unique(np.round(np.geomspace(1.0, slots, 48))), drafts.gain if drafts else 1.0
    context = input_tokens + output_tokens / 2.0
    t = _turn(model, gpu, gpus, precision, batch, 0.0, context, 0.0, efficiency, drafts)
    rate = np.maximum.accumulate(batch * gain / (max(output_tokens - 1.0, gain) * t))
    return Serving(gpus, batch, rate, t / gain, 0.5 * t, weight_bytes(model, precision),
                   float(kv_bytes(model, input_tokens + output_tokens, precision)))  # fmt: skip


def operate(serving: Serving, load: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Where a replica works at a load.

    Linear between the curve's points, by requests per second. load: share of the largest `request_s`, 0 to 1, any shape.
    Returns requests in flight [1], iteration [s] and first token [s], shape of load; 0 in flight at no load.
    Valid from 0 to 1; beyond, the end of the curve. Reference: [1] Little 1961.
    """
    rate = np.asarray(load, float) * serving.request_s[-1]
    batch = np.interp(rate, np.concatenate(([0.0], serving.request_s)), np.concatenate(([0.0], serving.batch)))
    return (
        batch,
        np.interp(rate, serving.request_s, serving.iteration_s),
        np.interp(rate, serving.request_s, serving.first_token_s),
    )


def wait_s(
    load: ArrayLike, servers: ArrayLike, service_s: ArrayLike, ca2: ArrayLike = 1.0, cs2: ArrayLike = 1.0
) -> Floats:
    """Mean wait in the queue before several equal servers.

    W = s (ca2 + cs2)/2 rho^(sqrt(2 (c + 1)) - 1) / (c (1 - rho)).
    load: rho, share of all servers' capacity [1]. servers: c [1]. service_s: s, mean service of one [s]. ca2, cs2: squared
    coefficients of variation of times between arrivals and of service, 1 for Poisson and exponential [1].
    Returns [s], as the inputs broadcast; infinity from a load of 1 on.
    Valid in a steady state; exact for M/M/1 and, in the limit, for heavy traffic. Reference: [1] Sakasegawa 1977.
    """
    rho, c = np.asarray(load, float), np.asarray(servers, float)
    spread = (np.asarray(ca2, float) + np.asarray(cs2, float)) / 2.0
    below = np.minimum(rho, 1.0 - 1e-12)
    wait = np.asarray(service_s, float) * spread * below ** (np.sqrt(2.0 * (c + 1.0)) - 1.0) / (c * (1.0 - below))
    return np.where(rho >= 1.0, np.inf, wait)
