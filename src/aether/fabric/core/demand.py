"""How many servers a deployment wants by what is asked of it; nothing here outlives the control process but the decisions."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from aether.fabric.core import serving
from aether.fabric.core.events import GivenUp, Scaled
from aether.fabric.core.state import State

QUIET_S = 180.0  # of the wall's clock that a server that has answered may be silent: SkyPilot's threshold
Server = tuple[str, int]  # a job and its attempt: one that begins anew has not answered yet
LONGEST_WORD_S = 2.0  # between two words of the gateway that is counted: while it is away nobody is asked


@dataclass
class Demand:
    """What the gateway told last. since_s: fabric time since when a deployment has asked for another number of servers."""

    asked_per_s: dict[str, float] = field(default_factory=dict)
    ready: frozenset[str] = frozenset()  # servers that answer
    since_s: dict[str, tuple[int, float]] = field(default_factory=dict)  # deployment to the direction and since when
    silent_s: dict[Server, float] = field(default_factory=dict)  # that do not answer: for how long, of the wall's clock
    answered: set[Server] = field(default_factory=set)  # that have
    _word_s: float | None = None  # when the gateway spoke last

    def hear(self, state: State, ready: Collection[str], still: Callable[[str], bool], now_s: float) -> None:
        """The gateway has said which servers answer. still: whether a host stands still by its sky; now_s: the wall's clock."""
        passed_s = 0.0 if self._word_s is None else min(now_s - self._word_s, LONGEST_WORD_S)
        self._word_s = now_s
        self.ready = frozenset(ready)
        asked = {s for jobs in state.servers.values() for j in jobs if (s := _reached(state, j, still)) is not None}
        self.answered = {s for s in self.answered if s[0] in state.jobs} | {s for s in asked if s[0] in self.ready}
        self.silent_s = {s: self.silent_s.get(s, 0.0) + passed_s for s in asked if s[0] not in self.ready}

    def given_up(self, state: State) -> list[GivenUp]:
        """Servers that are not waited for any longer: silent since their start, or since they last answered."""
        made = []
        for (job, attempt), silent_s in self.silent_s.items():
            known = state.jobs.get(job)
            served = state.served.get(known.deployment) if known else None
            if known is None or served is None or known.status != "running" or known.attempts != attempt:
                continue
            probe = served.deployment.service.readiness_probe
            most_s = QUIET_S if (job, attempt) in self.answered else probe.initial_delay_seconds
            if silent_s > most_s:
                made.append(GivenUp(jobs=(job,), reason=f"it did not answer at {probe.path} for {most_s:g} s"))
        return made

    def plan(self, state: State, now_s: float) -> list[Scaled]:
        """The decisions that are due: more servers after a while of more requests, fewer after a longer one of fewer.

        wanted = ceil(requests/s / target_qps_per_replica), within the policy's bounds, as SkyPilot's autoscaler has it. now_s: fabric time.
        """
        made = []
        for name, served in state.served.items():
            policy = served.deployment.service.replica_policy
            if (
                served.gone
                or served.deployment.service.replicas
                or policy.target_qps_per_replica is None
                or name not in self.asked_per_s
            ):
                continue
            asked = math.ceil(self.asked_per_s[name] / policy.target_qps_per_replica)
            wanted = min(max(asked, served.deployment.service.least), served.deployment.service.most)
            way = (wanted > served.replicas) - (wanted < served.replicas)
            if self.since_s.get(name, (0, 0.0))[0] != way:
                self.since_s[name] = (way, now_s)
            wait_s = policy.upscale_delay_seconds if way > 0 else policy.downscale_delay_seconds
            if way and now_s - self.since_s[name][1] >= wait_s:
                reason = f"{self.asked_per_s[name]:.3g} requests/s, {policy.target_qps_per_replica:g} a server"
                made.append(Scaled(deployment=name, replicas=wanted, reason=reason))
                del self.since_s[name]
        return made


def _reached(state: State, job: str, still: Callable[[str], bool]) -> Server | None:
    """A server whose program runs where it can be asked."""
    attempt = state.jobs[job].attempt
    if attempt is None or serving.server(state, job) is None:
        return None
    host = state.hosts[attempt.hosts[0]]
    return (job, attempt.number) if host.up and host.contact and not still(host.facts.name) else None
