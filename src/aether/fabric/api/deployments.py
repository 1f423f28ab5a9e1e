"""Deployments: models that the fabric serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from aether.base.errors import InputError, Problem, nearest
from aether.fabric import freshness, views
from aether.fabric.api.frame import Fabric, Given, IdempotencyKey, Reader, Route, Writer, write
from aether.fabric.api.fresh import last
from aether.fabric.api.jobs import ID_LIKENESS, task_problems
from aether.fabric.core import events, schedule, serving
from aether.fabric.core.plane import Decision, Happening, Refused
from aether.fabric.core.state import Job, Served, State
from aether.fabric.tenancy import Principal

router = APIRouter(prefix="/v1/deployments", tags=["models"], route_class=Route)
Name = Annotated[str, Path(min_length=1, max_length=100)]
MOST_DEPLOYMENTS = 1_000  # of a fabric: the gateway is told of all with every change


@router.post("", status_code=201, response_model=views.DeploymentView)
async def deploy(
    request: Request, given: Given, who: Writer, asked: views.NewDeployment, idempotency_key: IdempotencyKey = None
) -> Response:
    """Serve a model; one of the same name is served otherwise from then on, its servers replaced once the new ones answer."""
    return await write(given, request, who, idempotency_key, lambda s: accept(given, s, who, asked), 201)


def accept(given: Fabric, state: State, who: Principal, asked: views.NewDeployment) -> Decision:
    """The decision on a deployment; InputError with all that is wrong with it."""
    made = asked.deployment
    service, project = made.service, who.project or "default"
    if (service.url or service.shared) and not who.admin:
        what = "servers outside the fabric" if service.url else "a model of every project's"
        raise Refused(403, "not-allowed", f"{what} need an administrator's key")
    shown = "" if service.shared else project
    name = made.name if service.shared else f"{project}/{made.name}"
    known = state.served.get(name)
    live = {n: s for n, s in state.served.items() if not s.gone and n != name}
    problems = []
    if len(live) >= MOST_DEPLOYMENTS:
        problems.append(Problem("", f"{MOST_DEPLOYMENTS:,} models are served already"))
    problems += _clash(live, made.model, shown)
    problems += freshness.check(service, given.catalog)
    if made.task is not None:
        problems += task_problems(given, state, who, made.task)
    if problems:
        raise InputError(problems)
    event = events.Deployed(id=name, project=shown, deployment=made)
    told = views.DeploymentView(
        name=made.name, model=made.model, project=shown, version=known.version + 1 if known else 1, replicas=service.least, ready=0, urls=service.url,
        price_in_usd_mtok=service.price.input, price_out_usd_mtok=service.price.output, made_s=state.time_s,
    )  # fmt: skip
    return Decision((Happening(event, project, name),), told.model_dump_json(), alone=True)


def _clash(live: Mapping[str, Served], model: str, project: str) -> list[Problem]:
    """Several deployments may serve one model, but a project's own never beside every project's."""
    for name, served in live.items():
        if served.deployment.model == model and served.project != project and "" in (served.project, project):
            whose = "every project" if not served.project else "a project of its own"
            what = f"'{model}' is served to {whose} already"
            return [
                Problem(
                    "service.model",
                    what + ("" if served.project else f", by {name}"),
                    next="Give another name to clients",
                )
            ]
    return []


@router.get("", response_model=views.Deployments)
async def deployments(given: Given, who: Reader) -> views.Deployments:
    """The models that the key's project has, and those of every project."""
    with given.plane.lock:
        rows = [
            (n, _show(given, n, s, who)) for n, s in given.plane.state.served.items() if not s.gone and _sees(who, s)
        ]
    whole = tuple(_with_freshness(given, n, row, who) for n, row in rows)
    return views.Deployments(time_s=given.plane.clock.now(), deployments=whole)


@router.get("/{name:path}", response_model=views.DeploymentView)
async def deployment(given: Given, who: Reader, name: Name) -> views.DeploymentView:
    """A model: its servers, what is asked of it, what it costs."""
    with given.plane.lock:
        known, served = visible(given.plane.state, who, name)
        row = _show(given, known, served, who)
    return _with_freshness(given, known, row, who)


