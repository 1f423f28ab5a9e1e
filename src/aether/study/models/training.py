"""The models of faults and training that `aether validate` knows."""

from __future__ import annotations

from collections.abc import Mapping

from aether.operations import faults
from aether.scenario.catalog import packaged
from aether.study.validation import model
from aether.workloads import across, goodput, training
from aether.workloads.inference import Shortage

Answer = Mapping[str, float]
_YES, _NO = ("true", "full", "yes", "on", "1", "1.0"), ("false", "selective", "none", "no", "off", "0", "0.0")


@model(
    "faults.mttf",
    {"failures_per_node_day": "1", "gpus_per_node": "1", "gpus": "1"},
    {"mttf": "s"},
    optional=("gpus_per_node",),
)
def _mttf(failures_per_node_day: float, gpus: float, gpus_per_node: float = 8.0) -> Answer:
    """Mean time to failure of a job on many nodes."""
    return {"mttf": faults.mttf(failures_per_node_day, gpus_per_node, gpus)}


@model(
    "faults.rate",
    {"failures": "1", "duration": "s", "gpus_per_node": "1", "gpus": "1"},
    {"failures_per_node_day": "1", "interval": "s"},
)
def _rate(failures: float, duration: float, gpus_per_node: float, gpus: float) -> Answer:
    """Failures per node and day from a count, and the time between two."""
    rate = faults.node_rate(failures, duration, gpus_per_node, gpus)
    return {"failures_per_node_day": rate, "interval": duration / failures}


@model(
    "training.effective_time",
    {"mttf": "s", "restart": "s", "checkpoint_interval": "s", "checkpoint_write": "s"},
    {"fraction": "1"},
)
def _effective_time(mttf: float, restart: float, checkpoint_interval: float, checkpoint_write: float) -> Answer:
    """Share of time that makes progress."""
    return {"fraction": goodput.effective_time(mttf, restart, checkpoint_interval, checkpoint_write)}


@model(
    "training.days",
    {"parameters": "1", "tokens": "1", "gpus": "1", "flops_per_gpu": "FLOP/s", "recompute": ""},
    {"days": "day", "gpu_hours": "hour", "flops": "FLOP/s"},
    optional=("recompute",),
)
def _days(parameters: float, tokens: float, gpus: float, flops_per_gpu: float, recompute: str = "false") -> Answer:
    """Time of a whole training run from active parameters, tokens and the rate reached."""
    time_s = training.duration(parameters, tokens, gpus, flops_per_gpu, _flag("recompute", recompute))
    return {"days": time_s / 86400.0, "gpu_hours": time_s * gpus / 3600.0, "flops": gpus * flops_per_gpu}


