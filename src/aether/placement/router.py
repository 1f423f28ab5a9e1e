"""How the policy `router` scores hosts, as routers of inference do: way, prefix hit, load, cache, light, charge, contact, energy, carbon."""

from __future__ import annotations

import numpy as np

from aether.base.tables import Floats, Snapshot

TERMS = (
    "trip",
    "prefix",
    "load",
    "cache",
    "dark",
    "charge",
    "contact",
    "energy",
    "carbon",
)  # in the order of `Snapshot.weights`


def score(snapshot: Snapshot) -> Floats:
    """What the router ranks by, higher first.

    score = -sum_k w_k b_k, burdens b_k of `burdens`, and of a prompt the share that the host has not cached; weights w_k of
    `Snapshot.weights` in the order of `TERMS`.
    Returns (Q, C, H). Valid as a ranking alone: load and cache are those at the tick's beginning, and grow no further as
    the tick is filled. Reference: [1] llm-d.ai, inference scheduler, scorers.
    """
    weight = dict(zip(TERMS, snapshot.weights, strict=True))
    near, each = burdens(snapshot)
    missed = 0.0 if snapshot.kept is None else weight["prefix"] * (1.0 - snapshot.kept)
    whole = np.zeros(snapshot.need_gpu_s.shape)
    for name, values in each.items():
        whole = whole + weight[name] * values
    return -weight["trip"] * near - missed - whole[:, None, :]


def burdens(snapshot: Snapshot) -> tuple[Floats, dict[str, Floats]]:
    """What speaks against a host, each from 0 to 1: the way by place (Q, C, H), and the other terms (H,) or (Q, H).

    trip: round trip over its limit. load: 1 - free compute over installed. cache: share of the host's KV cache in use in
    the tick before. dark: 1 - sunlight left over the horizon, by which a handover of light counts early. charge: 1 - the
    battery's. contact: 1 - time that the link to the mesh still lasts over the horizon. energy, carbon: of a request over
    its worth, 1 at most. The horizon is `Snapshot.ahead_s`. Hosts on the ground have neither darkness nor handover.
    """
    trip = np.minimum(snapshot.round_trip_s[None] / snapshot.limit_s[:, None, None], 1.0)
    trip = np.where(np.isfinite(trip), trip, 1.0)
    free = snapshot.free_gpu_s / np.maximum(snapshot.installed_gpu * snapshot.step_s, 1e-12)
    worth = np.maximum(snapshot.value_usd, 1e-30)[:, None]
    return trip, {
        "load": 1.0 - np.clip(free, 0.0, 1.0),
        "cache": np.clip(snapshot.cache_share, 0.0, 1.0),
        "dark": 1.0 - np.minimum(snapshot.light_s / snapshot.ahead_s, 1.0),
        "charge": 1.0 - np.clip(snapshot.charge_share, 0.0, 1.0),
        "contact": 1.0 - np.minimum(snapshot.contact_s / snapshot.ahead_s, 1.0),
        "energy": np.minimum(snapshot.energy_usd / worth, 1.0),
        "carbon": np.minimum(snapshot.carbon_usd / worth, 1.0),
    }
