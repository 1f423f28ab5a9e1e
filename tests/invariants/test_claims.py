"""Claims and their verdicts: all there, none typed in, and each verdict turns when its evidence does."""

import ast
import copy
import json
import re
from pathlib import Path

import pytest

from aether.base.errors import InputError
from aether.results import claims_report, results
from aether.study import claims
from aether.study.claims_evidence import WORDS, Settings, gather
from aether.study.claims_finding import FAILS, HOLDS, HOLDS_IF, TRIALS, UNTESTABLE, VERDICTS, graded

QUICK = Settings(hours=6.0, draws=64)
ROOT = Path(claims.__file__).parent


@pytest.fixture(scope="module")
def found():
    """All evidence, made once, quickly."""
    return gather(WORDS, QUICK)


@pytest.fixture(scope="module")
def rows(found):
    return {name: claims.row(name, claims.judge(name, found)) for name in claims.known()}


def changed(found, name, *ways):
    """The verdict on a claim when evidence is changed: ways are (path, value), as ("day/cities/covered_share", 0.5)."""
    needs = {need: copy.deepcopy(found[need]) for need in TRIALS[name].needs}
    for path, value in ways:
        *keys, last = (int(k) if k.lstrip("-").isdigit() else k for k in path.split("/"))
        at = needs
        for key in keys:
            at = at[key]
        assert last in at or isinstance(last, int), path
        at[last] = value
    return claims.judge(name, needs).verdict


def test_all_claims_are_there_in_order_and_have_a_test(rows):
    assert list(rows) == [f"C{i}" for i in range(1, 33)]
    assert all(name in TRIALS for name in rows)
    assert {a for r in rows.values() for a in r["articles"]} == {"A", "B", "C"}


def test_each_claim_was_measured_in_a_scenario_unless_it_cannot_be_tested(rows):
    for name, row in rows.items():
        assert row["verdict"] in VERDICTS, name
        if row["verdict"] == UNTESTABLE:
            assert row["live"], name
        else:
            assert row["scenarios"], name
            assert any(m["value"] is not None for m in row["measured"]), name


def test_words_hold_the_figures_that_were_measured(rows):
    for name, row in rows.items():
        if row["measured"]:
            assert sum(m["said"] in row["words"] for m in row["measured"]) >= min(2, len(row["measured"])), name


