"""Parts that fail slowly: what is left of an array, a coolant loop, a battery while they degrade, and when a ship breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aether.base.tables import Floats, Outage

KINDS = ("pump", "pointing", "cells", "battery")
MENDED = ("pump", "pointing")  # by the spare pump, or by calibrating anew, once a ship is drained and at rest
LOSSES = {"array": ("pointing", "cells"), "loop": ("pump",), "battery": ("battery",)}  # what each takes from


@dataclass(frozen=True, slots=True)
class Degradation:
    """One part of one ship that degrades."""

    ship: int
    kind: str  # of `KINDS`
    start_s: float
    over_s: float  # from whole to its full loss; 0 for a step
    depth: float  # share lost in the end
    breaks: bool  # the ship is lost for the run when all is lost, unless it was drained before


@dataclass(frozen=True, slots=True)
class Health:
    """What is left of a fleet's parts through a window (T, K), share of what they were."""

    array: Floats  # power
    loop: Floats  # conductance from cold plates to coolant and on to the radiator
    battery: Floats  # capacity


def health(found: Sequence[Degradation], drains: Sequence[Outage], ships: int, time_s: Floats) -> Health:
    """What is left of each ship's parts.

    f = 1 - depth min(1, (t - start) / over), the product over what degrades; a drain mends what can be, from its end on.
    found: what degrades. drains: outages of ships by their number. ships: K. time_s: (T,). Returns Health.
    Valid for losses that grow evenly. Reference: [1] own model; NASA-HDBK-4002A and flight reports give the kinds.
    """
    left = {part: np.ones((len(time_s), ships)) for part in LOSSES}
    for one in found:
        grown = (time_s >= one.start_s) if one.over_s <= 0.0 else np.clip((time_s - one.start_s) / one.over_s, 0.0, 1.0)
        ends = [d.end_s for d in drains if d.subject == one.ship and d.end_s > one.start_s]
        if ends and one.kind in MENDED:
            grown = np.where(time_s >= min(ends), 0.0, grown)
        part = next(name for name, kinds in LOSSES.items() if one.kind in kinds)
        left[part][:, one.ship] *= 1.0 - one.depth * grown
    return Health(**left)


def breakdowns(found: Sequence[Degradation], drains: Sequence[Outage], duration_s: float) -> list[Outage]:
    """Ships that break since what degrades was let be: out of service to the end of the run.

    found, drains: as in `health`. duration_s: of the run. Returns outages of ships. Reference: [1] own model.
    """
    lost = []
    for one in found:
        end_s = one.start_s + one.over_s
        saved = any(d.subject == one.ship and one.start_s <= d.start_s <= end_s for d in drains)
        if one.breaks and not saved and end_s < duration_s:
            lost.append(Outage("ship", one.ship, end_s, np.inf, f"{one.kind} let be"))
    return lost


def draw(rng: np.random.Generator, count: int, ships: int, duration_s: float) -> list[Degradation]:
    """Degradations of ships drawn by chance, one a ship, the kinds in turn.

    They begin in the second to fourth sixth of the run, so that what was normal before has been seen; pumps and pointing
    lose over two to five hours, cells in a step, batteries over six.
    rng: its own stream. count: at most one for each of the ships. duration_s: of the run. Returns them.
    Reference: [1] own scenario, not a rate of failures.
    """
    depths = {"pump": (0.4, 0.8), "pointing": (0.1, 0.3), "cells": (0.06, 0.25), "battery": (0.2, 0.5)}
    hours = {"pump": (2.0, 5.0), "pointing": (2.0, 5.0), "cells": (0.0, 0.0), "battery": (4.0, 6.0)}
    made = []
    for n, ship in enumerate(rng.permutation(ships)[:count]):
        kind = KINDS[n % len(KINDS)]
        start_s = duration_s * rng.uniform(1 / 6, 4 / 6)
        over_s = 3600.0 * rng.uniform(*hours[kind])
        made.append(Degradation(int(ship), kind, start_s, over_s, rng.uniform(*depths[kind]), kind == "pump"))
    return made
