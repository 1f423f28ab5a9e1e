"""Health, readiness, metrics, alarms, and the fabric at a glance."""

from __future__ import annotations

import time

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CollectorRegistry, GaugeMetricFamily
from prometheus_client.metrics_core import CounterMetricFamily, Metric

from aether.fabric import views
from aether.fabric.api.frame import Fabric, Given, Reader, needs
from aether.fabric.core.state import METERS, OVER, State, used_gpus

router = APIRouter(tags=["watching"])
SLOW_PASS_S = 1.0  # a scheduling pass of more is worth an alarm: five times the target for 10,000 jobs
QUIET_S = 60.0  # of the wall's clock without a frame of the twin


@router.get("/health")
async def health() -> Response:
    """That the process answers."""
    return JSONResponse({"ok": True})


@router.get("/ready")
async def ready(given: Given) -> Response:
    """Whether work is taken: the store writes and the twin speaks."""
    told = given.plane.trouble or given.follower.trouble
    return JSONResponse({"ready": not told, "why": told}, 200 if not told else 503)


@router.get("/v1/fabric", response_model=views.FabricView)
async def glance(given: Given, who: Reader) -> views.FabricView:
    """The fabric at a glance; jobs are those that the key sees."""
    plane = given.plane
    with plane.lock:
        state = plane.state
        counts: dict[str, int] = {}
        for job in state.jobs.values():
            if who.sees(job.project) and not job.deployment:
                counts[job.status] = counts.get(job.status, 0) + 1
        hosts = state.hosts.values()
        working = [h for h in hosts if h.facts.name in state.runtimes and not state.runtimes[h.facts.name].lost]
        return views.FabricView(
            version=given.version, scenario=given.scenario, time_s=plane.clock.now(), speed=plane.clock.speed, events=plane.store.last_seq, jobs=counts,
            ships=len(hosts), ships_working=len(working), gpus=sum(h.facts.gpus for h in hosts), gpus_now=sum(h.gpus for h in working if h.up),
            gpus_used=sum(used_gpus(state, h.facts.name) for h in hosts), trouble=plane.trouble or given.follower.trouble, alarms=alarms(given),
            models_url=given.models_url,
        )  # fmt: skip


def alarms(given: Fabric) -> tuple[str, ...]:
    """What somebody should look at, in words."""
    state, made = given.plane.state, []
    if given.plane.trouble:
        made.append(f"store: {given.plane.trouble}")
    if given.follower.trouble:
        made.append(f"twin: {given.follower.trouble}")
    if given.follower.heard_s and time.monotonic() - given.follower.heard_s > QUIET_S:
        made.append(f"twin: silent for {time.monotonic() - given.follower.heard_s:.0f} s")
    made += [
        f"{n}: its runtime is lost"
        for n, r in state.runtimes.items()
        if r.lost and n in state.hosts and state.hosts[n].up
    ]
    made += [f"{n}: out of service" for n, h in state.hosts.items() if not h.up]
    now = given.plane.clock.now()
    made += [
        f"{f.name}: {f.fault} lost by a fault that was made"
        for _, f in state.faults
        if f.until_s is None or f.until_s > now
    ]
    if given.plane.passes and given.plane.passes[-1] > SLOW_PASS_S:
        made.append(f"scheduling: the last pass took {given.plane.passes[-1]:.1f} s")
    if state.counts.get("faults"):
        made.append(f"core: {state.counts['faults']} events could not be applied, see control.log")
    jumps = state.counts.get("clock_jumped", 0)
    if jumps:
        made.append(f"clock: the machine's clock has jumped {jumps} times; the fabric's did not")
    return tuple(made)


@router.get(
    "/metrics",
    response_class=Response,
    dependencies=[Depends(needs("watch"))],
    responses={200: {"content": {"text/plain": {}}}},
)
async def metrics(given: Given) -> Response:
    """Prometheus metrics; no names of projects or jobs in them."""
    with given.plane.lock:
        rows = families(given, given.plane.state)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(rows))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Once:
    """A collector of what has been gathered already."""

    def __init__(self, rows: list[Metric]) -> None:
        self._rows = rows

    def collect(self) -> list[Metric]:
        """The metrics."""
        return self._rows


def families(given: Fabric, state: State) -> list[Metric]:
    """The metrics of a state."""
    jobs = GaugeMetricFamily("aether_jobs", "Jobs by status", labels=["status"])
    counts = dict.fromkeys(views.STATUSES, 0)
    for job in state.jobs.values():
        counts[job.status] += 1
    for status, count in counts.items():
        jobs.add_metric([status], count)
    gpus = GaugeMetricFamily(
        "aether_gpus", "GPUs of a host: installed, able to run now (modelled), held by jobs", labels=["host", "of"]
    )
    lit = GaugeMetricFamily("aether_host_up", "1 where a host is in service and its runtime works", labels=["host"])
    for name, host in state.hosts.items():
        for of, value in (
            ("installed", host.facts.gpus),
            ("now", host.gpus if host.up else 0),
            ("held", used_gpus(state, name)),
        ):
            gpus.add_metric([name, of], value)
        runtime = state.runtimes.get(name)
        lit.add_metric([name], float(host.up and runtime is not None and not runtime.lost))
    happened = CounterMetricFamily("aether_events", "Events by kind", labels=["kind"])
    ended = CounterMetricFamily("aether_jobs_ended", "Jobs that are over, by how", labels=["status"])
    for kind, count in state.counts.items():
        (ended if kind in OVER else happened).add_metric([kind], count)
    used = CounterMetricFamily("aether_usage", "Sums of the meter over all projects", labels=["accelerator", "of"])
    sums: dict[str, list[int]] = {}
    for kinds in state.usage.values():
        for accelerator, row in kinds.items():
            sums[accelerator] = [a + b for a, b in zip(sums.get(accelerator, [0] * len(METERS)), row, strict=True)]
    for accelerator, row in sums.items():
        for of, value in zip(METERS, row, strict=True):
            used.add_metric([accelerator, of], value)
    passes = GaugeMetricFamily(
        "aether_pass_seconds", "The last scheduling pass", value=given.plane.passes[-1] if given.plane.passes else 0.0
    )
    stored = CounterMetricFamily("aether_log_entries", "Entries of the log", value=given.plane.store.last_seq)
    time_s = GaugeMetricFamily("aether_fabric_time_seconds", "The fabric's clock", value=given.plane.clock.now())
    return [jobs, gpus, lit, happened, ended, used, passes, stored, time_s]
