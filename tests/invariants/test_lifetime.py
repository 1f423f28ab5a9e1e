"""What must hold for any fleet: ships add up, capacity stays below nameplate, money adds up, more losses never give more."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.base import spread
from aether.base.clock import stream
from aether.base.errors import InputError
from aether.engine import factors
from aether.engine.lifetime import lifetime
from aether.operations import wear
from aether.operations.fleet import COLUMNS, GPUS, SHIPS, Chance, Course, course
from aether.scenario.load import load
from aether.study import lifetime as study
from constellation import fabric

MONTHS, AGES = 48, 30


def made(**changes):
    """A course and a chance of two groups, one that shares flights and one of three loads."""
    wanted = {
        "aim": 20, "counts": SHIPS, "once": False, "flights": 3.0, "spares": 0.1, "boards_every": 0, "storm": -1, "fails": 0.1,
        "dies": 0.01, "load": 0.25, "loads": 2.5, "grounded": 1, "disposes": 0.9, "storm_loss": 0.1, "initial": 10,
    } | changes  # fmt: skip
    given = Course(
        aim=np.full((MONTHS, 2), float(wanted["aim"])), counts=wanted["counts"], once=wanted["once"], orders=np.zeros((0, 2), np.int64),
        initial=np.array([wanted["initial"]] * 2), initial_age=np.array([3, 0]), flights=np.full(MONTHS, wanted["flights"]),
        spares=wanted["spares"], gpus=np.array([8.0, 1000.0]), flops=np.array([1e15, 1e15]), factor=np.full((2, MONTHS, AGES + 1), 0.8),
        mean_factor=np.full((2, AGES + 1), 0.8), boards_every=wanted["boards_every"], storm=wanted["storm"],
        hardware_usd=np.ones((MONTHS + 1, 2)), paid_usd=np.ones((MONTHS + 1, 2)),
    )  # fmt: skip
    boards = wear.attrition(np.arange(AGES + 1.0), 0.01, 1.0, AGES)
    drawn = Chance(
        dies=np.full((2, AGES), wanted["dies"]), boards=boards, life=np.full((2, MONTHS + 1), 24), lead=np.array([1, 2]),
        loads=np.array([wanted["load"], wanted["loads"]]), service_loads=np.array([0.1, 0.5]), launch_fails=wanted["fails"],
        grounded=wanted["grounded"], generation=1.0 + np.arange(MONTHS + 1.0) / 48.0, up=np.ones(2), disposes=wanted["disposes"],
        storm_loss=wanted["storm_loss"], storm_outage=0.2, storm_array=0.01,
    )  # fmt: skip
    return given, drawn


def years(seed=1, **changes):
    given, drawn = made(**changes)
    out = course(*(stream(seed, name) for name in ("a", "b", "c")), given, drawn)
    return {name: out[..., k] for k, name in enumerate(COLUMNS)}, given


ANY = {
    "seed": st.integers(0, 10**6), "aim": st.integers(0, 60), "flights": st.floats(0.0, 20.0), "spares": st.floats(0.0, 0.5),
    "fails": st.floats(0.0, 1.0), "dies": st.floats(0.0, 0.5), "load": st.floats(0.02, 1.0), "loads": st.floats(1.01, 6.0),
    "grounded": st.integers(0, 6), "disposes": st.floats(0.0, 1.0), "initial": st.integers(0, 30), "once": st.booleans(),
    "boards_every": st.sampled_from([0, 6, 12]), "storm": st.sampled_from([-1, 0, 20]), "counts": st.sampled_from([SHIPS, GPUS]),
}  # fmt: skip


@settings(max_examples=25)
@given(st.fixed_dictionaries(ANY))
def test_ships_launched_are_alive_failed_or_disposed_in_every_month(changes):
    out, given = years(**changes)
    there = given.initial + np.cumsum(out["joined"], axis=0)
    gone = np.cumsum(out["failed"] + out["disposed"] + out["stranded"], axis=0)
    np.testing.assert_array_equal(there, out["alive"] + gone)
    np.testing.assert_allclose(
        out["ordered"][:, 0], out["joined"][:, 0] + out["lost"][:, 0]
    )  # those that share flights
    assert (out["alive"] >= out["in_service"]).all()
    assert (out["in_service"] >= out["active"]).all()
    assert (out["launches"] >= out["launches_failed"]).all()


@settings(max_examples=25)
@given(st.fixed_dictionaries(ANY))
def test_capacity_never_lies_above_nameplate_nor_flights_above_the_cadence(changes):
    out, given = years(**changes)
    assert (out["delivered_gpu"] <= out["working_gpu"] * 0.8 + 1e-9).all()
    assert (out["working_gpu"] <= out["nameplate_gpu"] + 1e-9).all()
    assert (out["delivered_flops"] <= out["nameplate_flops"] * (1 + 1e-12)).all()
    flown = np.cumsum((out["flights"] + out["service_flights"]).sum(axis=1))
    assert (flown <= np.cumsum(given.flights) + 1.0 + 1e-6).all()
    assert all((values >= 0.0).all() for values in out.values())


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_the_same_seed_gives_the_same_years(seed):
    for name, values in years(seed)[0].items():
        np.testing.assert_array_equal(values, years(seed)[0][name])


def test_more_launch_failures_and_deaths_never_give_more_in_expectation():
    def mean(**changes):
        return np.mean([years(seed, **changes)[0]["delivered_gpu"].sum() for seed in range(40)])

    some = [mean(fails=f, initial=0, spares=0.0, flights=1.0) for f in (0.0, 0.2, 0.5)]
    assert some[0] > some[1] > some[2]
    some = [mean(dies=d, flights=1.0) for d in (0.0, 0.02, 0.1)]
    assert some[0] > some[1] > some[2]


def test_without_replacement_a_fleet_dies_away_as_its_survival_does():
    kept = [years(seed, once=True, aim=0, initial=2000, dies=0.02)[0]["alive"][:20, 1] for seed in range(20)]
    # constant hazard, exactly: (1 - h)^m
    np.testing.assert_allclose(np.mean(kept, axis=0), 2000 * 0.98 ** np.arange(20), rtol=0.01)


def test_launch_failures_ground_the_vehicle_and_lose_what_it_carries():
    out, _ = years(fails=1.0, initial=0, grounded=3)
    assert out["joined"].sum() == 0
    flown = np.flatnonzero(out["launches"].sum(axis=1) > 0)
    assert (np.diff(flown) == 4).all()  # three months on the ground after each
    assert out["lost"].sum() == pytest.approx(out["ordered"].sum())


def test_a_ship_of_several_loads_is_up_with_its_last():
    out, _ = years(fails=0.0, flights=1.0, initial=0, aim=1, spares=0.0, dies=0.0, load=1.0, loads=3.0)
    joined = np.flatnonzero(out["joined"][:, 1])
    assert joined[0] == 3  # the small ship takes the first of the flights, its parts the three after
    assert out["in_service"][joined[0] + 1, 1] == 0
    assert out["in_service"][joined[0] + 2, 1] == 1


def test_new_boards_make_an_old_ship_deliver_as_a_new_one():
    old, _ = years(once=True, aim=10, boards_every=0, dies=0.0)
    new, _ = years(once=True, aim=10, boards_every=6, dies=0.0)
    assert new["serviced"].sum() > 0
    assert new["delivered_flops"][15].sum() > old["delivered_flops"][15].sum() * 1.05
    assert new["delivered_gpu"][15].sum() > old["delivered_gpu"][15].sum() * 1.03
    assert new["service_flights"].sum() > 0.0


def test_spares_take_over_at_once():
    short, _ = years(spares=0.0, dies=0.05, fails=0.0, flights=6.0)
    ample, _ = years(spares=0.5, dies=0.05, fails=0.0, flights=6.0)
    assert ample["active"][6:20, 0].mean() > short["active"][6:20, 0].mean()
    assert (ample["active"] <= 20).all()


@pytest.fixture(scope="module")
def small():
    """`small(threads, **lifetime)`: the years of a small fleet, kept; what the engine measures is measured once."""
    measure, known = factors.measure, {}

    def once(scenario, _life_s, progress=None):
        if "factors" not in known:
            known["factors"] = measure(scenario, 10 * factors.YEAR_S, progress)
        return known["factors"]

    def run(threads=1, **changes):
        data = fabric(**{f"lifetime__{k}": v for k, v in ({"draws": 40, "years": 6} | changes).items()})
        return lifetime(load(data), None, threads)

    def get(threads=1, **changes):
        key = (threads, repr(changes))
        if key not in known:
            known[key] = run(threads, **changes)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factors, "measure", once)
        yield get


def test_tables_are_the_same_for_any_number_of_threads(small):
    one, two = small(1), small(2)
    for name in COLUMNS:
        np.testing.assert_array_equal(one.out[name], two.out[name])
    assert study.months(one).equals(study.months(two))


def test_money_adds_up_to_the_cent(small):
    cost = study.summary(small())["cost"]
    assert sum(round(100 * t["usd"]) for t in cost["terms"]) == round(100 * cost["usd"])
    for term in cost["terms"]:
        assert sum(cost["by_year"][term["asset"]]) == pytest.approx(term["usd"], abs=0.011)


def test_factors_are_those_of_the_engine_and_fall_with_age(small, run_engine):
    found = small().fleet.factors
    day = run_engine(
        "ai1-ring", start="2026-06-21T00:00:00Z", ships__0__count=1, step="600 s", outputs__ablation=False,
        couplings__faults=False, ground__coverage_cells=0,
    )  # fmt: skip
    sums = day.totals.ships.sums
    assert found.deliverable[0, 0, 0] == pytest.approx(float(sums["radiation"][0] / sums["installed"][0]), abs=1e-3)
    assert (np.diff(found.deliverable, axis=2) < 0.0).all()
    assert found.deliverable[0, 0].max() < found.deliverable[0, 2:6].min()  # June is dark
    year = factors.at(found.deliverable, found, found.dates_s + 3 * factors.YEAR_S, found.ages_s)
    np.testing.assert_allclose(year, found.deliverable)


def test_ranges_widen_the_bands_and_chance_alone_leaves_assumptions_nominal(small):
    wide, narrow = (study.summary(small(ranges=r))["capacity"]["delivered_share"] for r in (True, False))
    assert wide["p90"] - wide["p10"] > narrow["p90"] - narrow["p10"]
    assert set(small(ranges=False).fleet.draws("faults.gpu_orbit")) == {small().fleet.draws.nominal("faults.gpu_orbit")}


def test_drawn_assumptions_are_spread_as_everywhere(small):
    draws = small(draws=4000, years=1).fleet.draws
    for name in ("fleet.launch_failure", "fleet.infant_ship", "cost.life_orbit"):
        values, (low, high) = draws(name), draws._known[name].range
        assert (values >= low * (1 - 1e-9)).all()
        assert (values <= high * (1 + 1e-9)).all()
        middle = float(spread.about(draws._known[name]).ppf(np.array([0.5]))[0])
        assert np.median(values) == pytest.approx(middle, rel=0.05)


def test_a_target_is_met_by_rule_and_no_dearer_by_the_programme(small):
    target = [{"year": 0, "gpus": 0}, {"year": 1, "gpus": 2000}, {"year": 6, "gpus": 4000}]
    rule = study.summary(small(target=target, initial=False, ranges=False))
    best = study.summary(small(target=target, initial=False, plan="cheapest", ranges=False))
    for told in (rule, best):
        assert told["target"]["met_share"]["p50"] > 0.93
    assert best["plan"]["gap_share"] < 0.05
    ours, theirs = (t["cost"]["usd_per_gpu_hour"]["mean"] for t in (best, rule))
    assert ours < 1.02 * theirs


def test_a_storm_takes_its_month_and_is_made_good(small):
    done = small(storm="2028-06-21", draws=200)
    told = study.summary(done, study.engine.calm(done))["storm"]
    assert told["month"] == 24 or told["month"] == 25
    # three days of thirty are a tenth; ships lost and arrays come on top
    assert 0.08 < told["dip_share"] < 0.2
    assert told["recovery_months"] is None or told["recovery_months"] >= 1
    ratio = np.array(told["ratio"])
    np.testing.assert_array_equal(ratio[: told["month"] - 1], 1.0)


def test_wrong_sections_are_named_all_at_once():
    data = fabric(lifetime={"vehicle": "starshp", "storm": "2050-01-01"})
    with pytest.raises(InputError, match="starship"):
        load(data)
    for section, words in (
        ({"target": [{"year": 2, "gpus": 1}, {"year": 1, "gpus": 2}]}, "years must rise"),
        ({"target": [{"year": 2, "gpus": 1, "pflops": 1}]}, "exactly one"),
        ({"target": [{"year": 0, "gpus": 1}], "rule": "once"}, "leave rule and growth out"),
        ({"plan": "cheapest"}, "needs a target"),
        ({"growth": "5 %"}, "rule: grow"),
        ({"upgrade_every": "3 year"}, "upgrade"),
        ({"yers": 3}, "years"),
    ):
        with pytest.raises(InputError, match=words):
            load(fabric(lifetime=section))
    with pytest.raises(InputError) as told:
        lifetime(load(fabric(lifetime={"draws": 100_000, "years": 20, "storm": "2020-01-01"})))
    assert len(told.value.problems) == 2
    with pytest.raises(InputError, match="needs ships"):
        lifetime(load("ground-only"))
