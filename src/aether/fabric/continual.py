"""The continual loop: feedback that waits becomes a round of tuning, whose adapter takes the place of the last."""

from __future__ import annotations

import hashlib
import io
import logging

from aether.fabric.api.frame import Fabric
from aether.fabric.api.tuning import begin
from aether.fabric.core import events
from aether.fabric.core.plane import Decision, Refused
from aether.fabric.core.state import OVER, State
from aether.fabric.tenancy import ident

log = logging.getLogger(__name__)
EVERY_S = 0.5  # of the wall's clock between two looks
MOST_PIECES = 2_000  # of one round, the oldest first
AGAIN_S = 60.0  # of the fabric's clock before a round that failed is tried again


def due(state: State) -> list[tuple[str, str, tuple[str, ...]]]:
    """Rounds that are due: project, deployment, and the pieces of feedback that wait."""
    waiting: dict[tuple[str, str], list[str]] = {}
    for name, piece in state.feedback.items():
        waiting.setdefault((piece.project, piece.deployment), []).append(name)
    made = []
    for (project, deployment), names in waiting.items():
        served = state.served.get(deployment)
        tuning = served.deployment.service.tuning if served and not served.gone else None
        if tuning is None or tuning.continual is None or len(names) < tuning.continual.at_least:
            continue
        rounds = [
            t
            for t in state.tunings.values()
            if t.asked.feedback and t.asked.project == project and t.asked.deployment == deployment
        ]
        pause_s = max(tuning.continual.every, AGAIN_S if rounds and rounds[-1].status == "failed" else 0.0)
        if any(t.status not in OVER for t in rounds) or (rounds and state.time_s - rounds[-1].made_s < pause_s):
            continue
        made.append((project, deployment, tuple(names[:MOST_PIECES])))
    return made


def live_name(model: str, project: str) -> str:
    """The name under which a project's continually tuned model answers."""
    return f"ft:{model}:{project}:live"


def look(given: Fabric) -> int:
    """Begin the rounds that are due; how many."""
    with given.plane.lock:
        rounds = [
            (p, d, names, [given.plane.state.feedback[n].line for n in names]) for p, d, names in due(given.plane.state)
        ]
    for project, deployment, names, lines in rounds:
        data = ("\n".join(lines) + "\n").encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        given.blobs.put(io.BytesIO(data), digest)

        def decide(
            state: State,
            project: str = project,
            deployment: str = deployment,
            names: tuple[str, ...] = names,
            digest: str = digest,
        ) -> Decision:
            if (project, deployment, names) not in due(state):
                raise Refused(409, "not-due", "the round is not due any more")
            served = state.served[deployment]
            model = served.deployment.model
            wanted = events.TuningAsked(
                tuning=ident("ftjob-", 24), project=project, deployment=deployment, model=model, name=live_name(model, project), suffix="live", feedback=names
            )  # fmt: skip
            return Decision(begin(served, wanted, digest, None), alone=True)

        given.plane.write(decide, "continual").result(30.0)
        log.info("a round of tuning on %d pieces of feedback for %s of %s", len(names), deployment, project)
    return len(rounds)
