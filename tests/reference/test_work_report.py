"""What the page and the terminal say of work and worth is what the tables and the summary say, whatever a run lacks."""

import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aether.results import figures, money_figures, report, terminal, words, work_figures, worldmap
from aether.study import runs

EVIL = "<script>alert(1)</script> [red]&"
SMALL = {"duration": "1 h", "step": "300 s", "ground.coverage_cells": 50, "ground.cities.largest": 20}
GROUND = {
    "name": "ground-only", "start": "2026-06-21T00:00:00Z", "duration": "1 h", "step": "300 s", "relays": {"shells": [{"mesh": "starlink-s1"}]},
    "sites": [{"name": "virginia", "site": "liquid-cooled", "at": "Washington", "gpus": 2304}],
    "workloads": [{"name": "a", "inference": {"model": "llama-3.3-70b", "precision": "fp8", "max_first_token": "3 s", "price": "10 USD",
                                              "requests": {"per_person_day": 0.01, "lengths": "azure-conversation"}}}],
    "ground": {"cities": {"largest": 10}, "coverage_cells": 20}, "outputs": {"ablation": False},
}  # fmt: skip


@pytest.fixture(scope="module")
def made():
    return runs.run("project-aether", SMALL)


@pytest.fixture(scope="module")
def page(made):
    return report.render(made)


@pytest.fixture(scope="module")
def idle():
    """A run without workloads and without sites."""
    short = {"duration": "1 h", "ground.coverage_cells": 20, "ground.cities.largest": 5, "outputs.ablation": False}
    return runs.run("ai1-ring", short)


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def sections(page):
    return re.findall(r'<section id="(\w+)">', page)


def printed(told, capsys, monkeypatch, columns=80):
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal.summary(told, Path("out"))
    return capsys.readouterr().out


# The page


def test_sections_come_with_the_answer_first(page):
    found = sections(page)
    assert found[:5] == ["compute", "work", "training", "cost", "footprint"]
    assert {"traffic", "faults", "ablation"} <= set(found)


def test_tokens_of_host_groups_add_up_to_the_summary(made):
    by_group = work_figures.host_tokens(figures.day(made), made.summary)
    for host in made.summary["work"]["hosts"]:
        whole = by_group[host["host"]].sum() * made.summary["step_s"]
        assert whole == pytest.approx(host["output_tokens"], rel=1e-5), host["host"]
    total = sum(s["output_tokens"] for s in made.summary["work"]["inference"])
    assert sum(v.sum() for v in by_group.values()) * made.summary["step_s"] == pytest.approx(total, rel=1e-5)


def test_requests_asked_for_add_up_to_the_summary(made):
    asked = work_figures.asked(figures.day(made), made.summary)
    for service in made.summary["work"]["inference"]:
        assert asked[service["name"]].sum() == pytest.approx(service["requests"], rel=1e-5)


def test_time_to_first_token_of_a_city_on_the_map_is_that_of_the_summary(made):
    services = made.summary["work"]["inference"]
    on_map = worldmap._by_city(figures.day(made), len(services), 0)
    for row in (*services[0]["best"], *services[0]["worst"]):
        first_s, tokens = on_map[row["city"]]
        assert first_s == pytest.approx(row["first_token_s"], rel=1e-5)
        assert tokens == pytest.approx(row["output_tokens"], rel=1e-4)


def test_waterfall_says_what_every_stage_takes_down_to_what_was_delivered(made):
    rows, caption = made.summary["waterfall"], figures.waterfall(made.summary).caption
    for stage, word in words.STAGES.items():
        assert f"{rows[stage]['lost_gpu_hours']:,.0f} to {word}" in caption
    assert (
        f"{rows['delivered']['gpu_hours']:,.0f} ({100 * rows['delivered']['share']:.1f} %) did work that counted"
        in caption
    )


def test_bars_of_cost_add_up_to_the_price_of_an_hour(made):
    for side in ("orbit", "ground"):
        row = made.summary["cost"][side]
        drawn = sum(t["share"] for t in row["terms"]) * row["usd_per_gpu_hour"]["nominal"]
        assert drawn == pytest.approx(row["usd_per_gpu_hour"]["nominal"], rel=1e-6)


def test_page_says_the_cost_of_both_sides_with_their_ranges(made, page):
    text = text_of(page)
    for side in ("orbit", "ground"):
        assert words.ranged(made.summary["cost"][side]["usd_per_gpu_hour"]) in text
    assert words.ranged(made.summary["cost"]["ratio"]) in text
    for row in made.summary["cost"]["parity"]:
        assert row["name"] in text


