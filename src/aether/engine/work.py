"""Workloads made ready: what one request costs at each host, which hosts may run it, what a training job asks of its members."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aether.base.clock import stream
from aether.base.errors import InputError, Problem
from aether.base.tables import Bools, Floats, Serving
from aether.engine.hosts import Hosts
from aether.engine.jobs import Asked, asked_jobs
from aether.engine.places import Sites
from aether.operations import faults
from aether.placement import capacity
from aether.scenario.catalog import LanguageModel
from aether.scenario.load import Scenario
from aether.scenario.spec import Inference, Training, Workload
from aether.workloads import demand, inference, models, training

DAY_S = 86400.0  # definition


@dataclass(frozen=True)
class Service:
    """One inference workload."""

    name: str
    asked: Inference
    model: LanguageModel
    serving: dict[str, Serving]  # by accelerator; those that hold the model
    need_gpu_s: Floats  # (H,) of one request with replicas at their target load, infinity where the model does not fit
    target: float  # load that replicas are kept at
    allowed: Bools  # (H,)
    people: Floats  # (C,) who ask, zero elsewhere
    input_tokens: float  # mean of a request
    output_tokens: float
    request_s: float  # mean rate of one person [1/s]
    traced: Floats  # (T,) requests of a trace in each tick, empty without one

    @property
    def limit_s(self) -> float:
        """Longest round trip that can still be answered in time [s]."""
        return min(self.asked.max_first_token, self.asked.max_round_trip or math.inf)

    @property
    def value_usd(self) -> float:
        """Worth of one request [USD]."""
        return self.asked.price * self.output_tokens / 1e6


@dataclass(frozen=True)
class Run:
    """One training workload."""

    name: str
    asked: Training
    model: LanguageModel
    members: np.ndarray  # (M,) hosts
    gpus: Floats  # (M,)
    job: training.Job
    layout: training.Layout
    step: training.Step
    tokens_step: float
    mttf_s: float  # between failures of its nodes as on the ground, infinity for none
    checkpoint_bit: float  # copy sent to the ground after each checkpoint


@dataclass(frozen=True)
class Work:
    """All that is asked of the fabric."""

    services: tuple[Service, ...]
    runs: tuple[Run, ...]
    short: tuple[str, ...]  # what cannot run anywhere, in words
    hour_offset_s: Floats  # (C,) local solar time less UTC
    swing: float
    peak_hour: float
    jobs: Asked  # placed into what is left
    filled: bool = False  # what is left counts as used, as a plan will use it

    @property
    def some(self) -> bool:
        """Whether anything is asked at all."""
        return bool(self.services or self.runs or self.short or self.jobs.names)


def work(scenario: Scenario, hosts: Hosts, cities: Sites) -> Work:
    """The Work of a scenario; InputError with all problems of its traces and model configurations."""
    services, runs, short = [], [], []
    problems: list[Problem] = []
    for i, asked in enumerate(scenario.spec.workloads):
        try:
            words = capacity.without_host(asked.name, asked.where, asked.jurisdictions, hosts.group, hosts.country)
            made = None if words else _one(scenario, hosts, cities, asked)
        except InputError as error:
            problems += [
                _at(p, f"workloads[{i}].{'inference' if asked.inference else 'training'}") for p in error.problems
            ]
            continue
        if isinstance(made, Service):
            services.append(made)
        elif isinstance(made, Run):
            runs.append(made)
        else:
            short.append(words or str(made))
    if problems:
        raise InputError(problems)
    return Work(
        tuple(services), tuple(runs), tuple(short), cities.longitude_rad / (2.0 * np.pi) * DAY_S,
        scenario.value("demand.swing"), scenario.value("demand.peak_hour"), asked_jobs(scenario, hosts, cities),
    )  # fmt: skip


def _at(problem: Problem, where: str) -> Problem:
    """A problem of a file with the workload that names it."""
    path = f"{where}.{problem.path}" if problem.path else where
    return Problem(path, problem.what, problem.nearest, problem.next, problem.file, problem.line)


def _one(scenario: Scenario, hosts: Hosts, cities: Sites, asked: Workload) -> Service | Run | str:  # fmt: skip
    allowed = capacity.allowed(asked.where, asked.jurisdictions, hosts.group, hosts.country)
    if isinstance(asked.asked, Inference):
        return _service(scenario, hosts, cities, asked.name, asked.asked, allowed)
    return _run(scenario, hosts, asked.name, asked.asked, allowed)


def language_model(scenario: Scenario, name: str) -> LanguageModel:
    """A model of the catalog, or of a Hugging Face configuration beside the scenario."""
    return models.hugging_face(scenario.texts[name], name) if name.endswith(".json") else scenario.catalog.model(name)


def _service(
    scenario: Scenario, hosts: Hosts, cities: Sites, name: str, asked: Inference, allowed: Bools
) -> Service | str:  # fmt: skip
    model, efficiency = language_model(scenario, asked.model), inference.efficiency(scenario.catalog)
    traced, read_in, written = _lengths(scenario, asked)
    serving: dict[str, Serving] = {}
    words: dict[str, str] = {}
    for part in dict.fromkeys(a for a, ok in zip(hosts.accelerator, allowed, strict=True) if ok):
        gpu = scenario.catalog.accelerator(part)
        most = int(max(hosts.gpus[i] for i, a in enumerate(hosts.accelerator) if a == part and allowed[i]))
        gpus = inference.replica(
            model, gpu, asked.precision, read_in + written, min(asked.gpus or most, most), efficiency
        )
        if isinstance(gpus, inference.Shortage):
            words[part] = gpus.words
            continue
        gpus = asked.gpus or gpus
        serving[part] = inference.curve(model, gpu, gpus, asked.precision, read_in, written, efficiency)
    if not serving:
        return f"{name}: " + "; ".join(words.values())
    target = scenario.value("serving.target_load")
    need = np.array([
        serving[a].gpus / serving[a].request_s[-1] / target if ok and a in serving and g >= serving[a].gpus else np.inf
        for a, ok, g in zip(hosts.accelerator, allowed, hosts.gpus, strict=True)
    ])  # fmt: skip
    people, rate = _people(scenario, asked, cities)
    return Service(name, asked, model, serving, need, target, allowed, people, read_in, written, rate, traced)


def _lengths(scenario: Scenario, asked: Inference) -> tuple[Floats, float, float]:
    """Requests of a trace in each tick (T,), and mean tokens of requests and answers."""
    wanted, none = asked.requests, np.empty(0)
    if wanted.trace is None:
        lengths = scenario.catalog.lengths(wanted.lengths)
        given = wanted.input_tokens or lengths.input_mean.value, wanted.output_tokens or lengths.output_mean.value
        return none, *given
    trace = demand.read_trace(scenario.texts[wanted.trace], wanted.trace)
    clock = scenario.clock
    exact, _, _ = demand.replay(trace, clock.times(), clock.step_s, wanted.scale, wanted.repeat)
    counts: Floats = np.diff(np.round(np.cumsum(exact)), prepend=0.0)  # whole requests, none lost in rounding
    read_in, written = float(np.mean(trace.input_tokens)), float(np.mean(trace.output_tokens))
    return counts, wanted.input_tokens or read_in, wanted.output_tokens or written


def _people(scenario: Scenario, asked: Inference, cities: Sites) -> tuple[Floats, float]:
    """Who asks from each place (C,), and how often one of them does [1/s]."""
    names, people = cities.names, cities.weight
    chosen = asked.requests.places
    if chosen:
        wanted = set(chosen)
        full = {scenario.place(c).name for c in chosen if len(c) > 2 and c not in names}
        country = {c.name: getattr(c, "country", "") for c in scenario.catalog.kind("cities").values()}
        country |= {p.name: p.country or "" for p in scenario.spec.ground.cities.add}
        people = people * np.array([n in wanted or n in full or country.get(n, "") in wanted for n in names])
    total = float(people.sum())
    if asked.requests.rate is not None:
        return people, asked.requests.rate / max(total, 1e-30)
    return people, (asked.requests.per_person_day or 0.0) / DAY_S


def arrivals(scenario: Scenario, made: Work, first: int, time_s: Floats) -> Floats:
    """Requests that come in each tick of a window (T, Q, C): Poisson about people, local hour and trace.

    A window's numbers depend on the seed, the service and its first tick alone, so every variant of a run sees the same.
    """
    step_s, seed = scenario.spec.step, scenario.spec.seed
    counts = np.zeros((len(time_s), len(made.services), len(made.hour_offset_s)))
    start_s = (
        scenario.spec.start - scenario.spec.start.replace(hour=0, minute=0, second=0, microsecond=0)
    ).total_seconds()
    hour = np.mod(start_s + time_s[:, None] + made.hour_offset_s, DAY_S) / 3600.0
    for q, service in enumerate(made.services):
        rng = stream(seed, f"demand/{service.name}/{first}")
        if service.traced.size:
            weight = service.people * demand.profile(hour, made.swing, made.peak_hour)
            share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-30)
            for t in range(len(time_s)):
                counts[t, q] = rng.multinomial(int(service.traced[first + t]), share[t])
        else:
            rates = demand.rates(service.people, service.request_s * DAY_S, hour, made.swing, made.peak_hour)
            counts[:, q] = demand.arrivals(rng, rates, step_s)
    return counts


def _run(scenario: Scenario, hosts: Hosts, name: str, asked: Training, allowed: Bools) -> Run | str:
    model = language_model(scenario, asked.model)
    members = np.flatnonzero(allowed)
    gpus = np.minimum(hosts.gpus[members], asked.gpus or np.inf)
    sequences = max(1, round(asked.batch / asked.sequence / len(members)))
    reached, laid = training.efficiency(scenario.catalog), []
    for part, count in sorted({(hosts.accelerator[m], int(g)) for m, g in zip(members, gpus, strict=True)}):
        gpu = scenario.catalog.accelerator(part)
        made = training.layout(model, gpu, count, sequences, asked.sequence, reached, asked.precision)
        if isinstance(made, inference.Shortage):
            return f"{name}: {made.words}"
        step = training.step_time(model, gpu, sequences, asked.sequence, made, reached, asked.precision)
        laid.append((made, step))
    slowest = max(laid, key=lambda one: one[1].time_s)
    count = len(members)
    total = models.parameters(model).total
    sync_bit = 2.0 * (count - 1) / count * total * asked.sync_bits
    restart, write = scenario.value("training.restart"), scenario.value("training.checkpoint_write")
    failures = scenario.value("faults.interruption")
    mttf_s = faults.mttf(failures, faults.NODE_GPUS, float(gpus.sum())) if failures > 0.0 else math.inf
    every = asked.checkpoint_every or training.young_daly(mttf_s, write)
    job = training.Job(slowest[1].time_s, asked.sync_every, sync_bit, asked.sync_overlap, every, write, restart)
    copy_bit = 8.0 * training.checkpoint_bytes(model)
    tokens = float(sequences * count * asked.sequence)
    return Run(name, asked, model, members, gpus, job, *slowest, tokens, mttf_s, copy_bit)
