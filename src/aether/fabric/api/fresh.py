"""What a tuning took, and what it would take on the accelerators of its hosts: measured and modelled, side by side."""

from __future__ import annotations

import json
import math
import statistics
from typing import Any

from aether.fabric import freshness, views
from aether.fabric.api import logs
from aether.fabric.api.frame import Fabric
from aether.fabric.core import serving
from aether.fabric.core.state import State, Tuned

ASSUMED = ("compute_efficiency", "memory_share", "load_rate")  # of the catalog's `tuning.*`
MEANT = (
    "modelled: physical seconds on the accelerator named, from the catalog's tuning.* and the twin's links as they are now; "
    "the figures beside it: measured of the program on this machine, seconds of the wall's clock"
)


def measured_s(given: Fabric, tuned: Tuned, time_s: float | None) -> float | None:
    """From the asking to a time, on the wall's clock."""
    return None if time_s is None else round((time_s - tuned.made_s) / given.plane.clock.speed, 3)


def figures(given: Fabric, tuned: Tuned, said: list[dict[str, Any]]) -> dict[str, Any]:
    """`modelled`, null with a `why` where it is not known. said: the program's lines of JSON."""
    found = _modelled(given, tuned, said)
    return {"modelled": None, "why": found} if isinstance(found, str) else {"modelled": found}


def last(given: Fabric, deployment: str, project: str) -> views.FreshnessView | None:
    """The newest round of continual tuning that is served: the median of its pieces, measured and modelled."""
    with given.plane.lock:
        rounds = [t for t in given.plane.state.tunings.values() if t.asked.deployment == deployment and t.freshness_s
                  and (not project or t.asked.project == project)]  # fmt: skip
        if not rounds:
            return None
        tuned = rounds[-1]
        fresh = [f / given.plane.clock.speed for f in tuned.freshness_s]
    found = _modelled(given, tuned, progress(given, tuned))
    known = {} if isinstance(found, str) else found
    return views.FreshnessView(
        pieces=len(fresh), measured_s=round(statistics.median(fresh), 3),
        modelled_s=_rounded(statistics.median(known["freshness_s"])) if known.get("freshness_s") else None,
        accelerator=known.get("accelerator", ""), gpus=known.get("gpus", 0), why=found if isinstance(found, str) else known.get("why", ""),
    )  # fmt: skip


def _modelled(given: Fabric, tuned: Tuned, said: list[dict[str, Any]]) -> dict[str, Any] | str:
    if tuned.trained_s is None:
        return "no adapter has come of it" if tuned.ended_s else "it is not trained yet"
    with given.plane.lock:
        state = given.plane.state
        served, job = state.served.get(tuned.asked.deployment), state.jobs.get(tuned.job)
        attempt = job.attempt if job else None
        servers = _servers(state, tuned.asked.deployment)
    if served is None or attempt is None:
        return "where it ran is not known any more"
    service = served.deployment.service
    model = freshness.shape(service, given.catalog)
    if model is None:
        return f"the shape of '{served.deployment.model}' is not known: service.tuning.shape names a language model of the catalog"
    trained = _trained(said, model.context)
    if trained is None:
        return "its program told no trained_tokens"
    at = freshness.Place(attempt.hosts[0], attempt.accelerator, attempt.gpus * len(attempt.hosts))
    made = freshness.modelled(given.catalog, model, trained, at, servers, given.follower.now)
    if isinstance(made, str):
        return made
    told = {k: _rounded(getattr(made, k)) for k in ("trained_s", "sent_s", "round_trip_s", "swap_s", "served_s")}
    took_s = (tuned.ended_s or 0.0) - tuned.made_s
    waits_s = [(f - took_s) / given.plane.clock.speed for f in tuned.freshness_s] if tuned.ended_s else []
    fresh = [] if made.served_s is None else [_rounded(max(w, 0.0) + made.served_s) for w in waits_s]
    return {
        "accelerator": at.accelerator, "gpus": at.gpus, "shape": model.name, "tokens": trained.tokens, "mean_tokens": round(trained.mean_tokens, 1),
        "rank": trained.rank, **told, "freshness_s": fresh,
        "assumptions": {f"tuning.{name}": given.catalog.value(f"tuning.{name}") for name in ASSUMED}, "meant": MEANT,
        **({"why": made.why} if made.why else {}),
    }  # fmt: skip


def _servers(state: State, deployment: str) -> list[freshness.Place]:
    """Where the servers of a deployment run."""
    jobs = [state.jobs[n] for n in state.servers.get(deployment, ()) if serving.server(state, n) is not None]
    return [freshness.Place(a.hosts[0], a.accelerator, a.gpus) for j in jobs if (a := j.attempt) is not None]


def _trained(said: list[dict[str, Any]], context: int) -> freshness.Trained | None:
    """What a program told of its training, the newest first; None where it did not tell its tokens."""
    tokens = _told(said, "trained_tokens")
    if tokens is None:
        return None
    rank = int(min(_told(said, "rank") or freshness.RANK, 4096.0))
    mean = _told(said, "mean_tokens") or min(tokens, float(context or tokens))
    return freshness.Trained(tokens, mean, max(rank, 1))


def _told(said: list[dict[str, Any]], key: str) -> float | None:
    """The last number above 0 that a program told under a name."""
    found = (row[key] for row in reversed(said) if isinstance(row.get(key), int | float))
    return next((float(v) for v in found if math.isfinite(v) and 0.0 < v < 1e18), None)


def _rounded(value: float | None) -> float | None:
    """To six digits: figures are of microseconds and of hours."""
    return None if value is None else float(f"{value:.6g}")


def progress(given: Fabric, tuned: Tuned) -> list[dict[str, Any]]:
    """Lines of JSON that the program of a tuning wrote."""
    with given.plane.lock:
        job = given.plane.state.jobs.get(tuned.job)
        attempt = job.attempts if job else 0
    if not attempt:
        return []
    made = []
    try:
        text = logs.path(given, f"{tuned.job}/{attempt}", 0).read_text(errors="replace")
    except OSError:
        return []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                said = json.loads(line, parse_constant=str, parse_float=_finite)
                json.dumps(said, ensure_ascii=False).encode()  # half a pair of surrogates cannot be told on
            except (ValueError, RecursionError):
                continue
            made += [said] if isinstance(said, dict) else []
    return made


def _finite(digits: str) -> float | str:
    """A number, or its digits where no double holds it: a loss may diverge, and JSON has no word for that."""
    value = float(digits)
    return value if math.isfinite(value) else digits