def test_every_new_figure_has_a_caption_with_a_number(page):
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert len(captions) == page.count("<svg ") > 35
    assert all(re.search(r"\d", c) and c.endswith(".") for c in captions)
    assert not re.search(r"\bnan\b", text_of(page))


def test_what_the_user_named_is_escaped(made):
    told = deepcopy(made.summary)
    for row in (*told["work"]["inference"], *told["work"]["training"]):
        row["name"] = EVIL
    told["work"]["not_run"] = [EVIL]
    told["cost"]["ground_is"] = told["cost"]["parity"][0]["name"] = told["cost"]["orbit"]["swings"][0]["name"] = EVIL
    page = report.render(replace(made, summary=told))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_same_results_give_the_same_page(made, page):
    assert report.render(made) == page


def test_one_tick_of_work_is_enough_for_a_page():
    one = runs.run("project-aether", SMALL | {"duration": "300 s", "outputs.ablation": False})
    assert "training" in sections(report.render(one))


# What a scenario may lack


def test_without_workloads_and_sites_nothing_is_said_of_work_and_the_ground_is_a_reference(idle, capsys, monkeypatch):
    page = report.render(idle)
    assert "asks for no work" in text_of(page)
    assert not {"training", "traffic"} & set(sections(page))
    assert "cost" in sections(page)
    assert "did work that counted" not in page
    assert "a reference site" in text_of(page)
    out = printed(idle.summary, capsys, monkeypatch)
    assert "network: deliverable" in out
    assert "placed" not in out
    assert "Inference" not in out


def test_without_ships_the_page_is_of_the_ground(capsys, monkeypatch):
    made = runs.run(GROUND)
    page = report.render(made)
    assert "No ship flies" in text_of(page)
    assert not {"compute", "day", "map", "budgets", "radiation"} & set(sections(page))
    assert {"work", "cost", "footprint"} <= set(sections(page))
    out = printed(made.summary, capsys, monkeypatch)
    assert "No ship flies" in out
    assert "virginia" in out


def test_without_a_price_the_page_says_which(made, capsys, monkeypatch):
    told = deepcopy(made.summary) | {"cost": {"missing": ["ai1-array.price: a cost needs it"]}, "footprint": None}
    page = report.render(replace(made, summary=told))
    assert "ai1-array.price: a cost needs it" in text_of(page)
    assert "footprint" not in sections(page)
    assert "ai1-array.price" in printed(told, capsys, monkeypatch)


def test_work_that_nobody_was_given_has_a_page(made):
    told = deepcopy(made.summary)
    for row in told["work"]["inference"]:
        row |= {"served": 0.0, "output_tokens": 0.0, "best": [], "worst": [], "never_served": ["Paris"]}
        row |= {f"first_token_p{p}_s": None for p in (50, 95, 99)}
        for hour in row["by_hour"]:
            hour |= {"first_token_s": None, "network_s": None, "output_tokens": 0.0}
    for row in told["work"]["training"]:
        row |= {"steps": 0.0, "tokens": 0.0, "days_to_finish": None, "goodput": 0.0, "lost": []}
    assert "it never ends" in text_of(report.render(replace(made, summary=told)))


def test_training_alone_has_a_page(made):
    told = deepcopy(made.summary)
    told["work"]["inference"] = []
    tables = {k: v for k, v in made.tables.items() if k != "requests"}
    found = sections(report.render(replace(made, summary=told, tables=tables)))
    assert "training" in found


# The terminal


def test_terminal_is_readable_at_eighty_columns(made, capsys, monkeypatch):
    out = printed(made.summary, capsys, monkeypatch)
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "…" not in out
    for word in (
        "Deliverable compute",
        "delivered",
        "Inference",
        "Training",
        "Where it ran",
        "Cost",
        "Footprint",
        "Faults",
        "Ablation",
    ):
        assert word in out, word


def test_terminal_says_what_the_summary_says(made, capsys, monkeypatch):
    told, out = made.summary, printed(made.summary, capsys, monkeypatch, 120)
    run, cost = told["work"]["training"][0], told["cost"]
    assert f"{100 * run['goodput']:.1f} %" in out
    assert f"{run['lost'][0]['cause']} {100 * run['lost'][0]['share']:.1f} %" in out
    assert words.ranged(cost["orbit"]["usd_per_gpu_hour"]) in out
    assert words.ranged(cost["ratio"]) in out
    for row in told["ablation"]:
        assert words.change(row["training_change"]) in out


