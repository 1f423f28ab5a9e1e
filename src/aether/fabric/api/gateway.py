"""What the gateway speaks to: its tallies and wishes come up, keys, models and the twin's present state go down."""

from __future__ import annotations

import asyncio
import contextlib
import time

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from aether.base.errors import Problem
from aether.fabric.api import frame
from aether.fabric.api.frame import Fabric, Given, Route, answer, watching
from aether.fabric.core import events, serving
from aether.fabric.core.plane import Decision, Happening
from aether.fabric.core.state import Served, State
from aether.fabric.gateway.feed import AdapterFacts, DeploymentFacts, Feed, HostNow, KeyFacts, Replica, Word
from aether.scenario.places import find_place

router = APIRouter(
    prefix="/gateway/v1", include_in_schema=False, route_class=Route, dependencies=[Depends(frame.gateway)]
)
LEAST_S = 0.05  # between a change and the next feed: many changes make one
MOST_FED = 20  # feeds whose tuned models are remembered until the gateway says that it has one of them
MOST_PLACES = 200  # whose round trips are modelled at once
PLACE_S = 600.0  # of the wall's clock that a place is modelled after it was last asked for


@router.post("/sync", response_model=Feed)
async def sync(given: Given, asked: Word) -> Response:
    """Tallies are stored before they are acknowledged; held for news where there are none."""
    plane = given.plane
    _wishes(given, asked)
    if asked.tallies:
        fresh = events.Tallied(journal=asked.journal, tallies=asked.tallies)

        def decide(state: State) -> Decision:
            last = state.tallied.get(asked.journal, 0)
            return Decision((Happening(fresh),) if any(t.n > last for t in asked.tallies) else ())

        await answer(plane.write(decide, "gateway"))
    elif asked.wait_s and not given.leaving:
        end = time.monotonic() + asked.wait_s
        with watching(given) as news:
            while plane.store.last_seq == asked.seen and (left := end - time.monotonic()) > 0.0:
                news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), left)
        await asyncio.sleep(LEAST_S)
    made = feed(given, asked.journal)
    given.fed = dict([*given.fed.items(), (made.version, frozenset(a.model for a in made.adapters))][-MOST_FED:])
    return Response(made.model_dump_json(), media_type="application/json")


def _wishes(given: Fabric, asked: Word) -> None:
    """What is asked of each deployment, which servers answer, whose round trips are wanted."""
    given.known = given.fed.get(asked.seen, given.known)
    demand, now = given.plane.demand, time.monotonic()
    before = demand.ready, demand.asked_per_s
    with given.plane.lock:
        demand.hear(
            given.plane.state, asked.ready, lambda host: bool(given.follower.now.get(host, {}).get("paused")), now
        )
    demand.asked_per_s = dict(asked.asked_per_s)
    if (demand.ready, demand.asked_per_s) != before:
        given.plane.look_again()
    for place in asked.places:
        if place in given.places or (
            len(given.places) < MOST_PLACES and not isinstance(find_place(given.catalog, place), Problem)
        ):
            given.places[place] = now
    for place in [p for p, heard_s in given.places.items() if now - heard_s > PLACE_S]:
        del given.places[place]


def feed(given: Fabric, journal: str) -> Feed:
    """All that the gateway goes by, now."""
    clock = given.plane.clock
    with given.plane.lock:
        state = given.plane.state
        keys = tuple(
            KeyFacts(key=n, digest=k.digest, project=k.project, scopes=k.scopes, expires_s=k.expires_s,
                     requests_per_minute=k.requests_per_minute, tokens_per_minute=k.tokens_per_minute)
            for n, k in state.keys.items() if k.revoked_s is None
        )  # fmt: skip
        return Feed(
            version=given.plane.store.last_seq, time_s=clock.now(), speed=clock.speed, place=given.place, impose=given.impose_latency, keys=keys,
            deployments=tuple(_deployment(given, state, n, s) for n, s in state.served.items() if not s.gone), adapters=_adapters(state),
            hosts=_hosts(given, state), acknowledged=state.tallied.get(journal, 0),
        )  # fmt: skip


def _deployment(given: Fabric, state: State, name: str, served: Served) -> DeploymentFacts:
    service = served.deployment.service
    replicas = [Replica(id=f"{name}/url-{i}", host="", url=u) for i, u in enumerate(service.url)]
    for job in state.servers.get(name, ()):
        attempt, member = state.jobs[job].attempt, serving.server(state, job)
        stopping = (
            state.jobs[job].status == "stopping" and attempt is not None and attempt.members[0].phase == "started"
        )
        if attempt is not None and (member is not None or stopping):
            there = attempt.members[0]
            host = f"[{there.address}]" if ":" in there.address else there.address
            replicas.append(
                Replica(
                    id=job,
                    host=attempt.hosts[0],
                    url=f"http://{host}:{there.port}",
                    adapters=tuple(there.adapters),
                    leaving=stopping,
                    key=given.server_key(f"{job}/{attempt.number}"),
                )
            )
    orbit, probe = served.deployment.task.orbit if served.deployment.task else None, service.readiness_probe
    return DeploymentFacts(
        name=name, project=served.project, model=served.deployment.model, upstream=service.upstream or served.deployment.model,
        probe=probe.path, probe_body=probe.post_data, probe_timeout_s=probe.patience_s, replicas=tuple(replicas),
        jurisdictions=orbit.jurisdictions if orbit else (), context=service.context,
        price_in_usd_mtok=service.price.input, price_out_usd_mtok=service.price.output, created_s=served.made_s, salted=service.salted,
    )  # fmt: skip


def _adapters(state: State) -> tuple[AdapterFacts, ...]:
    """Tuned models that answer; of those with one name the last."""
    found = {
        t.asked.name: AdapterFacts(model=t.asked.name, project=t.asked.project, deployment=t.asked.deployment, upstream=name, created_s=t.made_s)
        for name, t in state.tunings.items() if t.status == "succeeded" and not t.removed
    }  # fmt: skip
    return tuple(found.values())


def _hosts(given: Fabric, state: State) -> tuple[HostNow, ...]:
    """Hosts that serve something, as the twin sees them."""
    where = {
        h for jobs in state.servers.values() for j in jobs if (a := state.jobs[j].attempt) is not None for h in a.hosts
    }
    made = []
    for name in sorted(where):
        host, now = state.hosts[name], given.follower.now.get(name, {})
        made.append(HostNow(
            name=name, ship=host.facts.ship, country=host.facts.country, gpus=host.gpus, gpus_installed=host.facts.gpus, limit=host.limit, lit=host.lit,
            contact=host.contact, up=host.up, charge_share=now.get("charge_share"), eclipse_in_s=now.get("eclipse_in_s"),
            gone_in_s=now.get("gone_in_s"), energy_usd_j=host.facts.energy_usd_j,
            round_trip_s={p: t[name] for p, t in dict(given.follower.round_trip_s).items() if name in t},
        ))  # fmt: skip
    return tuple(made)