@model(
    "training.step",
    {"model": "", "gpu": "", "gpus": "1", "batch": "1", "sequence": "1", "tensor": "1", "pipeline": "1", "data": "1",
     "recompute": "", "sequence_parallel": "", "micro_batch": "1", "interleave": "1", "fused_attention": ""},
    {"step_time": "s", "memory": "byte", "flops": "FLOP"},
    optional=("gpus", "sequence", "pipeline", "data", "recompute", "sequence_parallel", "micro_batch", "interleave", "fused_attention"),
)  # fmt: skip
def _step(
    model: str, gpu: str, batch: float, tensor: float, pipeline: float = 1, data: float | None = None,
    gpus: float | None = None, sequence: float = 2048, recompute: str = "true", sequence_parallel: str = "false",
    micro_batch: float = 1, interleave: float = 1, fused_attention: str = "false",
) -> Answer:  # fmt: skip
    """One optimiser step of a model of the catalog, by the efficiencies of the catalog; attention as in 2022, not fused."""
    inner = round(tensor) * round(pipeline)
    ranks = round(data) if data is not None else max(1, round(gpus or inner) // inner)
    if gpus is not None and inner * ranks != round(gpus):
        raise ValueError(f"tensor x pipeline x data is {inner * ranks}, not the {gpus:g} GPUs given")
    laid = training.Layout(
        round(tensor), round(pipeline), ranks, _flag("recompute", recompute), _flag("sequence_parallel", sequence_parallel),
        round(micro_batch), round(interleave),
    )  # fmt: skip
    catalog = packaged()
    step = training.step_time(
        catalog.model(model), catalog.accelerator(gpu), batch, round(sequence), laid, training.efficiency(catalog),
        fused_attention=_flag("fused_attention", fused_attention),
    )  # fmt: skip
    return {"step_time": step.time_s, "memory": step.memory_bytes, "flops": step.flops}


@model(
    "training.job",
    {"model": "", "gpu": "", "gpus": "1", "batch": "1", "sequence": "1", "tokens": "1", "precision": "", "tensor": "1",
     "pipeline": "1", "expert": "1"},
    {"step_time": "s", "gpu_hours": "hour", "days": "day", "memory": "byte"},
    optional=("precision", "tensor", "pipeline", "expert"),
)  # fmt: skip
def _job(
    model: str, gpu: str, gpus: float, batch: float, sequence: float, tokens: float, precision: str = "bf16",
    tensor: float | None = None, pipeline: float = 1, expert: float | None = None,
) -> Answer:  # fmt: skip
    """A whole run from a model's shape: steps at a given layout, or at the quickest that fits where tensor is left out."""
    catalog = packaged()
    shape, part, reached = catalog.model(model), catalog.accelerator(gpu), training.efficiency(catalog)
    laid: training.Layout | Shortage
    if tensor is None:
        laid = training.layout(shape, part, round(gpus), batch, round(sequence), reached, precision)
    else:
        data = round(gpus) // (round(tensor) * round(pipeline))
        laid = training.Layout(
            round(tensor), round(pipeline), data, False, tensor > 1, expert=None if expert is None else round(expert)
        )
    if isinstance(laid, Shortage):
        raise ValueError(laid.words)
    step = training.step_time(shape, part, batch, round(sequence), laid, reached, precision)
    time_s = step.time_s * tokens / (batch * sequence)
    return {
        "step_time": step.time_s,
        "gpu_hours": time_s * gpus / 3600.0,
        "days": time_s / 86400.0,
        "memory": step.memory_bytes,
    }


@model(
    "training.renewal",
    {"mttf": "s", "restart": "s", "checkpoint_interval": "s", "checkpoint_write": "s"},
    {"fraction": "1"},
)
def _renewal(mttf: float, restart: float, checkpoint_interval: float, checkpoint_write: float) -> Answer:
    """Share of time that makes progress, exactly, for faults at random."""
    return {"fraction": goodput.renewal(mttf, restart, checkpoint_interval, checkpoint_write).work}


@model("training.loss_penalty", {"parameters": "1", "replicas": "1", "h": "1"}, {"penalty": "1"})
def _loss_penalty(parameters: float, replicas: float, h: float) -> Answer:
    """What DiLoCo adds to the loss of data parallel training, within what was published."""
    found = across.loss_penalty(parameters, round(replicas), h)
    if found is None:
        raise ValueError("published for 35 M to 10 B parameters, 1 to 8 replicas (4 above 2.4 B) and H up to 300")
    return {"penalty": found}


@model(
    "training.bandwidth",
    {"parameters": "1", "step_time": "s", "h": "1", "fragments": "1", "overlap_steps": "1", "bits": "1", "layers": "1", "utilisation": "1"},
    {"bandwidth": "bit/s"},
    optional=("h", "fragments", "overlap_steps", "bits"),
)  # fmt: skip
def _bandwidth(
    parameters: float, step_time: float, layers: float, utilisation: float, h: float = 1, fragments: float = 1,
    overlap_steps: float = 0, bits: float = 16,
) -> Answer:  # fmt: skip
    """Rate between members that keeps a share of time in compute."""
    found = across.bandwidth(parameters, step_time, h, fragments, overlap_steps, bits, layers, utilisation)
    return {"bandwidth": found}


def _flag(name: str, text: str) -> bool:
    """Full, true, yes or their opposites."""
    if text.lower() in _YES + _NO:
        return text.lower() in _YES
    raise ValueError(f"{name} is {' or '.join(_YES[:3])}, {' or '.join(_NO[:4])}; got '{text}'")
