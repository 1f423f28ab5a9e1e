"""When ships thrust: raised again as drag lets them sink, moved out of others' way. The calendar knows the first, chance the second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aether.base.clock import stream
from aether.base.tables import Fleet, Floats, Ints, Outage
from aether.operations import faults
from aether.scenario.load import Scenario
from aether.space import drag

YEAR_S = 365.25 * 86400.0  # Julian year
GRAVITY_M_S2 = 9.80665  # standard, by which specific impulse is told in seconds
GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0  # phases of ships: no two of a group thrust at once if it can be helped
MODEL_M = 1_000e3  # the density model ends there, and drag asks for next to nothing
REBOOST, AVOIDANCE = "reboost", "avoidance"


@dataclass(frozen=True)
class Manoeuvres:
    """Thrusting of ships through a run; outages of kind "ship" whose cause is the manoeuvre."""

    planned: tuple[Outage, ...]
    by_chance: tuple[Outage, ...]
    delta_v_m_s: Floats  # (K,) of one reboost
    thrust_w: Floats  # (K,) that thrusters draw while they burn

    @property
    def all(self) -> tuple[Outage, ...]:
        """Both kinds."""
        return self.planned + self.by_chance


def manoeuvres(scenario: Scenario, fleet: Fleet, group: Ints) -> Manoeuvres:
    """The Manoeuvres of a run.

    A ship is raised each time drag has let it sink by the band da: dv = v da / (2 a), every dv / (drag's dv a year) in the
    solar cycle's mean density, ships of a group in turn. Avoidance comes by chance. Thrusters give F = m dv / t and draw
    P = F g0 I_sp / (2 eta). group: (K,) number of each ship's.

    [1] Goebel and Katz, Fundamentals of Electric Propulsion, 2008, section 2.3 (power of a jet).
    """
    value, duration_s = scenario.value, scenario.clock.duration_s
    planned: list[Outage] = []
    length_s, each = value("reboost.duration"), np.zeros(len(group))
    for number, asked in enumerate(scenario.spec.ships):
        altitude = asked.orbit.altitude
        members = np.flatnonzero(group == number)
        radius = drag.EARTH_RADIUS_M + altitude
        each[members] = np.sqrt(drag.MU_M3_S2 / radius) * value("reboost.band") / (2.0 * radius)
        if altitude > MODEL_M:
            continue
        air = float(drag.density(altitude))
        yearly = drag.delta_v_per_year(altitude, air, fleet.drag_area_m2[members], fleet.mass_kg[members])
        for n, k in enumerate(members.tolist()):
            every_s = each[k] / float(yearly[n]) * YEAR_S
            first_s = (n + 1) * GOLDEN % 1.0 * every_s
            starts = np.arange(first_s, duration_s, every_s).tolist() if np.isfinite(every_s) else []
            planned += [Outage("ship", k, at, at + length_s, REBOOST) for at in starts]
    push_n = fleet.mass_kg * each / length_s
    thrust_w = push_n * GRAVITY_M_S2 * value("mass.specific_impulse") / (2.0 * value("thruster.efficiency"))
    return Manoeuvres(tuple(planned), avoidances(scenario, len(group)), each, thrust_w)


def avoidances(scenario: Scenario, ships: int) -> tuple[Outage, ...]:
    """Manoeuvres out of others' way through a run, each ship by itself."""
    rng, value = stream(scenario.spec.seed, "manoeuvres/avoidance"), scenario.value
    rate, length_s = value("avoidance.rate"), value("avoidance.duration")
    drawn = faults.draw(rng, "ship", ships, rate, length_s, scenario.clock.duration_s, {AVOIDANCE: 1.0}, fixed=True)
    return tuple(drawn)


def thrusting(made: Manoeuvres, ships: int, time_s: Floats, step_s: float, on: bool) -> Floats:
    """Share of each tick in which each ship thrusts (T, K); off: none does."""
    if not on:
        return np.zeros((len(time_s), ships))
    here = [o for o in made.all if o.start_s < time_s[-1] + step_s and o.end_s > time_s[0] - step_s]
    return 1.0 - faults.share_up(here, "ship", ships, time_s, step_s)
