"""Reboosts and avoidances: as often as drag and reports say, off the mesh while they last, charged to the bus, known to plans."""

import numpy as np
import pytest

from aether.engine.assemble import assemble
from aether.engine.block import block
from aether.engine.manoeuvres import AVOIDANCE, REBOOST, manoeuvres
from aether.engine.run import simulate
from aether.engine.tick import start, step
from aether.scenario.load import load
from aether.space import drag
from constellation import fabric


def often(**more):
    data = fabric(**(more | {"couplings__faults": False}))
    data["assumptions"] = {"avoidance.rate": "8000 1/year", "avoidance.duration": "10 min"}
    return data


@pytest.fixture(scope="module")
def busy():
    return simulate(load(often(duration="2 h")))


def test_a_year_has_as_many_reboosts_as_drags_delta_v_asks_for():
    setup = assemble(load(fabric(duration="365 d", step="3600 s", workloads=[])))
    made, ships = manoeuvres(setup.scenario, setup.fleet, setup.group), len(setup.fleet.name)
    yearly = drag.delta_v_per_year(600e3, drag.density(600e3), setup.fleet.drag_area_m2, setup.fleet.mass_kg)
    given = np.bincount([o.subject for o in made.planned], minlength=ships) * made.delta_v_m_s
    np.testing.assert_allclose(given, yearly, atol=made.delta_v_m_s.max())
    assert 2.0 < float(yearly[0]) < 33.0  # an AI1-class ship edge-on at 600 km, quiet to active Sun
    each = np.bincount([o.subject for o in made.by_chance], minlength=ships)
    assert each.mean() == pytest.approx(32.0, abs=4 * np.sqrt(32.0 / ships))  # SpaceX, June to November 2025


def test_reboosts_stand_whatever_the_seed_and_avoidances_do_not():
    one, two = (assemble(load(fabric(duration="40 d", step="3600 s", workloads=[], seed=s))).manoeuvres for s in (1, 2))
    assert one.planned == two.planned
    assert one.by_chance != two.by_chance


def test_ships_that_thrust_have_no_mesh_and_draw_what_their_jets_take(busy):
    setup = busy.setup
    ahead = block(setup, 0, setup.scenario.clock.times()[:60], None)
    state, seen = start(setup, ahead), 0
    for i in range(60):
        state, tick = step(setup, state, ahead, i)
        away = ahead.thrusting[i] >= 0.5
        seen += int(away.sum())
        assert (tick.capacity.reach[away] == 0.0).all()
        assert (tick.mesh.attached[away] == 0.0).all()
        drawn = tick.energy.bus_w + tick.energy.shed_w - setup.fleet.bus_w
        np.testing.assert_allclose(drawn, ahead.thrusting[i] * setup.manoeuvres.thrust_w, rtol=1e-9, atol=1e-6)
    assert seen > 0
    force_n = setup.fleet.mass_kg * setup.manoeuvres.delta_v_m_s / setup.scenario.value("reboost.duration")
    jet_w = setup.manoeuvres.thrust_w * setup.scenario.value("thruster.efficiency")
    np.testing.assert_allclose(
        jet_w, force_n * setup.scenario.value("mass.specific_impulse") * 9.80665 / 2.0
    )  # half the force times the exhaust's speed


def test_manoeuvres_cost_what_is_deliverable_stand_in_the_calendar_and_stop_nothing_when_off(busy):
    calm = simulate(load(often(duration="2 h", couplings__manoeuvres=False)))
    kinds = [e.kind for e in busy.events]
    assert kinds.count(AVOIDANCE) > 5
    assert not {AVOIDANCE, REBOOST} & {e.kind for e in calm.events}
    ours, theirs = (o.summary["waterfall"]["deliverable"]["gpu_hours"] for o in (busy, calm))
    assert ours < 0.97 * theirs
    job, quiet = (o.summary["work"]["training"][0] for o in (busy, calm))
    assert job["goodput"] < quiet["goodput"]
    assert job["interruptions"] == quiet["interruptions"]  # scheduled: it waits, nothing is thrown away
