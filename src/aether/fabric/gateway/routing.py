"""Which replica answers: hard filters first, then the cheapest by what the twin models and what the gateway has measured."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aether.fabric.gateway import feed
from aether.fabric.gateway.gauges import NONE, Gauges

SLOTS = 8  # requests that a server works on at once: as aether-tiny's batch; real engines have more, their measured times say so
GUESS_S = 1.0  # a request's time where none was measured yet: a new replica must not look free however much it has
KEEP_S = 0.5  # what a conversation's cache is worth: to read some thousand tokens of it again, and no ship changed for a trifle
ALIKE_S = 0.005  # costs that differ by less are alike: the model of the path is no finer
DRAIN_S = 30.0  # of the wall: most answers end within it, so that none is begun on a host that goes sooner
DARK_SOON_S = 60.0  # of the wall: an eclipse that begins within it may lower the clocks during an answer
DARK_S = 0.02  # for an eclipse that nears: decides among hosts alike, never against one half as far away
SLOW_S = 1.0  # for clocks that are all lost, in proportion before: by what an answer of about a second takes longer
LOW_CHARGE_SHARE = 0.3  # below it a battery nears its floor, where power is cut
CHARGE_S = 0.1  # for an empty one; in proportion to what it lacks
FULL_SHARE = 0.9  # above it a KV cache has no room for long answers: requests are thrown out and read again, or wait
FULL_S = 1.0  # for a full one
ENERGY_S_J_USD = 0.01 * 3.6e7  # 10 ms for each 0.1 USD/kWh: decides among hosts that are otherwise alike
WORTH_S_USD = 100.0  # that a dollar is waited for: 36 USD are the hour of whoever waits
ANSWER_MTOK = 0.001  # that a price is weighed by: a thousand tokens read, a thousand written

# what a model's name stands for: a deployment, and what it was tuned to
Offer = tuple[feed.DeploymentFacts, feed.AdapterFacts | None]


@dataclass(slots=True)
class Seen:
    """What the gateway itself knows of a replica; means are of measured times [s], 0 before the first.

    first_s judges no replica here: one that was slow once would never be asked, and so never be timed, again.
    """

    under_way: int = 0
    service_s: float = 0.0
    first_s: float = 0.0
    ready: bool = False
    gauges: Gauges = NONE


@dataclass(frozen=True, slots=True)
class Choice:
    """A replica that may answer. host: None outside of the fabric. modelled_s: round trip by the twin [s], None where it has none."""

    offer: Offer
    replica: feed.Replica
    host: feed.HostNow | None
    cost_s: float
    modelled_s: float | None
    reasons: tuple[str, ...]


def order(
    offers: Sequence[Offer], hosts: Mapping[str, feed.HostNow], seen: Mapping[str, Seen], *, place: str,
    jurisdictions: Sequence[str], conversation: bytes, home: str | None, speed: float,
) -> tuple[list[Choice], str]:  # fmt: skip
    """The replicas that may answer, of all offers alike, best first, and in words why there is none.

    home: the replica that the conversation last had. speed: fabric seconds in one of the wall. Hosts that are soon gone come after all
    others, whatever they cost.
    """
    barred: Counter[str] = Counter()
    choices: list[Choice] = []
    for offer in offers:
        laws = [set(states) for states in (offer[0].jurisdictions, jurisdictions) if states]
        for replica in offer[0].replicas:
            host, known = hosts.get(replica.host), seen.get(replica.id) or Seen()
            bar = _barred(replica, host, known, laws, offer[1].upstream if offer[1] else None)
            if bar:
                barred[bar] += 1
            else:
                choices.append(_choice(offer, replica, host, known, place, replica.id == home, speed))
    if not choices:
        words = "; ".join(f"{count} {bar}" for bar, count in sorted(barred.items()))
        names = ", ".join(sorted(d.name for d, _ in offers))
        return [], f"no replica of {names} may answer: {words or 'it has none'}"
    stay = [c for c in choices if not _leaves(c.host, speed)]
    cheapest_s = min(c.cost_s for c in stay or choices)

    def rank(choice: Choice) -> tuple[bool, bool, int, bytes, str]:
        name = choice.replica.id
        kept = name == home and choice.cost_s <= cheapest_s
        lot = hashlib.blake2b(conversation + b"\0" + name.encode(), digest_size=8).digest()
        return _leaves(choice.host, speed), not kept, round(choice.cost_s / ALIKE_S), lot, name

    return sorted(choices, key=rank), ""


def _barred(
    replica: feed.Replica, host: feed.HostNow | None, known: Seen, laws: Sequence[set[str]], adapter: str | None
) -> str:
    """Why a replica may not answer, whatever it costs; empty where it may."""
    if replica.host and host is None:
        return "on a host that is not known"
    if laws and (host is None or any(host.country not in states for states in laws)):
        return f"outside of {', '.join(sorted(set.intersection(*laws))) or 'every state that both it and the request allow'}"
    if replica.leaving:
        return "leaving"
    if host is not None and not host.up:
        return "on a host that is down"
    if host is not None and not host.contact:
        return "on a host out of contact"
    if not known.ready:
        return "not ready"
    if adapter is not None and adapter not in replica.adapters:
        return "without the adapter"
    return ""


def _choice(
    offer: Offer, replica: feed.Replica, host: feed.HostNow | None, known: Seen, place: str, kept: bool, speed: float
) -> Choice:
    """What a replica costs [s], part by part."""
    modelled_s = host.round_trip_s.get(place) if host is not None else None
    parts = [("round trip", modelled_s or 0.0)]
    # others may ask it too; where some wait, its slots are full
    queue = known.gauges.waiting + SLOTS if known.gauges.waiting else 0
    parts += [("load", max(known.under_way, queue) * (known.service_s or GUESS_S) / SLOTS)]
    parts += [("cache", FULL_S * max(0.0, known.gauges.cache_share - FULL_SHARE) / (1.0 - FULL_SHARE))]
    prices_usd_mtok = offer[0].price_in_usd_mtok + offer[0].price_out_usd_mtok
    parts += [("price", WORTH_S_USD * ANSWER_MTOK * prices_usd_mtok)]
    if host is not None:
        clocks_share = host.gpus / host.gpus_installed if host.gpus_installed else 1.0
        parts.append(("clocks", SLOW_S * max(0.0, 1.0 - clocks_share)))
        dark_s = host.eclipse_in_s
        parts.append(("eclipse", DARK_S if dark_s is not None and dark_s / speed < DARK_SOON_S else 0.0))
        lacks_share = 0.0 if host.charge_share is None else max(0.0, 1.0 - host.charge_share / LOW_CHARGE_SHARE)
        parts.append(("battery", CHARGE_S * lacks_share))
        parts.append(("energy", ENERGY_S_J_USD * host.energy_usd_j))
    parts.append(("conversation", -KEEP_S if kept else 0.0))
    reasons = [f"{name} {cost_s:+.3f} s" for name, cost_s in parts if cost_s]
    if modelled_s is None:
        reasons.insert(0, "round trip not modelled")
    if _leaves(host, speed):
        reasons.append("soon gone")
    return Choice(offer, replica, host, sum(cost_s for _, cost_s in parts), modelled_s, tuple(reasons))


def _leaves(host: feed.HostNow | None, speed: float) -> bool:
    """Whether a host goes out of reach before an answer that is begun now would end."""
    return host is not None and host.gone_in_s is not None and host.gone_in_s / speed < DRAIN_S
