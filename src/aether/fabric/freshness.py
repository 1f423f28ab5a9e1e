"""How long a tuning would take on the accelerators of its hosts: the twin's own arithmetic, for a tuning that really ran.

Training: t = F / (g P e), F the operations of `workloads.tuning.tuning_flops` [FLOP], g GPUs, P the accelerator's bf16 peak [FLOP/s],
e the catalog's `tuning.compute_efficiency` [1]: what `engine.work` gives to the tuners of a run.
Sending: to the last of n other hosts t = 2 w + 8 S max(n / R_0, 1 / R_i), S the adapter [byte], R a ship's links to the mesh
together [bit/s] (a site's fibre is not bounded; what a gateway passes is not looked at), w the way along the shell at the speed of
light [s]; the mesh's own detours make it longer.
Swap: `workloads.tuning.swap_s`. All are physical seconds: those of the fabric's clock, whatever its speed.
Sources: arXiv 2001.08361 and 2106.09685 for F and S, the catalog's own for `tuning.*`.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aether.base.errors import InputError, Problem, nearest
from aether.fabric.service import Service
from aether.fabric.tiny.weights import PACKAGED, VOCABULARY, Shape
from aether.network.links import EARTH_MEAN_M, LIGHT_M_S
from aether.scenario.catalog import Catalog, LanguageModel
from aether.workloads import inference, tuning

TINY = "aether-tiny"
PRECISION = "bf16"  # of serving: an adapter stands beside weights of any, and is bf16 itself
TARGETS = "all"  # matrices that an adapter stands beside, as a run's tuning has by default
RANK = 16  # of an adapter whose program does not tell it, as a run's tuning has by default


@dataclass(frozen=True, slots=True)
class Place:
    """A host that trains or serves, with the GPUs that do."""

    host: str
    accelerator: str
    gpus: int


@dataclass(frozen=True, slots=True)
class Trained:
    """What went through a tuning. mean_tokens: of an example; rank: of the adapter."""

    tokens: float
    mean_tokens: float
    rank: int


@dataclass(frozen=True, slots=True)
class Modelled:
    """A tuning as it is modelled, in physical seconds; None where hosts have no way to one another, or no server runs."""

    trained_s: float
    sent_s: float | None
    round_trip_s: float | None  # part of sent_s
    swap_s: float | None
    why: str = ""  # there is no more of it

    @property
    def served_s(self) -> float | None:
        """From the beginning of training to the last server's answering with it."""
        if self.sent_s is None or self.swap_s is None:
            return None
        return self.trained_s + self.sent_s + self.swap_s


@functools.cache
def tiny() -> LanguageModel:
    """The shape of aether-tiny as the catalog has others, from the header of its weights."""
    with np.load(PACKAGED, allow_pickle=False) as file:
        shape = Shape(**json.loads(file["header"].tobytes())["shape"])
    return LanguageModel(
        name=TINY, title=TINY, source=PACKAGED.name, date="", confidence="published", layers=shape.layers, hidden=shape.width,
        heads=shape.heads, kv_heads=shape.heads, head_dim=shape.width // shape.heads, ffn=shape.inner, vocabulary=VOCABULARY,
        tied=True, context=shape.context,
    )  # fmt: skip


def shape(service: Service, catalog: Catalog) -> LanguageModel | None:
    """The shape of a served model: `tuning.shape`, or the catalog's model that is named as its servers or its clients name it."""
    known: dict[str, Any] = {TINY: tiny(), **catalog.kind("models")}
    asked = service.tuning.shape if service.tuning else ""
    names = (asked,) if asked else (service.upstream, service.model)
    plain = (n.rpartition("/")[2].lower() for n in names)
    return next((known[n] for n in plain if n in known), None)


def check(service: Service, catalog: Catalog) -> list[Problem]:
    """What is wrong with the shape that a deployment names."""
    if service.tuning is None or not service.tuning.shape or shape(service, catalog) is not None:
        return []
    near = nearest(service.tuning.shape, [TINY, *catalog.kind("models")])
    return [Problem("service.tuning.shape", f"'{service.tuning.shape}' is no language model of the catalog", near)]


