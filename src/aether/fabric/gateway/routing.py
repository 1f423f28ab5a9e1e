"""Which server a request goes to: hard rules first, then the one that costs least time by the twin's state and our own counts.

cost_s = round trip + under way x service time / BATCH + penalties - what a conversation saves where it has been
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aether.fabric.gateway.feed import DeploymentFacts, HostNow, Replica

BATCH = 8.0  # requests that a server works on at little more than the time of one: continuous batching, ours
UNKNOWN_SERVICE_S = 0.5  # of a request, before one has been measured
DRAIN_S = 20.0  # of the wall's clock before a host is out of reach in which it takes nothing new: longer than nearly all answers
DARK_S = 10.0  # of the wall's clock before an eclipse, in which a host is avoided: its clocks may fall in mid-answer
DARK_COST_S = 0.05  # of a host that is dark, or soon will be: its battery is worth a short detour, no more
LOW_COST_S = 0.5  # of a host all of whose clocks are gone; in proportion where some are
LOW_CHARGE = 0.3  # of the battery's nameplate, below which using it counts
CHARGE_COST_S = 0.2  # of a battery that is empty; in proportion below LOW_CHARGE
ENERGY_COST_S = 1e5  # a joule's price [USD] as seconds: 0.1 USD/kWh, 2.8e-8 USD/J, weighs 3 ms: it breaks ties alone
STAY_S = (
    0.25  # by which another server must be better before a conversation leaves the one that has read it: some prefills
)
TIE_S = 1e-3  # differences below that are none; those alike share conversations by their digest


@dataclass(frozen=True, slots=True)
class Seen:
    """What the gateway itself knows of a server, measured."""

    under_way: int
    service_s: float  # running mean of a request's whole time, 0 before one was measured
    first_s: float  # of its first byte
    ready: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """A server that may be asked, and why where it stands in the order."""

    replica: Replica
    host: HostNow | None
    cost_s: float
    modelled_s: float | None  # round trip between the caller's place and the host
    reasons: tuple[str, ...]


def order(
    deployment: DeploymentFacts, hosts: Mapping[str, HostNow], seen: Mapping[str, Seen], *, place: str, jurisdictions: Sequence[str], adapter: str | None,
    conversation: bytes, home: str | None, speed: float,
) -> tuple[list[Choice], str]:  # fmt: skip
    """Servers in the order in which they are asked; where there are none, why.

    place: of the caller, "" where it is not known. jurisdictions: that the request allows, () for any. adapter: that must be loaded. home: the
    server that the conversation had last. speed: seconds of the fabric in one of the wall's.
    """
    allowed: list[Choice] = []
    leaving: list[Choice] = []
    why: dict[str, int] = {}
    for replica in deployment.replicas:
        host = hosts.get(replica.host)
        barred = _barred(deployment, replica, host, seen.get(replica.id), jurisdictions, adapter)
        if barred:
            why[barred] = why.get(barred, 0) + 1
            continue
        choice = _weighed(replica, host, seen[replica.id], place, replica.id == home, speed)
        gone = host is not None and host.gone_in_s is not None and host.gone_in_s / speed < DRAIN_S
        (leaving if gone else allowed).append(choice)
    made = _sorted(allowed, conversation) + _sorted(leaving, conversation)
    if made:
        return made, ""
    return [], ", ".join(f"{count} {text}" for text, count in why.items()) or "it has none"


def _barred(
    deployment: DeploymentFacts, replica: Replica, host: HostNow | None, seen: Seen | None, jurisdictions: Sequence[str], adapter: str | None
) -> str:  # fmt: skip
    """The hard rule that a server breaks; empty for none."""
    if replica.host:
        if host is None or not host.up:
            return "out of service"
        if not host.contact:
            return "out of reach"
    country = host.country if host is not None else ""
    for states in (deployment.jurisdictions, tuple(jurisdictions)):
        if states and country not in states:
            return f"outside {', '.join(states)}"
    if replica.leaving:
        return "leaving"
    if seen is None or not seen.ready:
        return "not ready"
    if adapter is not None and adapter not in replica.adapters:
        return "without the tuned model yet"
    return ""


def _weighed(replica: Replica, host: HostNow | None, seen: Seen, place: str, home: bool, speed: float) -> Choice:
    """What asking a server costs."""
    modelled_s = host.round_trip_s.get(place) if host is not None else None
    parts = {
        "round trip": modelled_s or 0.0,
        "queue": seen.under_way * (seen.service_s or UNKNOWN_SERVICE_S) / BATCH,
        "conversation": -STAY_S if home else 0.0,
    }
    if host is not None:
        soon = host.ship and host.eclipse_in_s is not None and host.eclipse_in_s / speed < DARK_S
        parts["eclipse"] = DARK_COST_S if soon or not host.lit else 0.0
        parts["clocks"] = (
            LOW_COST_S * (1.0 - min(host.gpus / host.gpus_installed, 1.0)) if host.gpus_installed else LOW_COST_S
        )
        low = max(LOW_CHARGE - host.charge_share, 0.0) / LOW_CHARGE if host.charge_share is not None else 0.0
        parts["battery"] = CHARGE_COST_S * low
        parts["energy price"] = ENERGY_COST_S * host.energy_usd_j
    reasons = tuple(f"{name} {1000.0 * s:+.1f} ms" for name, s in parts.items() if s)
    return Choice(replica, host, sum(parts.values()), modelled_s, reasons)


def _sorted(choices: list[Choice], conversation: bytes) -> list[Choice]:
    """Cheapest first; those alike in an order of the conversation's own (rendezvous hashing)."""

    def drawn(choice: Choice) -> bytes:
        return hashlib.blake2b(conversation + choice.replica.id.encode(), digest_size=8).digest()

    return sorted(choices, key=lambda c: (round(c.cost_s / TIE_S), drawn(c)))
