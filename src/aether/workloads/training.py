"""Training: how long a step takes, what it needs, and how far a job comes through faults and slow links."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from aether.base.errors import InputError, Problem
from aether.base.tables import Progress
from aether.scenario.catalog import Accelerator, Catalog, LanguageModel
from aether.workloads.inference import Shortage
from aether.workloads.models import attention_flops, forward_flops, parameters

WEIGHT_BYTES = 2.0  # bf16, as kept for arithmetic
BACKWARD = 2.0  # operations of a backward pass over those of a forward one, arXiv 2104.04473
CHECKPOINT_BYTES = 14.0  # a parameter: bf16 weight, fp32 weight, two fp32 moments of Adam, arXiv 1910.02054


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Shares of the data sheet that training reaches, and the bytes that it keeps: see the assumptions `training.*`."""

    matmul: float  # of peak arithmetic, inside matrix products
    memory: float  # of memory bandwidth, between them
    fabric: float  # of the scale-up or scale-out rate, in collectives
    scale_out_byte_s: float  # per GPU each way, outside the scale-up domain
    gradient_bytes: float  # a parameter
    optimiser_bytes: float  # a parameter, spread over data-parallel ranks
    memory_share: float  # of GPU memory that may be planned with


@dataclass(frozen=True, slots=True)
class Layout:
    """How a model lies over GPUs: tensor x pipeline x data of them."""

    tensor: int
    pipeline: int
    data: int
    recompute: bool  # all activations; otherwise attention alone is computed again
    sequence_parallel: bool
    micro_batch: int = 1  # sequences
    interleave: int = 1  # groups of layers of one GPU in the pipeline


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step: its time and what it is made of."""

    time_s: float
    compute_s: float  # matrix products, what lies between them, the optimiser
    tensor_s: float  # exchanges: tensor-parallel sums, tokens on their way to experts and between stages
    bubble_s: float  # pipeline stages that wait
    data_s: float  # sums of gradients
    memory_bytes: float  # of the fullest GPU
    flops: float  # executed, all GPUs together


@dataclass(frozen=True, slots=True)
class Job:
    """A synchronous job of one or more members that work alike and exchange their parameters now and then."""

    step_s: float  # an inner step at full pace
    sync_every: int  # inner steps
    sync_bit: float  # sent by each member at a synchronisation; 0 for a single member
    overlap: bool  # sent while the next steps are computed, else before them
    checkpoint_every_s: float  # of useful work
    checkpoint_write_s: float  # that it stops work
    restart_s: float


@dataclass(frozen=True, slots=True)
class Spent:
    """Where a tick's time went; all but sent_bit add up to its length.

    useful_s is net: an interruption moves work done since the checkpoint, of earlier ticks too, from it to rework_s.
    """

    useful_s: float = 0.0
    slow_s: float = 0.0  # lost to a pace below 1
    sync_s: float = 0.0
    checkpoint_s: float = 0.0
    restart_s: float = 0.0
    rework_s: float = 0.0
    stopped_s: float = 0.0
    sent_bit: float = 0.0


def efficiency(catalog: Catalog) -> Efficiency:
    """The efficiencies and bytes that a catalog's assumptions `training.*` hold: the nominal values.

    catalog: from `scenario.catalog`. Returns Efficiency. Raises InputError where one is missing. Reference: [1] each
    assumption's own source.
    """
    value = catalog.value
    return Efficiency(
        value("training.matmul_efficiency"), value("training.memory_efficiency"), value("training.fabric_efficiency"),
        value("training.scale_out"), value("training.gradient_bytes"), value("training.optimiser_bytes"),
        value("training.memory_share"),
    )  # fmt: skip


def step_time(
    model: LanguageModel, gpu: Accelerator, batch: float, sequence: int, layout: Layout, reached: Efficiency,
    precision: str = "bf16", fused_attention: bool = True,
) -> Step:  # fmt: skip
    """Time of one optimiser step of a model laid over GPUs.

    t = m (F / (t p X e) + 2 n_pass A / (B e_B) + collectives) (1 + (p - 1) / (m v)) + gradients + optimiser, for m
    micro-batches a pipeline: F operations of one, X peak arithmetic, A activation bytes of 34 s b h and, attention not
    fused, 5 a s^2 b [1], each written and read in each of 2 passes (3 with recomputation), B memory bandwidth; a sum
    over t tensor ranks moves 2 (t - 1)/t of 2 s b h bytes, 4 times a layer (6 with recomputation) [1]; between stages
    go 2 s b h / t bytes each way, v times; bubble of p stages with v groups of layers each [2].
    model, gpu: from the catalog. batch: sequences of a step. sequence: tokens. layout: Layout. reached: Efficiency.
    precision: of matrix products, bf16 or fp8. fused_attention: scores stay on the chip and masked halves are skipped.
    Returns Step. Raises InputError for a layout that cannot be. Valid for balanced stages and experts;
    exchanges and sums of gradients hide behind nothing; experts are spread over data ranks. Within 6 % on A100
    from 22B to 1T [1].

    [1] arXiv 2205.05198. [2] arXiv 2104.04473, section 2.2.
    """
    _check(model, gpu, batch, sequence, layout)
    t, p, d = layout.tensor, layout.pipeline, layout.data
    micro = math.ceil(batch / (d * layout.micro_batch))  # micro-batches of a pipeline
    tokens = float(layout.micro_batch * sequence)
    context = sequence / 2 if fused_attention else sequence
    forward = float(forward_flops(model, tokens, context))
    again = forward - 2.0 * tokens * model.vocabulary * model.hidden
    again = again if layout.recompute else float(attention_flops(model, tokens, context))
    flops = forward * (1.0 + BACKWARD) + again
    moved = 2.0 * (3.0 if layout.recompute else 2.0) * _layer_bytes(model, layout) * tokens * model.layers
    moved += 0.0 if fused_attention else 2.0 * 3.0 * 5.0 * model.heads * sequence * tokens * model.layers / t
    compute = flops / (t * p * _peak(gpu, precision) * reached.matmul)
    compute += moved / (p * gpu.memory_rate.value * reached.memory)
    exchange = _exchange_s(model, gpu, layout, tokens, reached) / p
    bubble = (compute + exchange) * (p - 1) / layout.interleave
    dense, expert = _owned(model, layout)
    data = 2.0 * (d - 1) / d * dense * reached.gradient_bytes / _outer_byte_s(gpu, t * p * d, reached)
    adam = (dense / d + expert) * (2.0 * reached.optimiser_bytes + reached.gradient_bytes + WEIGHT_BYTES)
    compute = micro * compute + adam / (gpu.memory_rate.value * reached.memory)
    parts = (compute, micro * exchange, bubble, data)
    memory = memory_bytes(model, micro, sequence, layout, reached, fused_attention)
    return Step(sum(parts), *parts, memory, flops * micro * d)


def memory_bytes(
    model: LanguageModel, micro_batches: int, sequence: int, layout: Layout, reached: Efficiency,
    fused_attention: bool = True,
) -> float:  # fmt: skip
    """Memory of one GPU in training: weights, gradients, optimiser, activations.

    M = P (2 + g) + P o / d + A: P parameters of the GPU, g and o bytes of gradients and optimiser, the latter spread
    over data ranks; A activations of the min(p, m) micro-batches under way, 1 + (p - 1)/(p v) as many where stages
    interleave: 34 s b h a layer, or 2 s b h and one whole layer where all is recomputed [1]; and one micro-batch's logits.
    micro_batches: m of a pipeline. sequence: tokens. layout, reached, fused_attention: as for `step_time`.
    Returns [byte]. Valid for stages that hold equal shares. References: [1] arXiv 2205.05198, eq. 1 to 4.
    """
    dense, expert = _owned(model, layout)
    tokens, own = layout.micro_batch * sequence, model.layers / layout.pipeline
    whole, flying = _layer_bytes(model, layout), float(min(layout.pipeline, micro_batches))
    if layout.interleave > 1:
        flying *= 1.0 + (layout.pipeline - 1) / (layout.pipeline * layout.interleave)
    working = whole + (0.0 if fused_attention else 5.0 * model.heads * sequence / layout.tensor)
    stored = 2.0 * model.hidden * own * flying + working if layout.recompute else whole * own * flying + working - whole
    logits = (4.0 + WEIGHT_BYTES) * model.vocabulary / layout.tensor
    states = (dense + expert) * (WEIGHT_BYTES + reached.gradient_bytes)
    return states + (dense / layout.data + expert) * reached.optimiser_bytes + tokens * (stored + logits)


def layout(
    model: LanguageModel, gpu: Accelerator, gpus: int, batch: float, sequence: int, reached: Efficiency,
    precision: str = "bf16",
) -> Layout | Shortage:  # fmt: skip
    """The quickest way to lay a model over GPUs that fits their memory.

    Least `step_time` over tensor (dividing the heads, inside the scale-up domain) x pipeline (dividing the layers) x
    data <= gpus, stages interleaved or not, with and without full recomputation; GPUs beyond the product stand idle.
    gpus: at hand. batch: sequences of a step. sequence: tokens. Returns Layout, or Shortage with what is missing.
    Raises InputError where nothing is asked. Valid as `step_time`, attention fused. Reference: [1] arXiv 2104.04473.
    """
    have = gpu.memory.value * reached.memory_share
    best: tuple[float, Layout] | None = None
    least = math.inf
    for tried in _layouts(model, gpu, gpus, batch):
        step = step_time(model, gpu, batch, sequence, tried, reached, precision)
        least = min(least, step.memory_bytes)
        if step.memory_bytes <= have and (best is None or step.time_s < best[0]):
            best = step.time_s, tried
    if best is not None:
        return best[1]
    words = (
        f"training {model.name} at {sequence:,} tokens needs {least / 1e9:,.0f} GB on each of {gpus:,} GPUs; "
        f"{gpu.name} has {have / 1e9:,.0f} GB: short by {(least - have) / 1e9:,.0f} GB"
    )
    return Shortage(least, have, words)


def duration(active: float, tokens: float, gpus: float, flops_per_gpu: float, recompute: bool) -> float:
    """Time of a whole training run at a known rate: T = k N D / (n X), k = 8 with full recomputation, else 6.

    active: N, parameters that a token passes. tokens: D. gpus: n. flops_per_gpu: X reached [FLOP/s].
    Returns [s]. Raises InputError unless positive. Valid for sequences short beside six times the width, where
    attention's own operations are small. Reference: [1] arXiv 2104.04473, eq. 4.
    """
    _positive(active=active, tokens=tokens, gpus=gpus, flops_per_gpu=flops_per_gpu)
    return (8.0 if recompute else 6.0) * active * tokens / (gpus * flops_per_gpu)


def bandwidth(
    parameters: float, step_time_s: float, h: float, fragments: float, overlap_steps: float, bits: float, layers: float,
    utilisation: float,
) -> float:  # fmt: skip
    """Rate between members that keeps a share of time in compute, synchronising now and then.

    B = max(V / (E + 2/3 t (1 - 1/L) + tau t), (V / L) / (E + tau t)), V = N q / P bits an event, E = (H / P) t (1 - C)/C
    the wait allowed: a backward pass (two thirds of a step) hides all layers but the last, tau steps hide more.
    parameters: N. step_time_s: t [s]. h: H inner steps between synchronisations of a fragment. fragments: P. overlap_
    steps: tau. bits: q a parameter. layers: L. utilisation: C. Returns [bit/s]. Data parallel: H = P = 1, tau = 0.
    Raises InputError for numbers out of range. Within 1.2 of all 15 values published, whose grid is that coarse [1].

    [1] arXiv 2501.18512, Table 4; the formula is ours.
    """
    _positive(parameters=parameters, step_time=step_time_s, h=h, fragments=fragments, bits=bits, layers=layers)
    if not 0.0 < utilisation <= 1.0 or overlap_steps < 0.0:
        raise InputError(Problem("training.utilisation", "must lie above 0 and up to 1, overlap_steps not below 0"))
    volume, last = parameters * bits / fragments, overlap_steps * step_time_s
    wait = h / fragments * step_time_s * (1.0 - utilisation) / utilisation
    hidden = wait + 2.0 / 3.0 * step_time_s * (1.0 - 1.0 / layers) + last
    rates = [v / w if w > 0.0 else math.inf for v, w in ((volume, hidden), (volume / layers, wait + last))]
    return max(rates)


def effective_time(mttf_s: float, restart_s: float, interval_s: float, write_s: float) -> float:
    """Share of time that makes progress: f = (1 - (u + D/2) / M) / (1 + w / D), not below 0.

    mttf_s: M [s]. restart_s: u, from failure to running [s]. interval_s: D of work between checkpoints [s]. write_s: w
    that a checkpoint stops work [s]. Returns [1]. Raises InputError for numbers out of range.
    Valid for u + D well below M. Reference: [1] arXiv 2410.21680, effective training time ratio.
    """
    _positive(mttf=mttf_s, checkpoint_interval=interval_s)
    if restart_s < 0.0 or write_s < 0.0:
        raise InputError(Problem("training.restart", "restart and checkpoint_write must not be negative"))
    return max(0.0, 1.0 - (restart_s + interval_s / 2.0) / mttf_s) / (1.0 + write_s / interval_s)


def young_daly(mttf_s: float, write_s: float) -> float:
    """Work between checkpoints that loses least: D = sqrt(2 w M).

    mttf_s: M [s]. write_s: w that a checkpoint stops work [s]. Returns [s]. Raises InputError unless positive.
    Valid for w well below M. References: [1] Young 1974. [2] Daly 2006.
    """
    _positive(mttf=mttf_s, checkpoint_write=write_s)
    return math.sqrt(2.0 * write_s * mttf_s)


def checkpoint_bytes(model: LanguageModel) -> float:
    """Bytes of a checkpoint: 14 P, the weights in bf16 and fp32 and Adam's two moments.

    model: the shape. Returns [byte]. Valid for Adam in fp32. Reference: [1] arXiv 1910.02054, section 3.1.
    """
    return CHECKPOINT_BYTES * parameters(model).total


def begin(job: Job) -> Progress:
    """Where a job starts: a whole phase before it, nothing to send.

    job: Job. Returns Progress. Raises InputError for times that are not positive. Reference: [1] arXiv 2311.08105.
    """
    _positive(step=job.step_s, sync_every=job.sync_every, checkpoint_every=job.checkpoint_every_s)
    return Progress(0.0, job.sync_every * job.step_s)


def advance(
    job: Job, now: Progress, dt_s: float, pace: float, sync_bit_s: float, interruptions_s: Iterable[float] = ()
) -> tuple[Progress, Spent]:
    """One tick of a job: compute a phase, synchronise, again; checkpoint and restart between.

    Phase ends, checkpoints, ends of sending and interruptions follow one another as they come; between them all goes
    evenly. An interruption throws away what was done since the checkpoint and adds a restart; the job resumes in the
    phase where the checkpoint stood. With overlap a synchronisation is sent beside the next phase, which then waits for
    what is left.
    job: Job. now: Progress. dt_s: tick [s]. pace: share of full speed, 0 stands still. sync_bit_s: at which each member
    sends [bit/s], infinity allowed. interruptions_s: times in the tick [s]. Returns Progress and Spent.
    Raises InputError for a negative dt or rate and a pace outside 0 to 1. Valid for members in lockstep.

    [1] arXiv 2311.08105. [2] arXiv 2501.18512 for overlap.
    """
    if not (dt_s >= 0.0 and sync_bit_s >= 0.0 and 0.0 <= pace <= 1.0):
        raise InputError(Problem("training.advance", "dt and rate must not be negative, pace must lie from 0 to 1"))
    hits = [*sorted(t for t in interruptions_s if 0.0 <= t < dt_s), math.inf]
    spent, time = dict.fromkeys(Spent.__slots__, 0.0), 0.0
    while hits[0] < dt_s or time < dt_s:
        until = min(hits[0], dt_s)
        if time >= until:
            hits.pop(0)
            now, lost = _interrupt(job, now)
            spent["useful_s"] -= lost
            spent["rework_s"] += lost
            continue
        what, need_s = _activity(job, now, pace, sync_bit_s)
        done, took = need_s <= until - time, min(need_s, until - time)
        time = time + took if done else until
        spent[what] += took * (pace if what == "useful_s" else 1.0)
        spent["slow_s"] += took * (1.0 - pace) if what == "useful_s" else 0.0
        now, sent = _send(job, now, what, took, done, sync_bit_s)
        spent["sent_bit"] += sent
        now = _after(job, now, what, took, done, pace)
    return now, Spent(**spent)


def _activity(job: Job, now: Progress, pace: float, rate_bit_s: float) -> tuple[str, float]:
    """What a job does now, as the part of Spent that it counts to, and how long until that ends."""
    if pace <= 0.0:
        return "stopped_s", math.inf
    if now.down_s > 0.0:
        return "restart_s", now.down_s
    if now.kept_s >= job.checkpoint_every_s:
        return "checkpoint_s", max(0.0, job.checkpoint_every_s + job.checkpoint_write_s - now.kept_s)
    if now.sync_bit > 0.0 and (not job.overlap or now.phase_s <= 0.0):
        return "sync_s", now.sync_bit / rate_bit_s if rate_bit_s > 0.0 else math.inf
    return "useful_s", min(now.phase_s, job.checkpoint_every_s - now.kept_s) / pace


def _send(job: Job, now: Progress, what: str, took: float, done: bool, rate_bit_s: float) -> tuple[Progress, float]:
    """What goes out meanwhile: while waiting for it, or beside work where that overlaps."""
    if now.sync_bit <= 0.0 or not (what == "sync_s" or (job.overlap and what in ("useful_s", "checkpoint_s"))):
        return now, 0.0
    everything = (what == "sync_s" and done) or math.isinf(rate_bit_s)
    sent = now.sync_bit if everything else min(now.sync_bit, rate_bit_s * took)
    return replace(now, sync_bit=now.sync_bit - sent), sent


def _after(job: Job, now: Progress, what: str, took: float, done: bool, pace: float) -> Progress:
    """Where the job stands when a stretch is over; a new phase begins when one is computed and the last one is sent."""
    if what == "restart_s":
        return replace(now, down_s=0.0 if done else now.down_s - took)
    if what == "checkpoint_s":
        return replace(now, kept_s=0.0 if done else now.kept_s + took)
    if what == "useful_s":
        room = job.checkpoint_every_s - now.kept_s
        work = min(now.phase_s, room) if done else min(pace * took, now.phase_s)
        now = replace(now, step=now.step + work / job.step_s, phase_s=now.phase_s - work, kept_s=now.kept_s + work)
    if now.phase_s <= 0.0 and now.sync_bit <= 0.0:
        return replace(now, phase_s=job.sync_every * job.step_s, sync_bit=job.sync_bit)
    return now


def _interrupt(job: Job, now: Progress) -> tuple[Progress, float]:
    """Back to the checkpoint: the phase it stood in, nothing half sent; returns also the work thrown away."""
    lost = min(now.kept_s, job.checkpoint_every_s, now.step * job.step_s)
    if lost <= 0.0:  # nothing but what was being sent
        return replace(now, sync_bit=job.sync_bit if now.sync_bit > 0.0 else 0.0, kept_s=0.0, down_s=job.restart_s), 0.0
    step = max(0.0, now.step - lost / job.step_s)  # rounding must not reach below the start
    phase_s = (job.sync_every - step % job.sync_every) * job.step_s
    return Progress(step, phase_s, 0.0, 0.0, job.restart_s), lost


def _layouts(model: LanguageModel, gpu: Accelerator, gpus: int, batch: float) -> Iterator[Layout]:
    """Layouts worth trying, one sequence a micro-batch."""
    for tensor in (t for t in range(1, min(gpu.domain, gpus) + 1) if model.heads % t == 0):
        for pipeline in (p for p in range(1, min(gpus // tensor, model.layers) + 1) if model.layers % p == 0):
            data = max(1, min(gpus // (tensor * pipeline), math.floor(batch)))
            groups = model.layers // pipeline
            woven = (
                pipeline > 1 and batch / data >= pipeline
            )  # interleaving needs a micro-batch for each stage [2104.04473]
            for interleave in (v for v in range(1, groups + 1 if woven else 2) if groups % v == 0):
                for recompute in (False, True):
                    yield Layout(tensor, pipeline, data, recompute, tensor > 1, 1, interleave)


def _check(model: LanguageModel, gpu: Accelerator, batch: float, sequence: int, layout: Layout) -> None:
    problems = []
    for name in ("tensor", "pipeline", "data", "micro_batch", "interleave"):
        if getattr(layout, name) < 1:
            problems.append(Problem(f"layout.{name}", "must be at least 1"))
    if layout.tensor > gpu.domain:
        what = f"{layout.tensor} ranks do not fit the {gpu.domain} GPUs of a scale-up domain of {gpu.name}"
        problems.append(Problem("layout.tensor", what))
    if layout.pipeline * layout.interleave > model.layers:
        what = f"{layout.pipeline} x {layout.interleave} stages are more than the {model.layers} layers of {model.name}"
        problems.append(Problem("layout.pipeline", what))
    if not batch > 0.0 or sequence < 1:
        problems.append(Problem("batch", "batch and sequence must be positive"))
    if problems:
        raise InputError(problems)


def _positive(**given: float) -> None:
    problems = [Problem(f"training.{k}", f"must be positive, got {v:g}") for k, v in given.items() if not v > 0.0]
    if problems:
        raise InputError(problems)


def _peak(gpu: Accelerator, precision: str) -> float:
    """Peak arithmetic at a precision; a chip without FP8 runs it at its BF16 rate."""
    return (gpu.fp8 or gpu.bf16).value if precision == "fp8" else gpu.bf16.value


def _outer_byte_s(gpu: Accelerator, gpus: int, reached: Efficiency) -> float:
    """Rate of one GPU each way in collectives of the whole job: inside the scale-up domain if it fits."""
    inside = gpu.domain_rate is not None and gpus <= gpu.domain
    one_way = gpu.domain_rate.value / 2.0 if inside and gpu.domain_rate is not None else reached.scale_out_byte_s
    return one_way * reached.fabric


def _layer_bytes(model: LanguageModel, layout: Layout) -> float:
    """Activation bytes of a layer a token on one GPU, scores apart: 10 h + 24 h/t for a plain one [arXiv 2205.05198]."""
    key, value = model.head_dim + model.rope_dim, model.value_dim or model.head_dim
    kv_heads = model.heads if model.kv_rank else model.kv_heads
    sparse = (model.layers - model.dense_layers) / model.layers if model.experts else 0.0
    wide = (1.0 - sparse) * model.ffn + sparse * (model.active_experts + model.shared_experts) * model.expert_ffn
    inner = WEIGHT_BYTES * (model.heads * (key + value) + kv_heads * (key + value))
    inner += WEIGHT_BYTES * (3.0 if model.gated else 2.0) * wide
    return inner / layout.tensor + 10.0 * model.hidden / (layout.tensor if layout.sequence_parallel else 1)


def _exchange_s(model: LanguageModel, gpu: Accelerator, layout: Layout, tokens: float, reached: Efficiency) -> float:
    """Exchanges of a model for one micro-batch: tensor-parallel sums, tokens to experts and back, between stages."""
    passes, width = (3.0 if layout.recompute else 2.0), tokens * model.hidden * WEIGHT_BYTES
    sums = 2.0 * passes * 2.0 * (layout.tensor - 1) / layout.tensor * width * model.layers
    total = sums / _outer_byte_s(gpu, layout.tensor, reached)
    outer = _outer_byte_s(gpu, layout.tensor * layout.pipeline * layout.data, reached)
    if model.experts:
        spread = min(layout.data, model.experts)
        sent = width / layout.tensor * model.active_experts * (spread - 1) / spread
        total += 2.0 * passes * sent * (model.layers - model.dense_layers) / outer
    if layout.pipeline > 1:  # forward and back, split over tensor ranks, arXiv 2104.04473, section 4.1
        total += 2.0 * width / layout.tensor * layout.interleave * layout.pipeline / outer
    return total


def _owned(model: LanguageModel, layout: Layout) -> tuple[float, float]:
    """Parameters on one GPU: those that every data rank holds, and routed experts, spread over data ranks."""
    count, share = parameters(model), 1.0 / (layout.tensor * layout.pipeline)
    if not model.experts:
        return count.total * share, 0.0
    routed = (model.layers - model.dense_layers) * model.experts * model.hidden * model.expert_ffn
    routed *= 3 if model.gated else 2
    return (count.total - routed) * share, routed * share / min(layout.data, model.experts)