def test_no_figure_is_typed_into_words_or_criteria():
    for path in ROOT.glob("claims_*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "finding":
                for text in (n.value for a in call.args[1:3] for n in ast.walk(a) if isinstance(n, ast.Constant)):
                    assert not re.search(r"\d", re.sub(r"{\w+}", "", str(text))), text


def test_keys_of_figures_are_single(rows):
    for name, row in rows.items():
        keys = [m["key"] for m in row["measured"]]
        assert len(keys) == len(set(keys)), name


def test_ranges_hold_their_values(rows):
    for name, row in rows.items():
        for m in row["measured"]:
            ends = [v for v in (m["low"], m["high"]) if v is not None]
            if len(ends) == 2 and m["value"] is not None and not m["key"].startswith(("laser", "first", "height")):
                assert min(ends) <= m["value"] * (1 + 1e-9) + 1e-9, (name, m)
                assert m["value"] <= max(ends) * (1 + 1e-9) + 1e-9, (name, m)


CHANGES = [  # claim, its verdict, what is changed: the other verdict follows from the comparison alone
    ("C1", HOLDS, [("alone/work/inference/0/served_share", 0.97)]),
    ("C1", FAILS, [("alone/more", [{"times": 1, "served_share": 0.3}]), ("alone/work/inference/0/served_share", 0.3)]),
    ("C3", HOLDS, [("parts/assumptions/launch.cadence_shown/value", 1e-3)]),
    ("C3", FAILS, [("parts/ships/compute-ship-assembled/shortfalls", ["array short"])]),
    ("C4", FAILS, [("alone/footprint/orbit/grid_kwh", 1.0)]),
    ("C4", HOLDS, [("plan/given/settings/checkpoint_to", "peer")]),
    ("C5", FAILS, [("telemetry/watch/with/ships_lost", 1)]),
    ("C6", HOLDS_IF, [("climate/work/streams/0/late_share", 0.5)]),
    ("C6", FAILS, [("clinic/orbit/work/inference/0/served_share", 0.1)]),
    ("C7", FAILS, [("cable/cut/work/inference/0/served_share", 0.5), ("cable/cut/probes/0/fibre_s", 0.01), ("cable/cut/probes/1/fibre_s", 0.01)]),
    ("C8", FAILS, [("clinic/orbit/work/hosts/1/requests", 5.0)]),
    ("C9", HOLDS, [("money/orbit_is_cheaper", 0.6)]),
    ("C9", HOLDS_IF, [("money/orbit_is_cheaper", 0.1)]),
    ("C9", HOLDS_IF, [("money/orbit_is_cheaper", 0.0), ("money/years/parity_year", 7)]),
    ("C9", FAILS, [("money/orbit_is_cheaper", 0.0), ("money/years/parity_year", None), ("money/ladder/reached", False)]),
    ("C10", HOLDS, [("money/contract/orbit/margin/p50", 0.2)]),
    ("C10", FAILS, [("money/contract/orbit/margin/p50", -0.2), ("money/contract/orbit/margin/p95", -0.1)]),
    ("C11", HOLDS, [("parts/ships/compute-ship-assembled/domain_gpus", 10008), ("parts/ships/compute-ship-assembled/loads", 1.0)]),
    ("C12", FAILS, [("day/waterfall/heat/lost_gpu_hours", 1e6)]),
    ("C12", HOLDS, [("day/shortfalls", []), ("day/waterfall/heat/lost_gpu_hours", 0.0)]),
    ("C14", HOLDS, [("parts/links/starlink-laser/far_bit_s", 1.5e11)]),
    ("C16", HOLDS, [("plan/ground/days", 40.0)]),
    ("C16", FAILS, [("plan/plan/days", 400.0)]),
    ("C17", HOLDS_IF, [("logistics/work/tuning/0/fresh_share", 0.4)]),
    ("C20", HOLDS, [("parts/assumptions/ground.campus_power/value", 1e6)]),
    ("C20", FAILS, [("parts/assumptions/ground.campus_power/value", 1e13)]),
    ("C24", HOLDS, [("parts/ships/compute-ship-assembled/lifted_kg", 1000.0)]),
    ("C25", HOLDS, [("day/work/training/0/goodput", 0.95)]),
    ("C25", FAILS, [("plan/plan/useful", 0.3)]),
    ("C26", HOLDS_IF, [("clinic/orbit/work/inference/0/first_token_p50_s", 9.0)]),
    ("C26", FAILS, [("clinic/orbit/work/inference/0/served_share", 0.1)]),
    ("C28", FAILS, [("money/perspectives/3/usd_per_gpu_hour", 99.0)]),
    ("C29", HOLDS_IF, [("years/storm/dip_share", 0.9)]),
    ("C30", FAILS, [("money/time_to_power/sooner_months/p50", -1.0)]),
    ("C32", HOLDS_IF, [("climate/work/streams/0/downlink_saved", 0.1)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "verdict", "ways"), CHANGES)
def test_the_verdict_turns_with_its_evidence(found, name, verdict, ways):
    assert changed(found, name, *ways) == verdict


def test_a_verdict_is_graded_by_its_comparisons():
    assert [graded(True, True), graded(False, True), graded(False, False)] == [HOLDS, HOLDS_IF, FAILS]


def test_evidence_alike_gives_claims_alike(found, rows):
    again = {name: claims.row(name, claims.judge(name, found)) for name in claims.known()}
    assert results.dumps(again) == results.dumps(rows)


def test_only_what_is_asked_for_is_run():
    told = claims.claims(["C24", "C22", "C11"], QUICK)
    assert [c["id"] for c in told["claims"]] == ["C11", "C22", "C24"]
    assert told["runs"] == ["the catalog"]
    assert json.loads(results.dumps(told))["counts"] == told["counts"]
    assert sum(told["counts"].values()) == 3


def test_unknown_claims_are_told_all_at_once():
    with pytest.raises(InputError) as told:
        claims.claims(["C9", "C33", "c1"])
    assert len(told.value.problems) == 2


def test_page_is_whole_and_escapes_what_it_shows(rows):
    told = claims.claims(["C11"], QUICK)
    everything = told | {
        "claims": [{**r, "words": "<script>alert(1)</script>", "conditions": ["<b>"]} for r in rows.values()]
    }
    page = claims_report.render(everything)
    assert "<script" not in page
    assert "&lt;script" in page
    assert page.count("<section id=") == 33
    assert page.count("<svg") == 2
    assert page == claims_report.render(everything)
    assert not re.search(r'(?:src|href)="http', page)
