"""Training inside a ship: how a model lies over GPUs, how long a step takes and what it needs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from aether.base.errors import InputError, Problem
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
    """How a model lies over GPUs: tensor x pipeline x data of them, experts spread over some of the data ranks."""

    tensor: int
    pipeline: int
    data: int
    recompute: bool  # all activations; otherwise attention alone is computed again
    sequence_parallel: bool
    micro_batch: int = 1  # sequences
    interleave: int = 1  # groups of layers of one GPU in the pipeline
    expert: int | None = None  # data ranks over which routed experts are spread; as many as there are when left out

    def spread(self, experts: int) -> int:
        """Ranks that share the routed experts."""
        return min(self.data, experts, self.expert or self.data)


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
    exchanges and sums of gradients hide behind nothing; experts are spread over e of the data ranks: their tokens stay in
    the scale-up domain where t e GPUs fit it, and their gradients are summed over d / e. Within 6 % on A100 from 22B to
    1T [1].

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
    copies = _copies(model, layout)
    summed = (d - 1) / d * dense + (copies - 1.0) / copies * expert
    data = 2.0 * summed * reached.gradient_bytes / _outer_byte_s(gpu, t * p * d, reached)
    adam = (dense / d + expert / copies) * (2.0 * reached.optimiser_bytes + reached.gradient_bytes + WEIGHT_BYTES)
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
    return (
        states
        + (dense / layout.data + expert / _copies(model, layout)) * reached.optimiser_bytes
        + tokens * (stored + logits)
    )


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
    positive(active=active, tokens=tokens, gpus=gpus, flops_per_gpu=flops_per_gpu)
    return (8.0 if recompute else 6.0) * active * tokens / (gpus * flops_per_gpu)


def checkpoint_bytes(model: LanguageModel) -> float:
    """Bytes of a checkpoint: 14 P, the weights in bf16 and fp32 and Adam's two moments.

    model: the shape. Returns [byte]. Valid for Adam in fp32. Reference: [1] arXiv 1910.02054, section 3.1.
    """
    return CHECKPOINT_BYTES * parameters(model).total


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
                for recompute, expert in product((False, True), _spreads(model, gpu, tensor, data)):
                    yield Layout(tensor, pipeline, data, recompute, tensor > 1, 1, interleave, expert)


def _spreads(model: LanguageModel, gpu: Accelerator, tensor: int, data: int) -> list[int | None]:
    """Over how many data ranks experts may be spread: all, or as many as the scale-up domain holds; dense: no matter."""
    if not model.experts:
        return [None]
    inside = [e for e in range(1, gpu.domain // tensor + 1) if data % e == 0 and model.experts % e == 0]
    return [None, max(inside)] if inside and max(inside) < min(data, model.experts) else [None]


def _check(model: LanguageModel, gpu: Accelerator, batch: float, sequence: int, layout: Layout) -> None:
    problems = []
    for name in ("tensor", "pipeline", "data", "micro_batch", "interleave", "expert"):
        if (getattr(layout, name) or 0) < 1 and (name != "expert" or layout.expert is not None):
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


def positive(**given: float) -> None:
    """InputError with every number that is not above zero."""
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
        sent = 2.0 * passes * width / layout.tensor * (model.layers - model.dense_layers)
        total += sent * _all_to_all_s(model, gpu, layout, reached)
    if layout.pipeline > 1:  # forward and back, split over tensor ranks, arXiv 2104.04473, section 4.1
        total += 2.0 * width / layout.tensor * layout.interleave * layout.pipeline / outer
    return total


def _all_to_all_s(model: LanguageModel, gpu: Accelerator, layout: Layout, reached: Efficiency) -> float:
    """Seconds a byte of activations takes to its k experts: to each domain among them once, then on inside it.

    Over n domains a token reaches n (1 - (1 - 1/n)^k) of them, one in n its own [arXiv 2412.19437, section 3.2.2].
    """
    spread, k = layout.spread(model.experts), model.active_experts
    domains = layout.tensor * spread / gpu.domain
    if domains <= 1.0:
        return k * (spread - 1) / spread / _outer_byte_s(gpu, layout.tensor * spread, reached)
    across = domains * (1.0 - (1.0 - 1.0 / domains) ** k) * (1.0 - 1.0 / domains)
    within = k * (gpu.domain - 1) / gpu.domain / _outer_byte_s(gpu, gpu.domain, reached)
    return across / (reached.scale_out_byte_s * reached.fabric) + within


def _copies(model: LanguageModel, layout: Layout) -> float:
    """How many ranks hold the same experts."""
    return layout.data / layout.spread(model.experts) if model.experts else 1.0


def _owned(model: LanguageModel, layout: Layout) -> tuple[float, float]:
    """Parameters on one GPU: those that every data rank holds, and its share of the routed experts."""
    count, share = parameters(model), 1.0 / (layout.tensor * layout.pipeline)
    if not model.experts:
        return count.total * share, 0.0
    routed = (model.layers - model.dense_layers) * model.experts * model.hidden * model.expert_ffn
    routed *= 3 if model.gated else 2
    return (count.total - routed) * share, routed * share / layout.spread(model.experts)
