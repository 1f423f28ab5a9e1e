"""Tuning of served models: what an adapter weighs and costs, and what a swap takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aether.base.errors import InputError, Problem, unknown
from aether.scenario.catalog import Accelerator, Catalog, LanguageModel
from aether.workloads.inference import Shortage
from aether.workloads.models import forward_flops, parameters, training_flops, weight_bytes

Method = Literal["lora", "full"]
TARGETS = ("attention", "all")
_ADAPTER_BYTES = 2.0  # a parameter as served, bf16
_ADAPTER_STATE_BYTES = 16.0  # a parameter in training: bf16 and fp32 weight, gradient, two moments, arXiv 1910.02054
_FULL_STATE_BYTES = 18.0  # the same with fp32 gradients


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What tuning reaches, and what a swap takes: the catalog's `tuning.*`."""

    compute: float  # share of peak arithmetic
    memory: float  # share of memory for weights, states and activations
    load_byte_s: float  # into a GPU's memory


def efficiency(catalog: Catalog) -> Efficiency:
    """The catalog's assumptions about tuning: nominal values.

    catalog: with `tuning.*`. Returns Efficiency. Raises InputError where one is missing. Reference: [1] each
    assumption's own source.
    """
    return Efficiency(
        *(catalog.value(f"tuning.{name}") for name in ("compute_efficiency", "memory_share", "load_rate"))
    )


def adapter_parameters(model: LanguageModel, rank: int, targets: str = "all") -> float:
    """Parameters of a low-rank adapter: two thin matrices beside each matrix that it adapts.

    P = L r sum (d_in + d_out). model: the shape. rank: r [1]. targets: `attention`, the query and value projections as in
    the first paper, or `all`, every projection of attention and of dense and shared feed-forward blocks; routed experts are left as they are.
    Returns [1]. Raises InputError for another choice of targets or a rank below 1. Valid for softmax attention, latent ones
    by their down and up projections. Reference: [1] arXiv 2106.09685.
    """
    if targets not in TARGETS:
        raise InputError(unknown("targets", "choice of matrices", targets, TARGETS))
    if rank < 1:
        raise InputError(Problem("rank", f"must be 1 or more, got {rank}"))
    query, key, value, out = _attention_sides(model)
    if targets == "attention":
        return float(model.layers * rank * (query + value))
    matrices = 3 if model.gated else 2
    dense = model.dense_layers if model.experts else model.layers
    wide = dense * matrices * (model.hidden + model.ffn)
    wide += (model.layers - dense) * model.shared_experts * matrices * (model.hidden + model.expert_ffn)
    return float(rank * (model.layers * (query + key + value + out) + wide))


def _attention_sides(model: LanguageModel) -> tuple[float, float, float, float]:
    """d_in + d_out of the query, key, value and output projections of a layer."""
    value_dim = model.value_dim or model.head_dim
    out = model.heads * value_dim + model.hidden
    if not model.kv_rank:
        query, key = model.hidden + model.heads * model.head_dim, model.hidden + model.kv_heads * model.head_dim
        return query, key, model.hidden + model.kv_heads * value_dim, out
    turned = model.heads * (model.head_dim + model.rope_dim)
    query = (
        (model.hidden + model.query_rank) + (model.query_rank + turned) if model.query_rank else model.hidden + turned
    )
    return query, model.hidden + model.kv_rank + model.rope_dim, model.kv_rank + model.heads * (model.head_dim + value_dim), out  # fmt: skip


def tuned_bytes(model: LanguageModel, method: Method, rank: int, precision: str, targets: str = "all") -> float:
    """What is sent to every replica: an adapter in bf16, or all weights at the serving precision.

    model: the shape. method: lora or full. rank, targets: as in `adapter_parameters`. precision: of serving. Returns
    [byte]. Raises InputError as those do. Reference: [1] arXiv 2106.09685.
    """
    if method == "full":
        return weight_bytes(model, precision)
    return adapter_parameters(model, rank, targets) * _ADAPTER_BYTES


def tuning_flops(
    model: LanguageModel, tokens: float, sequence: float, method: Method, rank: int, targets: str = "all"
) -> float:
    """Operations of tuning on tokens.

    Full: F = 3 forward passes. Adapters: a forward and a backward pass to the activations, since frozen weights need no
    gradients of their own, and three passes of the adapter: F = 2 F_forward + 6 n P_a.
    tokens: n [1]. sequence: their mean length [1]. Returns [FLOP]. Raises InputError as `adapter_parameters`.
    Valid without recomputation; attention counts the masked half too. References: [1] arXiv 2001.08361. [2] arXiv 2106.09685.
    """
    if method == "full":
        return float(training_flops(model, tokens, sequence))
    return 2.0 * float(forward_flops(model, tokens, sequence)) + 6.0 * tokens * adapter_parameters(model, rank, targets)


def least_gpus(
    model: LanguageModel, gpu: Accelerator, method: Method, rank: int, most_gpus: float, reached: Efficiency,
    targets: str = "all",
) -> int | Shortage:  # fmt: skip
    """The fewest GPUs that hold what is tuned, or what is missing.

    M = 2 P + 16 P_a (adapters), or 18 P: weights, gradients, fp32 weights and moments, spread over the GPUs; a share of the
    memory is left to activations. model, gpu: of the catalog. most_gpus: of the host [1]. Returns GPUs, or a Shortage.
    Valid with states sharded over all GPUs. Reference: [1] arXiv 1910.02054.
    """
    whole = parameters(model).total
    need = _FULL_STATE_BYTES * whole
    if method == "lora":
        need = 2.0 * whole + _ADAPTER_STATE_BYTES * adapter_parameters(model, rank, targets)
    each = float(gpu.memory) * reached.memory
    count = int(-(-need // each))
    if count <= most_gpus:
        return count
    have = each * most_gpus
    words = (
        f"tuning {model.name} ({method}) needs {need / 1e9:,.0f} GB, {count:,} {gpu.name}; the largest host has {most_gpus:,.0f} "
        f"with {have / 1e9:,.0f} GB: short by {(need - have) / 1e9:,.0f} GB"
    )
    return Shortage(need, have, words)


def swap_s(size_bytes: float, gpus: int, iteration_s: float, reached: Efficiency) -> float:
    """From the last byte's arrival at a host to the first token with it.

    t = S / (g B) + one iteration: it is loaded beside what serves, each GPU its part, and taken between two iterations;
    requests in flight go on with what they began with, so none is dropped.
    size_bytes: S [byte]. gpus: g of a replica. iteration_s: [s]. Returns [s]. Valid where memory has room for both.
    Reference: [1] arXiv 2311.03285 for adapters side by side in a batch.
    """
    return size_bytes / (gpus * reached.load_byte_s) + iteration_s