@router.delete("/{name:path}", response_model=views.Done)
async def undeploy(
    request: Request, given: Given, who: Writer, name: Name, idempotency_key: IdempotencyKey = None
) -> Response:
    """Serve a model no longer: its servers finish what they have, within their grace."""

    def decide(state: State) -> Decision:
        known, served = visible(state, who, name)
        if not (who.admin or (served.project and served.owner == who.project)):
            raise Refused(403, "not-allowed", f"'{name[:60]}' is every project's: this needs an administrator's key")
        made = Happening(events.Undeployed(deployment=known), served.owner, known)
        return Decision((made,), '{"done":true}', alone=True)

    return await write(given, request, who, idempotency_key, decide)


def _sees(who: Principal, served: Served) -> bool:
    return not served.project or who.sees(served.project)


def visible(state: State, who: Principal, name: str) -> tuple[str, Served]:
    """The deployment of a name, and its id: the project's own, or every project's; Refused where it is none of theirs."""
    alike = [n for n, s in state.served.items() if s.deployment.name == name and not s.gone] if who.admin else []
    for known in (f"{who.project or 'default'}/{name}", name, *(alike if len(alike) == 1 else ())):
        served = state.served.get(known)
        if served is not None and not served.gone and _sees(who, served):
            return known, served
    mine = [s.deployment.name for s in state.served.values() if not s.gone and _sees(who, s)]
    raise Refused(
        404, "no-such-deployment", f"there is no deployment '{name[:100]}'", nearest=nearest(name, mine, ID_LIKENESS)
    )


def _show(given: Fabric, name: str, served: Served, who: Principal) -> views.DeploymentView:
    state, demand, service = given.plane.state, given.plane.demand, served.deployment.service
    jobs = [state.jobs[j] for j in state.servers.get(name, ())]
    servers = tuple(_server(state, j, j.id in demand.ready, who) for j in jobs)
    tuned = {t.asked.name for t in state.tunings.values()
             if t.asked.deployment == name and t.status == "succeeded" and not t.removed and who.sees(t.asked.project)}  # fmt: skip
    ready = sum(s.ready for s in servers) + sum(f"{name}/url-{i}" in demand.ready for i in range(len(service.url)))
    return views.DeploymentView(
        name=served.deployment.name if served.project in ("", who.project or "default") else name, model=served.deployment.model,
        project=served.project, version=served.version, replicas=served.replicas if served.deployment.task else 0,
        ready=ready, servers=servers, urls=service.url, asked_per_s=demand.asked_per_s.get(name, 0.0), price_in_usd_mtok=service.price.input,
        price_out_usd_mtok=service.price.output, jurisdictions=served.deployment.task.orbit.jurisdictions if served.deployment.task else (),
        tuned=tuple(sorted(tuned)), made_s=served.made_s, reason=_trouble(given.plane.clock.now(), served, ready),
    )  # fmt: skip


def _with_freshness(given: Fabric, name: str, row: views.DeploymentView, who: Principal) -> views.DeploymentView:
    return row.model_copy(update={"freshness": last(given, name, "" if who.admin else who.project or "default")})


def _trouble(now_s: float, served: Served, ready: int) -> str:
    """Why a model does not answer, as far as its servers' ends tell."""
    wait_s, why = served.not_before_s - now_s, f", the last as {served.why}" if served.why else ""
    if wait_s <= 0.0 and (ready or not served.ends):
        return ""
    return f"its servers ended {served.ends} times{why}" + (
        f"; the next starts in {wait_s:.0f} s" if wait_s > 0.0 else ""
    )


def _server(state: State, job: Job, ready: bool, who: Principal) -> views.ServerView:
    attempt, member = job.attempt, serving.server(state, job.id)
    adapters = (
        tuple(n for n in member.adapters if (t := state.tunings.get(n)) and who.sees(t.asked.project)) if member else ()
    )
    why = schedule.why(state, job, {}) if job.status == "queued" else job.reason
    return views.ServerView(
        job=job.id, host=attempt.hosts[0] if attempt and job.status != "queued" else "", status=job.status, ready=ready, version=job.version,
        adapters=adapters, reason=why,
    )  # fmt: skip
