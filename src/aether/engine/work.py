"""Workloads made ready: what one request costs at each host, which hosts may run it, what a training job asks of its members."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast

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
from aether.scenario.spec import Inference, Training, Tuning, Workload
from aether.workloads import demand, goodput, inference, job, models, training, tuning

DAY_S = 86400.0  # definition


@dataclass(frozen=True)
class Readers:
    """Where prompts of a service are read whose answers are written elsewhere."""

    serving: dict[str, Serving]  # by accelerator
    need_gpu_s: Floats  # (H,) of one prompt with replicas at their target load, infinity where none is read
    cache_bit: float  # of one prompt, sent to the host that writes


@dataclass(frozen=True)
class Service:
    """One inference workload."""

    name: str
    asked: Inference
    model: LanguageModel
    serving: dict[str, Serving]  # by accelerator; those that hold the model
    need_gpu_s: Floats  # (H,) of one request with replicas at their target load, infinity where the model does not fit
    whole_gpu_s: Floats  # (H,) the same of a request none of whose prompt is cached
    target: float  # load that replicas are kept at
    allowed: Bools  # (H,)
    people: Floats  # (C,) who ask, zero elsewhere
    input_tokens: float  # mean of a request
    output_tokens: float
    request_s: float  # mean rate of one person [1/s]
    traced: Floats  # (T,) requests of a trace in each tick, empty without one
    drafts: inference.Drafts | None = None
    readers: Readers | None = None  # where the hosts above only write

    @property
    def reading(self) -> Readers:
        """The readers, for those who know that prompts are read apart."""
        if self.readers is None:
            raise ValueError(f"{self.name} reads its prompts where it writes")
        return self.readers

    @property
    def holds(self) -> Bools:
        """Hosts that hold its weights, to read or to write (H,)."""
        held = self.allowed & np.isfinite(self.need_gpu_s)
        return held if self.readers is None else held | np.isfinite(self.readers.need_gpu_s)

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
    job: job.Job
    layout: training.Layout
    step: training.Step
    tokens_step: float
    mttf_s: float  # between failures of its nodes as on the ground, infinity for none
    checkpoint_bit: float  # copy sent after each checkpoint
    needed: int  # members of a quorum

    @property
    def apart(self) -> str:
        """How members go on without one another: elastic or decoupled, empty where they march in step."""
        return _apart(self.asked)


@dataclass(frozen=True)
class Tuner:
    """One tuning workload."""

    name: str
    asked: Tuning
    service: int  # whose model is tuned
    allowed: Bools  # (H,) that may train
    serves: np.ndarray  # (R,) hosts with replicas
    gpus: float
    gpu_s_sample: Floats  # (H,) GPU-seconds at full clocks on one sample, all epochs
    size_bytes: float  # of a version
    swap_s: float
    ticks: int  # of ages of feedback that are told apart


@dataclass(frozen=True)
class Work:
    """All that is asked of the fabric."""

    services: tuple[Service, ...]
    runs: tuple[Run, ...]
    tuners: tuple[Tuner, ...]
    short: tuple[str, ...]  # what cannot run anywhere, in words
    hour_offset_s: Floats  # (C,) local solar time less UTC
    swing: float
    peak_hour: float
    jobs: Asked  # placed into what is left
    streaming: bool = False  # whether data streams too
    filled: bool = False  # what is left counts as used, as a plan will use it

    @property
    def some(self) -> bool:
        """Whether anything is asked at all."""
        return bool(self.services or self.runs or self.streaming or self.short or self.jobs.names)


def work(scenario: Scenario, hosts: Hosts, cities: Sites) -> Work:
    """The Work of a scenario; InputError with all problems of its traces and model configurations."""
    services, runs, short = list[Service](), list[Run](), list[str]()
    problems: list[Problem] = []
    for i, asked in enumerate(scenario.spec.workloads):
        if asked.kind in ("tuning", "stream"):
            continue
        try:
            words = capacity.without_host(asked.name, asked.where, asked.jurisdictions, hosts.group, hosts.country)
            made = None if words else _one(scenario, hosts, cities, asked)
        except InputError as error:
            problems += [_at(p, f"workloads[{i}].{asked.kind}") for p in error.problems]
            continue
        if isinstance(made, Service):
            services.append(made)
        elif isinstance(made, Run):
            runs.append(made)
        else:
            short.append(words or str(made))
    tuners, untuned = _tuners(scenario, hosts, services, problems)
    if problems:
        raise InputError(problems)
    return Work(
        tuple(services), tuple(runs), tuners, (*short, *untuned), cities.longitude_rad / (2.0 * np.pi) * DAY_S,
        scenario.value("demand.swing"), scenario.value("demand.peak_hour"),
        asked_jobs(scenario, hosts, cities), any(w.stream is not None for w in scenario.spec.workloads),
    )  # fmt: skip


def _tuners(
    scenario: Scenario, hosts: Hosts, services: list[Service], problems: list[Problem]
) -> tuple[tuple[Tuner, ...], list[str]]:
    """Those that tune, and in words those that cannot."""
    made, short = list[Tuner](), list[str]()
    for i, workload in enumerate(scenario.spec.workloads):
        asked = workload.tuning
        if asked is None:
            continue
        number = next((q for q, s in enumerate(services) if s.name == asked.service), -1)
        if number < 0:
            short.append(f"{workload.name}: {asked.service}, which it tunes, is not served")
            continue
        try:
            allowed = capacity.allowed(workload.where, workload.jurisdictions, hosts.group, hosts.country)
            one = _tuner(scenario, hosts, workload.name, asked, services[number], number, allowed)
        except InputError as error:
            problems += [_at(p, f"workloads[{i}].tuning") for p in error.problems]
            continue
        made.append(one) if isinstance(one, Tuner) else short.append(f"{workload.name}: {one}")
    return tuple(made), short


def _tuner(
    scenario: Scenario, hosts: Hosts, name: str, asked: Tuning, service: Service, number: int, allowed: Bools
) -> Tuner | str:
    model, reached, kind = service.model, tuning.efficiency(scenario.catalog), (asked.method, asked.rank)
    fits, words = np.zeros(len(hosts.names)), "no host may run it"
    for part in dict.fromkeys(a for a, ok in zip(hosts.accelerator, allowed, strict=True) if ok):
        mine = np.array([a == part for a in hosts.accelerator]) & allowed
        least = tuning.least_gpus(
            model, scenario.catalog.accelerator(part), *kind, float(hosts.gpus[mine].max()), reached, asked.targets
        )
        if isinstance(least, inference.Shortage):
            words = least.words
        else:
            fits[mine] = np.where(hosts.gpus[mine] >= least, least, 0.0)
    if not fits.any():
        return words
    gpus = float(asked.gpus or fits[fits > 0].min())
    able = (fits > 0) & (fits <= gpus) & (hosts.gpus >= gpus)
    if not able.any():
        return f"{gpus:,.0f} GPUs: the fewest that hold it are {fits[fits > 0].min():,.0f}, the largest host has {hosts.gpus[allowed].max():,.0f}"
    tokens = service.input_tokens + service.output_tokens
    flops = tuning.tuning_flops(model, tokens * asked.epochs, tokens, *kind, asked.targets)
    speed = np.array([scenario.catalog.accelerator(a).bf16.value for a in hosts.accelerator])
    size = tuning.tuned_bytes(model, *kind, service.asked.precision, asked.targets)
    at = service.serving[next(iter(service.serving))]
    return Tuner(
        name, asked, number, able, np.flatnonzero(service.holds), gpus,
        flops / (speed * reached.compute), size, tuning.swap_s(size, at.gpus, float(at.iteration_s[-1]), reached),
        max(2, round(min(DAY_S, scenario.spec.duration) / scenario.spec.step)),
    )  # fmt: skip


def _at(problem: Problem, where: str) -> Problem:
    """A problem of a file with the workload that names it."""
    path = f"{where}.{problem.path}" if problem.path else where
    return Problem(path, problem.what, problem.nearest, problem.next, problem.file, problem.line)


def _one(scenario: Scenario, hosts: Hosts, cities: Sites, asked: Workload) -> Service | Run | str:  # fmt: skip
    allowed = capacity.allowed(asked.where, asked.jurisdictions, hosts.group, hosts.country)
    if isinstance(asked.asked, Training):
        return _run(scenario, hosts, asked.name, asked.asked, allowed)
    return _service(scenario, hosts, cities, asked.name, cast("Inference", asked.asked), allowed)


def language_model(scenario: Scenario, name: str) -> LanguageModel:
    """A model of the catalog, or of a Hugging Face configuration beside the scenario."""
    return models.hugging_face(scenario.texts[name], name) if name.endswith(".json") else scenario.catalog.model(name)


def _service(
    scenario: Scenario, hosts: Hosts, cities: Sites, name: str, asked: Inference, allowed: Bools
) -> Service | str:  # fmt: skip
    model = language_model(scenario, asked.model)
    traced, read_in, written = _lengths(scenario, asked)
    if model.context and read_in + written > model.context:
        asks = f"a request has {read_in:,.0f} tokens and its answer {written:,.0f}"
        return f"{name}: {asks}; the context of {model.name} is {model.context:,}: short by {read_in + written - model.context:,.0f}"
    drafts = _drafts(scenario, asked)
    lengths = (read_in, written)
    readers, writers = None, allowed
    if asked.split:
        groups = {k: allowed & np.isin(hosts.group, getattr(asked.split, k)) for k in ("prefill", "decode")}
        words = [k for k, mine in groups.items() if not mine.any()]
        if words:
            return f"{name}: no host of split.{words[0]} may run it"
        found = _fitted(scenario, hosts, asked, model, groups["prefill"], lengths, None, "read")
        if isinstance(found, str):
            return f"{name}: split.prefill: {found}"
        cache_bit = 8.0 * float(models.kv_bytes(model, read_in, asked.precision))
        readers, writers = Readers(*found[:2], cache_bit), groups["decode"]
    made = _fitted(scenario, hosts, asked, model, writers, lengths, drafts, "write" if readers else "both")
    if isinstance(made, str):
        return f"{name}: {made}"
    people, rate = _people(scenario, asked, cities)
    target = scenario.value("serving.target_load")
    return Service(name, asked, model, *made, target, writers, people, read_in, written, rate, traced, drafts, readers)


def _fitted(
    scenario: Scenario, hosts: Hosts, asked: Inference, model: LanguageModel, on: Bools, lengths: tuple[float, float],
    drafts: inference.Drafts | None, does: str,
) -> tuple[dict[str, Serving], Floats, Floats] | str:  # fmt: skip
    """Replicas by accelerator at some hosts, GPU-seconds of a request at each (H,), and of one that no cache holds; words where none fits.

    does: "both", "read" or "write".
    """
    serving: dict[str, Serving] = {}
    whole: dict[str, Serving] = {}
    words: dict[str, str] = {}
    tokens = lengths[0] + (lengths[1] if does != "read" else 1.0)
    for part in dict.fromkeys(a for a, ok in zip(hosts.accelerator, on, strict=True) if ok):
        gpu = scenario.catalog.accelerator(part)
        reached = inference.calibrated(scenario.catalog, asked.model, part, asked.precision)
        most = int(max(hosts.gpus[i] for i, a in enumerate(hosts.accelerator) if a == part and on[i]))
        least = min(asked.gpus or most, most)
        gpus = inference.replica(model, gpu, asked.precision, tokens, least, reached, drafts)
        if isinstance(gpus, inference.Shortage):
            words[part] = gpus.words
            continue
        kind = (model, gpu, asked.gpus or gpus, asked.precision)
        if does == "read":
            serving[part] = inference.reading(*kind, lengths[0], reached, asked.prefix_hit)
        elif does == "write":
            serving[part] = inference.writing(*kind, *lengths, reached, drafts)
        else:
            serving[part] = inference.curve(*kind, *lengths, reached, asked.prefix_hit, drafts)
            if asked.prefix_hit:
                whole[part] = inference.curve(*kind, *lengths, reached, 0.0, drafts)
    if not serving:
        return "; ".join(words.values())
    need = _need_gpu_s(scenario, hosts, on, serving)
    return serving, need, _need_gpu_s(scenario, hosts, on, whole) if whole else need


def _need_gpu_s(scenario: Scenario, hosts: Hosts, on: Bools, serving: dict[str, Serving]) -> Floats:
    """GPU-seconds of a request with replicas at their target load (H,), infinity where none stands."""
    target = scenario.value("serving.target_load")
    return np.array([
        serving[a].gpus / serving[a].request_s[-1] / target if ok and a in serving and g >= serving[a].gpus else np.inf
        for a, ok, g in zip(hosts.accelerator, on, hosts.gpus, strict=True)
    ])  # fmt: skip


def _drafts(scenario: Scenario, asked: Inference) -> inference.Drafts | None:
    """What proposes tokens of a service's answers."""
    if asked.draft is None:
        return None
    kept = scenario.value("serving.draft_acceptance") if asked.draft.accept is None else asked.draft.accept
    return inference.Drafts(language_model(scenario, asked.draft.model), asked.draft.tokens, kept)


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
    most = int(hosts.gpus[members].max())
    if asked.gpus is not None and asked.gpus > most:
        return f"{name}: asks for {asked.gpus:,} GPUs at each host; the largest has {most:,}: short by {asked.gpus - most:,}"
    gpus = np.minimum(hosts.gpus[members], asked.gpus or np.inf)
    if asked.checkpoint_to == "peer" and len(members) < 2:
        raise InputError(Problem("checkpoint_to", f"peer: {hosts.names[members[0]]} is the only host of {name}"))
    slowest = _slowest(scenario, hosts, model, asked, members, gpus)
    if isinstance(slowest, str):
        return f"{name}: {slowest}"
    laid, step, sequences = slowest
    failures = scenario.value("faults.interruption")
    mttf_s = faults.mttf(failures, faults.NODE_GPUS, float(gpus.sum())) if failures > 0.0 else math.inf
    made = _job(scenario, asked, model, len(members), step.time_s, mttf_s)
    copy_bit = 8.0 * training.checkpoint_bytes(model) if asked.checkpoint_to != "none" else 0.0
    tokens = float(sequences * len(members) * asked.sequence)
    return Run(name, asked, model, members, gpus, made, laid, step, tokens, mttf_s, copy_bit, _needed(scenario, asked, len(members)))  # fmt: skip