def test_names_of_the_user_are_no_markup(made, capsys, monkeypatch):
    told = deepcopy(made.summary)
    told["work"]["inference"][0]["name"] = "[red]x"
    assert "[red]x" in printed(told, capsys, monkeypatch)


# The words


PARITY = {"low": 100.0, "high": 400.0, "unit": "USD/kg", "nominal_value": 200.0, "nominal": 2.0}


def test_parity_is_said_with_the_range_of_the_assumption():
    met = PARITY | {"name": "launch.price", "value": 50.0, "inside": False, "closest": 1.0, "closest_value": 50.0}
    never = PARITY | {"name": "cost.stranded", "value": None, "inside": False, "closest": 1.75, "closest_value": 0.0}
    further = never | {"name": "faults.gpu", "closest": 1.9}
    first, second = words.parity({"parity": [met, further, never]})
    assert (
        first
        == "Alone, launch.price would have to be 50.0 USD/kg (outside its range: 100 to 400 USD/kg) for orbit and ground to cost alike"
    )
    assert (
        second
        == "None of faults.gpu, cost.stranded alone reaches parity; nearest: cost.stranded at 0 USD/kg leaves 1.75 x"
    )
    assert words.parity({"parity": [met | {"value": 150.0, "inside": True}]})[0].count("(its range") == 1


@pytest.mark.parametrize(
    ("low", "high", "unit", "said"),
    [(1e6, 8e6, "USD", "1.00 to 8.00 million USD"), (3e5, 5e6, "USD", "300,000 USD to 5.00 million USD"), (0.1, 0.2, "1", "0.100 to 0.200"),
     (0.05 / 3.6e6, 0.09 / 3.6e6, "USD/J", "0.0500 to 0.0900 USD/kWh"), (4e3, 2e5, "kg", "4,000 kg to 200 t")],
)  # fmt: skip
def test_a_range_names_its_unit_once_where_both_ends_share_it(low, high, unit, said):
    assert words.span(low, high, unit) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(348.6e9, "349 G"), (1.5e13, "15.0 T"), (10.6e6, "10.6 M"), (3423.9, "3,424"), (0.0, "0"), (None, "–")],
)
def test_counts_are_said_short(count, said):
    assert words.many(count) == said


def test_smaller_terms_are_drawn_as_one_and_nothing_is_lost():
    side = {"usd_per_gpu_hour": {"nominal": 10.0, "low": 8.0, "high": 12.0}}
    shares = {"accelerators": 0.98, "water": 0.004, "battery": 0.016}
    side["terms"] = [{"asset": k, "usd_year": v, "share": v} for k, v in shares.items()]
    picture = money_figures.terms({"orbit": side, "ground": None, "ground_is": "x"}).picture
    assert "smaller terms" in picture
    assert ">battery<" in picture
    assert ">water<" not in picture


def test_hours_of_the_day_are_drawn_where_they_were_served(made):
    row = deepcopy(made.summary["work"]["inference"][0])
    served = [h for h in row["by_hour"] if h["first_token_s"] is not None]
    best = min(served, key=lambda h: h["first_token_s"])
    assert f"at {best['local_hour']} h local time" in work_figures.first_tokens(row, 0).caption
    assert np.isfinite([h["network_s"] for h in served]).all()


# Requests one by one


def test_page_and_terminal_tell_of_single_requests_what_the_summary_says(made, page, capsys, monkeypatch):
    text = text_of(page)
    printed_text = re.sub(r"\s+", " ", printed(made.summary, capsys, monkeypatch, 200))
    for row in made.summary["work"]["inference"]:
        told = row["followed"]
        assert told["served"] > 0
        assert (
            f"{row['name']}, {words.many(told['served'])} requests one by one: first token {words.ms(told['first_token_p50_s'])}"
            in printed_text
        )
        for group in told["groups"]:
            assert f"{group['host']} {words.many(group['served'])} {words.ms(group['first_token_p50_s'])}" in text
        assert f"within {words.ms(told['first_token_p95_s'])}" in text


def test_page_without_single_requests_says_nothing_of_them(made):
    told = deepcopy(made.summary)
    for row in told["work"]["inference"]:
        del row["followed"]
    assert "one by one" not in text_of(report.render(replace(made, summary=told)))
