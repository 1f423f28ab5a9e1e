"""Hard limits: which host may run what, and in words why none may."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aether.base.tables import Bools, Snapshot


def allowed(
    where: Sequence[str], jurisdictions: Sequence[str], groups: Sequence[str], countries: Sequence[str]
) -> Bools:
    """Hosts that a workload may use: by its own choice of groups and by the law that holds aboard.

    where: names of groups and sites, any when empty. jurisdictions: two-letter states, any when empty; a ship is under
    the law of its state of registry, a site under its country's. groups, countries: (H,) of each host. Returns (H,).
    Reference: [1] Outer Space Treaty, article VIII.
    """
    chosen = [not where or g in where for g in groups]
    lawful = [not jurisdictions or c in jurisdictions for c in countries]
    return np.array(chosen, dtype=np.bool_) & np.array(lawful, dtype=np.bool_)


def usable(snapshot: Snapshot) -> Bools:
    """Which host may serve which place: allowed, its model fits, a path within the round trip allowed (Q, C, H)."""
    fits = snapshot.allowed & np.isfinite(snapshot.need_gpu_s)
    near = snapshot.round_trip_s[None, :, :] <= snapshot.limit_s[:, None, None]
    return fits[:, None, :] & near & np.isfinite(snapshot.round_trip_s)[None, :, :]


def without_host(
    name: str, where: Sequence[str], jurisdictions: Sequence[str], groups: Sequence[str], countries: Sequence[str]
) -> str:
    """Why a workload has no host at all, counted; empty when it has one."""
    if allowed(where, jurisdictions, groups, countries).any():
        return ""
    chosen = [i for i, g in enumerate(groups) if not where or g in where]
    law = sorted({countries[i] for i in chosen})
    asked = ", ".join(jurisdictions) or "any state"
    named = f"the {len(chosen)} hosts of {', '.join(where)}" if where else f"{len(chosen)} hosts"
    return f"{name}: jurisdictions {asked} leave none of {named}; theirs are {', '.join(law) or 'none'}"