def modelled(
    catalog: Catalog, model: LanguageModel, trained: Trained, trainer: Place, servers: Sequence[Place], now: Mapping[str, Mapping[str, Any]],
) -> Modelled | str:  # fmt: skip
    """The times of a tuning, or why there are none.

    trainer: where it ran. servers: where the model is served. now: the twin's last frame of every host, as JSON.
    """
    try:
        reached, gpu = tuning.efficiency(catalog), catalog.accelerator(trainer.accelerator)
        if trainer.gpus < 1:
            return "no GPU was asked for, so none is modelled"
        short = tuning.least_gpus(model, gpu, "lora", trained.rank, trainer.gpus, reached, TARGETS)
        if isinstance(short, inference.Shortage):
            return short.words
        flops = tuning.tuning_flops(model, trained.tokens, trained.mean_tokens, "lora", trained.rank, TARGETS)
        trained_s = flops / (trainer.gpus * float(gpu.bf16) * reached.compute)
        size = tuning.tuned_bytes(model, "lora", trained.rank, PRECISION, TARGETS)
        if not servers:
            return Modelled(trained_s, None, None, None, "no server runs now")
        swap_s = max(_swap_s(catalog, model, at, size, reached) for at in servers)
    except InputError as error:
        return error.problems[0].what
    sent = _sent(size, trainer.host, sorted({s.host for s in servers} - {trainer.host}), now)
    if isinstance(sent, str):
        return Modelled(trained_s, None, None, swap_s, sent)
    return Modelled(trained_s, *sent, swap_s)


def _swap_s(catalog: Catalog, model: LanguageModel, at: Place, size_bytes: float, reached: tuning.Efficiency) -> float:
    """The swap at a server, one request in flight."""
    served = inference.calibrated(catalog, model.name, at.accelerator, PRECISION)
    gpus, half = max(at.gpus, 1), model.context / 2.0
    step_s = inference.iteration_s(
        model, catalog.accelerator(at.accelerator), gpus, PRECISION, 1.0, 0.0, half, 0.0, served
    )
    return tuning.swap_s(size_bytes, gpus, float(step_s), reached)


def _sent(
    size_bytes: float, source: str, to: Sequence[str], now: Mapping[str, Mapping[str, Any]]
) -> tuple[float, float] | str:
    """Time until the last host has it, and the round trip in it [s]; in words where one has no links."""
    if not to:
        return 0.0, 0.0
    for host in (source, *to):
        if host not in now:
            return f"the twin has not told of {host} yet"
        if now[host]["link_bit_s"] == 0.0:
            return f"{host} has no link to the mesh now"
    rate = {h: math.inf if now[h]["link_bit_s"] is None else float(now[h]["link_bit_s"]) for h in (source, *to)}
    trips = {h: 2.0 * _way_m(now[source], now[h]) / LIGHT_M_S for h in to}
    times = {h: trips[h] + 8.0 * size_bytes * max(len(to) / rate[source], 1.0 / rate[h]) for h in to}
    last = max(times, key=lambda h: times[h])
    return times[last], trips[last]


def _way_m(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    """Along the shell between two hosts, at their mean altitude (haversine)."""
    north, south = math.radians(a["latitude_deg"]), math.radians(b["latitude_deg"])
    turn = math.radians(b["longitude_deg"] - a["longitude_deg"])
    half = math.sin((south - north) / 2.0) ** 2 + math.cos(north) * math.cos(south) * math.sin(turn / 2.0) ** 2
    arc = 2.0 * math.asin(min(1.0, math.sqrt(half)))
    radius_m = EARTH_MEAN_M + (a["altitude_m"] + b["altitude_m"]) / 2.0
    return math.hypot(radius_m * arc, a["altitude_m"] - b["altitude_m"])
