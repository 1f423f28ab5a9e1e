"""How many servers a deployment wants by what is asked of it; nothing here outlives the control process but the decisions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from aether.fabric.core.events import Scaled
from aether.fabric.core.state import State


@dataclass
class Demand:
    """What the gateway told last. since_s: fabric time since when a deployment has asked for another number of servers."""

    asked_per_s: dict[str, float] = field(default_factory=dict)
    ready: frozenset[str] = frozenset()  # servers that answer
    since_s: dict[str, tuple[int, float]] = field(default_factory=dict)  # deployment to the direction and since when

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