def _slowest(
    scenario: Scenario, hosts: Hosts, model: LanguageModel, asked: Training, members: np.ndarray, gpus: Floats
) -> tuple[training.Layout, training.Step, int] | str:
    """Layout and step of the slowest kind of member, and the sequences of a member's step; words where the model fits none."""
    sequences = max(1, round(asked.batch / asked.sequence / len(members)))
    reached = training.efficiency(scenario.catalog)
    outer = {g.name: scenario.ship(g).scale_out for g in scenario.spec.ships}
    kinds = {(hosts.accelerator[m], int(g), outer.get(hosts.group[m])) for m, g in zip(members, gpus, strict=True)}
    found = []
    for part, count, rate in sorted(kinds, key=lambda kind: kind[:2]):
        gpu = scenario.catalog.accelerator(part)
        here = reached if rate is None else replace(reached, scale_out_byte_s=rate.value)
        made = training.layout(model, gpu, count, sequences, asked.sequence, here, asked.precision)
        if isinstance(made, inference.Shortage):
            return made.words
        found.append((made, training.step_time(model, gpu, sequences, asked.sequence, made, here, asked.precision)))
    return *max(found, key=lambda one: one[1].time_s), sequences


def _job(
    scenario: Scenario, asked: Training, model: LanguageModel, count: int, step_s: float, mttf_s: float
) -> job.Job:
    """What the members do together; a fault stops all of them, or one alone where the others go on."""
    sync_bit = 2.0 * (count - 1) / count * models.parameters(model).total * asked.sync_bits
    restart, write = scenario.value("training.restart"), scenario.value("training.checkpoint_write")
    apart = count if _apart(asked) else 1
    return job.Job(
        step_s, 1 if asked.method == "data-parallel" else asked.sync_every, sync_bit, asked.sync_overlap,
        asked.checkpoint_every or goodput.young_daly(mttf_s * apart, write), write, restart, asked.fragments,
        asked.overlap_steps, apart,
    )  # fmt: skip


def _apart(asked: Training) -> str:
    """How members go on without one another; empty where they march in step."""
    return "decoupled" if asked.method == "decoupled" else "elastic" if asked.elastic else ""


def _needed(scenario: Scenario, asked: Training, count: int) -> int:
    """Members of a quorum: all of them where the job goes in step."""
    share = asked.quorum or scenario.value("training.quorum")
    return max(1, math.ceil(share * count - 1e-9)) if _apart(asked) else count
