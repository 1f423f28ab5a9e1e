"""The report page: what it says is what the summary says, whatever the scenario holds; nothing is fetched, all is escaped."""

import re
from copy import deepcopy
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from aether.results import figures, report, results, svg, worldmap
from aether.study import runs

VOID = {"meta", "br", "link", "img", "input", "hr"}
EVIL = "<script>alert(1)</script> & $x_1$ \"'"


class Reader(HTMLParser):
    """Collects tags, ids, references and text, and fails where a tag is not closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.used, self.words = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        told = dict(attributes)
        self.tags.append((tag, told))
        self.ids += [told["id"]] if "id" in told else []
        for key, value in told.items():
            self.used += re.findall(r"url\(([^)]*)\)", value or "")
            self.used += [value] if key in ("href", "xlink:href", "src") else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def words_of(page):
    return re.sub(r"\s+", " ", " ".join(read(page).words))


@pytest.fixture(scope="module")
def made():
    return runs.run("ai1-ring", {"duration": "2 h", "ground.coverage_cells": 200, "ground.cities.largest": 30})


@pytest.fixture(scope="module")
def page(made):
    return report.render(made)


def changed(made, **summary):
    return replace(made, summary=deepcopy(made.summary) | summary)


def test_the_headline_says_what_the_summary_says(made, page):
    told, words = made.summary, words_of(page)
    end = told["waterfall"]["deliverable"]
    assert f"{100 * end['share']:.1f} % of the compute installed: {end['gpu_hours']:,.0f} of" in words.replace(
        "  ", " "
    )
    assert f"{100 * told['binding']['share']:.1f} % of what is installed" in words
    assert f"{1e3 * told['cities']['rtt_mean_s']:.1f} ms from the nearest ship" in words


def test_every_shortfall_probe_and_source_is_listed(made, page):
    words = words_of(page)
    assert made.summary["shortfalls"]
    for row in made.summary["shortfalls"]:
        assert row["part"] in words
        assert row["when"] in words
    for row in made.summary["probes"]:
        assert f"{row['from']} – {row['to']}" in words
    for row in made.manifest["assumptions"]:
        assert row["name"] in words


def test_the_page_fetches_nothing_and_runs_nothing(page):
    reader = read(page)
    assert all(used.startswith(("#", "data:image/png;base64,")) for used in reader.used)
    assert not {"script", "link", "iframe", "object", "embed", "form"} & {tag for tag, _ in reader.tags}
    assert not [key for _, told in reader.tags for key in told if key.startswith("on")]
    assert "@import" not in page


def test_ids_are_unique_and_every_reference_is_there(page):
    reader = read(page)
    assert len(reader.ids) == len(set(reader.ids))
    assert {used[1:] for used in reader.used if used.startswith("#")} <= set(reader.ids)


def test_every_figure_has_a_caption_with_a_number_and_words_for_those_who_cannot_see(page):
    pictures = [told for tag, told in read(page).tags if tag == "svg"]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert len(pictures) == len(captions) > 12
    assert all(told["role"] == "img" and len(told["aria-label"]) > 30 for told in pictures)
    assert all(re.search(r"\d", caption) and caption.endswith(".") for caption in captions)


def test_words_in_figures_stay_text(page):
    words = re.findall(r"<text[^>]*>([^<]*)</text>", page)
    for axis in ("power a ship [kW]", "temperature [°C]", "round trip [ms]", "latitude [deg]", "local solar time [h]"):
        assert axis in words


def test_the_same_results_give_the_same_page(made, page):
    assert report.render(made) == page


def test_processes_side_by_side_make_the_same_page(made, tmp_path):
    stored = results.load(made.save(tmp_path / "saved"))
    assert report.render(stored, threads=2) == report.render(stored)


def test_the_page_of_a_small_run_is_small(page):
    assert len(page.encode()) < 1.5e6


def test_what_the_user_wrote_is_escaped_everywhere(made):
    told = deepcopy(made.summary)
    told["title"] = told["scenario"] = told["groups"][0]["group"] = told["probes"][0]["from"] = EVIL
    told["shortfalls"][0] |= {"group": EVIL, "when": EVIL}
    told["binding"]["words"] = EVIL
    told["skipped_records"] = [EVIL]
    manifest = deepcopy(made.manifest)
    manifest["scenario"]["title"] = manifest["assumptions"][0]["source"] = EVIL
    page = report.render(replace(made, summary=told, manifest=manifest))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert EVIL in words_of(page)


def test_a_scenario_without_probes_cities_and_cells_has_a_page(made):
    tables = {k: v for k, v in made.tables.items() if k not in ("probes", "cities", "coverage", "coverage_hours")}
    bare = {"covered_share": None, "rtt_mean_s": None, "best": None, "worst": None}
    empty = replace(changed(made, probes=[], cities=bare, coverage={}, ablation=[]), tables=tables)
    words = words_of(report.render(empty))
    assert "lists no probes" in words
    assert "neither coverage cells nor cities" in words
    assert "nan" not in words.lower().replace("nanosecond", "").split()


def test_one_tick_is_enough_for_a_page():
    one = runs.run("ai1-ring", {"duration": "60 s", "outputs.ablation": False, "ground.coverage_cells": 50})
    assert "1 min from" in words_of(report.render(one))


def test_a_fleet_that_nothing_binds_says_so(made):
    told = deepcopy(made.summary)
    words = "nothing: all that is installed is deliverable"
    told["binding"] = {"constraint": "none", "lost_gpu_hours": 0.0, "share": 0.0, "words": words}
    told["shortfalls"] = []
    words = words_of(report.render(replace(made, summary=told)))
    assert "Nothing binds" in words
    assert "suffice for full clocks" in words


def test_binned_values_keep_their_mean_and_their_ends():
    values = np.arange(1440.0)[:, None] * np.ones(3)
    means = figures.binned(values, 288)
    assert means.shape == (288, 3)
    np.testing.assert_allclose(means[:, 0], np.arange(288) * 5.0 + 2.0)
    np.testing.assert_allclose(figures.binned(np.arange(7.0), 3), [1.0, 4.0, 6.0])


def test_a_city_is_as_far_as_the_table_says(made):
    table = made.tables["cities"]
    name = table.column("city")[0].as_py()
    kept = [
        r for c, r in zip(table.column("city").to_pylist(), table.column("rtt_s").to_pylist(), strict=True) if c == name
    ]
    seen = [r for r in kept if np.isfinite(r)]
    assert worldmap.cities(figures.day(made))[name] == pytest.approx(np.mean(seen), abs=1e-9)


@pytest.mark.parametrize(
    ("cape", "longitude", "latitude"),
    [("Horn", -67.27, -55.98), ("Agulhas", 20.00, -34.83), ("Comorin", 77.55, 8.08), ("Lindesnes", 7.05, 57.98)],
)  # southern and northern ends of land, to a hundredth of a degree, as in any atlas
def test_coasts_pass_by_known_capes(cape, longitude, latitude):
    points = np.concatenate([_dense(line) for line in worldmap.coasts()])
    apart = np.hypot((points[:, 0] - longitude) * np.cos(np.radians(latitude)), points[:, 1] - latitude)
    assert apart.min() < 0.7, cape  # degrees: thinned by 0.25, and 1:110m leaves out Cape Horn's islet


def _dense(line):
    where = np.linspace(0.0, len(line) - 1.0, 20 * len(line))
    return np.column_stack([np.interp(where, np.arange(len(line)), line[:, k]) for k in (0, 1)])


def test_coasts_do_not_jump_across_the_map():
    for line in worldmap.coasts():
        assert np.abs(line[:, 0]).max() <= 180.0
        assert np.abs(np.diff(line[:, 0])).max() < 90.0


def test_a_logarithmic_axis_has_plain_numbers():
    def paint(figure):
        axes = figure.subplots()
        axes.plot([0.02, 3.0], [0.0, 1.0])
        svg.logarithmic(axes)

    drawn = svg.draw("log", "a line", (4.0, 2.0), paint)
    assert "mathdefault" not in drawn
    assert all(f">{number}<" in drawn for number in ("0.02", "0.1", "1", "2"))
