"""The command as a process: exit codes, messages, what is written and what is not."""

import json
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

SMALL = (
    "--set",
    "duration=20 min",
    "--set",
    "ships.0.count=3",
    "--set",
    "ground.cities.largest=10",
    "--set",
    "ground.coverage_cells=20",
)
TLE = (
    "AETHER 1\n"
    "1 00001U 00000A   26172.00000000  .00000000  00000+0  00000+0 0  9993\n"
    "2 00001  53.0000 180.0000 0000000   0.0000 200.0000 15.05446502    04\n"
)


def scenario(folder: Path, **changes) -> Path:
    data = {
        "name": "mine", "start": "2026-06-21T00:00:00Z", "duration": "10 min",
        "relays": {"shells": [{"shell": {"planes": 6, "per_plane": 8, "altitude": "550 km", "inclination": "53 deg"}}]},
        "ships": [{"name": "a", "ship": "ai1", "orbit": {"ring": {"altitude": "600 km", "node_local_time": "18 h"}}}],
    }  # fmt: skip
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**data, **changes}, sort_keys=False))
    return path


def nothing_written(folder: Path, *kept: Path) -> bool:
    return {p.name for p in folder.iterdir()} == {p.name for p in kept}


def test_run_writes_summary_tables_report_and_manifest(aether, tmp_path):
    code, out, err = aether("run", "ai1-ring", "--out", "r", *SMALL)
    assert code == 0, err
    assert "Deliverable compute" in out
    assert "Binding:" in out
    folder = tmp_path / "r"
    summary, manifest = (json.loads((folder / n).read_text()) for n in ("summary.json", "manifest.json"))
    assert summary["waterfall"]["deliverable"]["gpu_hours"] > 0
    couplings = {
        "eclipse",
        "heat",
        "attitude",
        "acquisition",
        "anomaly",
        "access",
        "flows",
        "faults",
        "manoeuvres",
        "placement",
    }
    assert {row["off"] for row in summary["ablation"]} == couplings
    assert manifest["scenario"]["ships"][0]["count"] == 3
    assert any(a["name"] == "ai1.radiator_area" for a in manifest["assumptions"])
    assert pq.read_table(folder / "energy.parquet").num_rows == 20 * 3
    page = (folder / "report.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert 'src="http' not in page
    assert nothing_written(tmp_path, folder)


def test_json_prints_the_summary_alone_and_a_second_run_replaces_the_first(aether, tmp_path):
    for _ in range(2):
        code, out, err = aether(
            "run",
            "ai1-ring",
            "--out",
            "r",
            "--json",
            "--no-report",
            "--seed",
            "7",
            *SMALL,
            "--set",
            "outputs.ablation=false",
        )
        assert code == 0
        assert err == ""
        assert json.loads(out) == json.loads((tmp_path / "r" / "summary.json").read_text())
        assert json.loads(out)["seed"] == 7
    assert not (tmp_path / "r" / "report.html").exists()
    assert nothing_written(tmp_path, tmp_path / "r")


def test_the_manifest_is_enough_to_run_again(aether, tmp_path):
    assert aether("run", "ai1-ring", "--out", "r", "--no-report", *SMALL)[0] == 0
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(json.loads((tmp_path / "r" / "manifest.json").read_text())["scenario"]))
    assert aether("run", again, "--out", "s", "--no-report")[0] == 0
    assert (tmp_path / "r" / "summary.json").read_text() == (tmp_path / "s" / "summary.json").read_text()
    code, out, _ = aether("compare", "r", "s")
    assert (code, out.strip()) == (0, "No difference.")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bogus": 1}, "unknown key 'bogus'"),
        ({"duration": 600}, "has no unit"),
        ({"duration": "10 kg"}, "'kg' is not a unit of a time"),
        ({"duration": "-10 min"}, "must be above 0"),
        ({"duration": "nan s"}, "expected a time"),
        ({"relays": {"shells": [{"shell": {"planes": 0, "per_plane": 8, "altitude": "550 km", "inclination": "53 deg"}}]}}, "planes"),
        ({"relays": {"shells": [{"shell": {"planes": 6, "per_plane": 8, "altitude": "-100 km", "inclination": "53 deg"}}]}}, "at least 150 km"),
        ({"relays": {"shells": [{"mesh": "starlnk-s1"}]}}, "did you mean 'starlink-s1'"),
        ({"relays": {"topology": "plus-gird", "shells": [{"mesh": "starlink-s1"}]}}, "did you mean 'plus-grid'"),
        ({"ships": [{"name": "a", "ship": "ai1", "attitude": "upside-down", "orbit": {"ring": {"altitude": "600 km", "node_local_time": "18 h"}}}]},
         "upside-down"),
        ({"ground": {"cut_cables": ["No Such Cable"]}, "probes": [{"from": "New York", "to": "Nairobi"}]}, "No Such Cable"),
    ],
)  # fmt: skip
def test_bad_scenarios_exit_with_2_and_write_nothing(aether, tmp_path, changes, words):
    path = scenario(tmp_path, **changes)
    code, out, err = aether("run", path, "--out", "r")
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert nothing_written(tmp_path, path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no element set"),
        (TLE.replace("0  9993", "0  9994"), "checksum"),
        ('[{"OBJECT_NAME": "A", "EPOCH": "2026-06-21T00:00:00"}]', "MEAN_MOTION"),
        ("what is this?\n", "no line 1"),
    ],
)
def test_bad_element_files_exit_with_2_and_name_the_record(aether, tmp_path, content, words):
    elements = tmp_path / "mesh.txt"
    elements.write_text(content)
    path = scenario(tmp_path, relays={"shells": [{"elements": "mesh.txt"}]})
    code, out, err = aether("run", path, "--out", "r")
    assert (code, out) == (2, "")
    assert words.lower() in err.lower()
    assert "mesh.txt" in err
    assert nothing_written(tmp_path, path, elements)


def test_bad_records_are_skipped_only_when_told_so(aether, tmp_path):
    from aether.scenario.load import examples

    good = examples()["real-elements"].with_suffix(".tle").read_text()
    elements = tmp_path / "mesh.txt"
    elements.write_text(good + TLE.replace("0  9993", "0  9994"))
    path = scenario(tmp_path, relays={"shells": [{"elements": "mesh.txt", "skip_bad": True}]})
    code, out, err = aether("run", path, "--out", "r", "--no-report", "--json", "--set", "outputs.ablation=false")
    assert code == 0, err
    (told,) = json.loads(out)["skipped_records"]
    assert "mesh.txt" in told
    assert "checksum" in told


def test_two_ships_of_one_name_exit_with_2(aether, tmp_path):
    ring = {"name": "a", "ship": "ai1", "orbit": {"ring": {"altitude": "600 km", "node_local_time": "18 h"}}}
    path = scenario(tmp_path, ships=[ring, ring])
    code, out, err = aether("run", path, "--out", "r")
    assert (code, out) == (2, "")
    assert "ships[1].name: 'a' is already the name of ships[0]" in err
    assert nothing_written(tmp_path, path)


def test_what_is_not_yaml_exits_with_2_and_names_the_line(aether, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: x\nships: [1, 2\n")
    code, out, err = aether("run", path, "--out", "r")
    assert (code, out) == (2, "")
    assert "mine.yaml:3: not YAML" in err
    assert nothing_written(tmp_path, path)


def test_missing_scenario_names_the_nearest(aether):
    code, _, err = aether("run", "project-ather")
    assert code == 2
    assert "did you mean 'project-aether'" in err


def test_fifty_megabytes_are_refused(aether, tmp_path):
    path = tmp_path / "big.yaml"
    path.write_bytes(b"# padding\n" * 5_000_000)
    assert aether("run", path)[0] == 2


def test_an_output_folder_that_is_not_ours_is_left_alone(aether, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "thesis.txt").write_text("mine")
    code, _, err = aether("run", "ai1-ring", "--out", "r", *SMALL)
    assert code == 2
    assert "not results of Aether" in err
    assert [p.name for p in (tmp_path / "r").iterdir()] == ["thesis.txt"]


def test_a_full_disk_leaves_nothing_behind(aether, tmp_path):
    limit = 20_000  # bytes a file may have: writing a table fails as on a full disk
    day = ("run", "ai1-ring", "--out", "r", "--no-report", *SMALL, "--set", "duration=3 h")
    assert aether(*day, cwd=tmp_path.parent)[0] == 0  # kernels are compiled and kept before files are limited

    def small_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        [sys.executable, "-m", "aether", *day],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=small_disk,
    )
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_interrupting_leaves_nothing_behind_and_exits_with_130(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "aether", "run", "project-aether", "--out", "r"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert list(tmp_path.iterdir()) == []


def test_strict_exits_with_3_when_the_design_is_short(aether, tmp_path):
    code, _, _ = aether("run", "ai1-ring", "--out", "r", "--strict", "--no-report", *SMALL)
    assert code == 3
    assert (tmp_path / "r" / "summary.json").exists()


def test_init_writes_a_scenario_that_runs_and_refuses_to_overwrite(aether, tmp_path):
    code, out, _ = aether("init", "my.yaml")
    assert code == 0
    assert "aether run my.yaml" in out
    assert json.loads((tmp_path / "my.schema.json").read_text())["title"] == "Aether scenario"
    assert (
        aether("run", "my.yaml", "--no-report", "--set", "duration=10 min", "--set", "outputs.ablation=false")[0] == 0
    )
    code, _, err = aether("init", "my.yaml")
    assert code == 2
    assert "already there" in err


def test_explain_says_value_unit_range_and_source(aether):
    code, out, _ = aether("explain", "access.scheduling")
    assert code == 0
    assert "16.0 ms" in out
    assert "Starlink" in out
    code, out, _ = aether("explain", "ai1.radiator_area", "--json")
    (found,) = json.loads(out)["assumptions"]
    assert (found["value"], found["unit"]) == (110, "m^2")
    code, _, err = aether("explain", "ai1.radiator_aera")
    assert code == 2
    assert "did you mean 'radiator_area'" in err


def test_catalog_lists_and_shows_a_ships_budget(aether):
    assert "compute-ship-hull" in aether("catalog", "list", "ships")[1]
    code, out, _ = aether("catalog", "show", "ai1")
    assert code == 0
    for word in ("load and heat", "radiator", "mass: battery", "stowed volume", "flights"):
        assert word in out, word
    assert aether("catalog", "show", "ai2")[0] == 2
    assert aether("catalog", "list", "boats")[0] == 2


def test_validate_reproduces_the_published_cases_and_takes_more(aether, tmp_path):
    code, out, _ = aether("validate", "--json")
    assert code == 0
    told = json.loads(out)
    assert {c["status"] for c in told["cases"]} <= {"pass", "expected-mismatch"}
    more = tmp_path / "more.yaml"
    line = "- {{id: {}, model: orbit.geometry, inputs: {{altitude: 700 km}}, output: period, unit: min, published: {}, tolerance: 0.001, source: own}}\n"
    more.write_text(line.format("mine", 98.77) + line.format("off", 90))
    code, out, _ = aether("validate", "--cases", more, "--json")
    status = {c["id"]: c["status"] for c in json.loads(out)["cases"]}
    assert (code, status["mine"], status["off"]) == (1, "pass", "miss")
    more.write_text("- {id: x, model: orbit.geometri, inputs: {}, output: period, published: 1, tolerance: 1}\n")
    code, _, err = aether("validate", "--cases", more)
    assert code == 2
    assert "did you mean 'orbit.geometry'" in err


def test_what_people_read_says_it_too(aether):
    code, out, _ = aether("validate")
    assert code == 0
    assert "starcloud-array" in out
    assert "expected-mismatch" in out
    assert "reproduced, 0 missed" in out
    assert "orbit.geometry" in aether("validate", "--list")[1]
    assert "53 deg" in aether("catalog", "show", "starlink-s1")[1]


def test_validate_lists_models_with_units(aether):
    code, out, _ = aether("validate", "--list", "--json")
    assert code == 0
    models = {m["name"]: m for m in json.loads(out)["models"]}
    assert models["orbit.geometry"]["outputs"]["period"] == "s"
    needed = {"orbit.geometry", "orbit.dawn_dusk_year", "power.array", "thermal.radiator", "thermal.radiator_temperature", "link.friis",
              "link.confocal", "radiation.cross_section", "launch.learning", "launch.reuse", "network.probe"}  # fmt: skip
    assert needed <= set(models)


def test_schema_is_json(aether):
    assert json.loads(aether("schema")[1])["$schema"].startswith("https://json-schema.org/")


def test_a_catalog_folder_overrides_parts(aether, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "mine.yaml").write_text(
        "assumptions:\n  access.scheduling: {unit: s, value: 1 ms, source: test}\n"
    )
    assert "1.00 ms" in aether("explain", "access.scheduling", "--catalog", "parts")[1]
    assert aether("explain", "access.scheduling", "--catalog", "nowhere")[0] == 2


def test_bad_set_arguments_are_all_named(aether):
    code, _, err = aether("run", "ai1-ring", "--set", "duration", "--set", "=3")
    assert code == 2
    assert "'duration' is not path=value" in err
    assert "'=3' is not path=value" in err


def test_help_is_quick_to_import():
    code = "import sys, aether.cli; print(sorted(m for m in ('numpy', 'numba', 'pydantic', 'rich', 'matplotlib') if m in sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


CHAT = {"name": "chat", "inference": {"model": "llama-3.1-8b", "requests": {"rate": "5 1/s"}}}
QUICK = ("--no-report", "--set", "outputs.ablation=false")


def working(folder: Path, **changes) -> Path:
    """A small scenario with a ship, a site and a workload."""
    sites = [{"name": "dublin", "at": "Dublin", "gpus": 72}]
    ground = {"cities": {"largest": 5}, "coverage_cells": 0}
    return scenario(folder, **{"sites": sites, "workloads": [CHAT], "ground": ground, **changes})


def chat(**changes) -> list[dict]:
    return [{"name": "chat", "inference": {**CHAT["inference"], **changes}}]


def test_everything_wrong_with_work_is_told_at_once_with_the_nearest_name_and_line(aether, tmp_path):
    path = working(
        tmp_path,
        sites=[{"name": "dublin", "at": "Dublin", "gpus": 72, "site": "liquid-coold"},
               {"name": "dublin", "at": {"name": "Here", "latitude": "0 deg", "longitude": "0 deg"}, "gpus": 8},
               {"name": "south", "at": {"name": "Pole", "latitude": "-90 deg", "longitude": "0 deg", "country": "AQ"}, "gpus": 8}],
        workloads=[
            {"name": "one", "where": ["dubln"], "inference": {"model": "lama-3.1-8b", "requests": {"rate": "5 1/s", "places": ["Istambul"]}}},
            {"name": "one", "inference": {"model": "llama-3.1-8b", "requests": {"rate": "5 1/s", "lengths": "azure-cod"}}},
        ],
        assumptions={"demand.swin": 0.4, "launch.vehicle_price": 5},
    )  # fmt: skip
    code, out, err = aether("run", path, "--out", "r")
    assert (code, out) == (2, "")
    for words in (
        "sites[0].site: unknown class of site 'liquid-coold'; did you mean 'liquid-cooled'",
        "sites[1].name: 'dublin' is already the name",
        "sites[1].at.country: is missing",
        "no grid of 'AQ'",
        "workloads[0].where[0]: unknown ship group or site 'dubln'; did you mean 'dublin'",
        "workloads[0].inference.model: unknown model 'lama-3.1-8b'; did you mean 'llama-3.1-8b'",
        "workloads[0].inference.requests.places[0]: unknown place 'Istambul'; did you mean 'Istanbul'",
        "workloads[1].inference.requests.lengths: unknown lengths 'azure-cod'; did you mean 'azure-code'",
        "workloads[1].name: 'one' is already the name of workloads[0]",
        "assumptions.demand.swin: unknown assumption 'demand.swin'; did you mean 'demand.swing'",
    ):
        assert words in err, words
    lines = path.read_text().splitlines()
    at = next(i + 1 for i, line in enumerate(lines) if "dubln" in line)
    assert f"mine.yaml:{at}: workloads[0].where[0]" in err
    assert nothing_written(tmp_path, path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workloads": [{**CHAT, "training": {"model": "llama-3.1-8b", "tokens": 1e9}}]},
         "workloads[0]: give exactly one of inference, training, tuning, stream; got inference and training"),
        ({"placement": {"policy": "valu"}}, "placement.policy: unknown placement policy 'valu'; did you mean 'value'"),
    ],
)  # fmt: skip
def test_bad_work_exits_with_2_and_writes_nothing(aether, tmp_path, changes, words):
    path = working(tmp_path, **changes)
    code, out, err = aether("run", path, "--out", "r")
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert nothing_written(tmp_path, path)


def test_a_trace_with_times_before_its_start_is_refused_by_line(aether, tmp_path):
    trace = tmp_path / "t.csv"
    trace.write_text("time_s,input_tokens,output_tokens\n0,100,10\n-5,100,10\n7,100,ten\n8,100,10\n")
    path = working(tmp_path, workloads=chat(requests={"trace": "t.csv"}))
    code, out, err = aether("run", path, "--out", "r")
    assert (code, out) == (2, "")
    assert "t.csv:3: workloads[0].inference: time must be 0 or later, got -5" in err
    assert "t.csv:4: workloads[0].inference: output tokens 'ten' is not a number" in err
    assert nothing_written(tmp_path, path, trace)


def test_broken_model_configurations_are_refused_together(aether, tmp_path):
    (tmp_path / "cut.json").write_text('{"model_type": "llama",')
    (tmp_path / "poor.json").write_text('{"model_type": "llama"}')
    asked = [{"name": n, "inference": {**CHAT["inference"], "model": f"{n}.json"}} for n in ("cut", "poor")]
    path = working(tmp_path, workloads=asked)
    code, out, err = aether("run", path, "--out", "r")
    assert (code, out) == (2, "")
    assert "cut.json" in err
    assert "poor.json" in err
    assert "hidden_size" in err
    assert "Traceback" not in err
    assert nothing_written(tmp_path, path, tmp_path / "cut.json", tmp_path / "poor.json")


def test_a_price_without_a_source_is_told_with_what_the_catalog_says(aether, tmp_path):
    path = working(
        tmp_path, assumptions={"cost.hull": "10e6 USD", "cost.gateway": {"value": "2e6 USD", "low": "1e6 kg"}}
    )
    code, out, err = aether("run", path, "--out", "r")
    assert (code, out) == (2, "")
    assert "assumptions.cost.hull: a price has no source; the catalog says" in err
    assert "Give {value: ..., source: ...}" in err
    assert "assumptions.cost.gateway.low" in err
    assert nothing_written(tmp_path, path)
    told = working(tmp_path, assumptions={"cost.hull": {"value": "10e6 USD", "source": "a quotation"}})
    assert aether("run", told, "--out", "r", "--json", *QUICK)[0] == 0
    known = {a["name"]: a for a in json.loads((tmp_path / "r" / "manifest.json").read_text())["assumptions"]}
    assert (known["cost.hull"]["value"], known["cost.hull"]["source"]) == (10e6, "a quotation")


def test_a_price_without_a_source_in_a_catalog_folder_is_refused(aether, tmp_path):
    (tmp_path / "parts").mkdir()
    mine = "launchers:\n  mine: {title: Mine, payload: 5 t, bay_diameter: 4 m, bay_volume: 9 m3, price: 9e6 USD}\n"
    general = "assumptions:\n  cost.hull: {unit: USD, value: 10e6 USD}\n"
    (tmp_path / "parts" / "mine.yaml").write_text(mine + general)
    path = working(tmp_path)
    code, out, err = aether("run", path, "--out", "r", "--catalog", "parts")
    assert (code, out) == (2, "")
    assert "mine.yaml:2: launchers.mine.source: is missing" in err
    assert "mine.yaml:4: assumptions.cost.hull.source: is missing" in err
    assert nothing_written(tmp_path, path, tmp_path / "parts")


def test_what_fits_nowhere_runs_says_how_many_gigabytes_are_short_and_is_strictly_infeasible(aether, tmp_path):
    orbit = {"ring": {"altitude": "400 km", "node_local_time": "18 h"}}
    big = [
        {"name": "big", "inference": {"model": "llama-3.1-405b", "precision": "bf16", "requests": {"rate": "1 1/s"}}},
        {"name": "law", "jurisdictions": ["IE", "FR"], "training": {"model": "llama-3.1-8b", "tokens": 1e9}},
    ]
    path = working(
        tmp_path, sites=[], ships=[{"name": "one", "ship": "starcloud-1", "count": 2, "orbit": orbit}], workloads=big
    )
    code, out, err = aether("run", path, "--out", "r", "--json", *QUICK)
    assert code == 0, err
    told = json.loads(out)
    (fits, law) = told["work"]["not_run"]
    assert fits.startswith("big: ")
    # 405.9e9 parameters of two bytes are 812 GB, nine tenths of an H100's memory 72 GB
    assert 735 < float(re.search(r"short by ([\d.]+) GB", fits)[1]) < 745
    assert law == "law: jurisdictions IE, FR leave none of 2 hosts; theirs are US"
    assert {"big", "law"} <= {s["words"].split(":")[0] for s in told["shortfalls"]}
    assert aether("run", path, "--out", "r", "--json", "--strict", *QUICK)[0] == 3


def test_a_scenario_with_sites_and_work_runs_and_writes_their_tables(aether, tmp_path):
    code, _, err = aether("run", working(tmp_path), "--out", "r", "--no-report")
    assert code == 0, err
    told = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert told["work"]["inference"][0]["requests"] > 0
    assert len(told["ablation"]) == 10
    hosts = pq.read_table(tmp_path / "r" / "hosts.parquet")
    assert hosts.num_rows == 10 * 2
    assert sum(hosts["requests"].to_pylist()) == pytest.approx(told["work"]["inference"][0]["served"], rel=1e-5)
    for table in ("requests", "traffic", "lasers"):
        assert (tmp_path / "r" / f"{table}.parquet").exists()


def test_run_tells_what_an_event_moved_in_the_terminal_and_on_the_page(aether, tmp_path):
    site = {"name": "hall", "at": "Frankfurt am Main", "gpus": 72}
    asked = {"model": "llama-3.3-70b", "requests": {"per_person_day": 1, "places": ["DE"]}}
    file = scenario(
        tmp_path, sites=[site], workloads=[{"name": "chat", "inference": asked}], ground={"cities": {"largest": 10}, "coverage_cells": 0},
        outputs={"ablation": False}, events=[{"start": "4 min", "duration": "3 min", "sites": ["hall"]}],
    )  # fmt: skip
    code, out, err = aether("run", file, "--out", "r")
    assert code == 0, err
    assert "What was lost, what moved" in out
    assert "hall lost" in out
    page = (tmp_path / "r" / "report.html").read_text()
    assert '<section id="events">' in page
    assert "hall lost: 3 min from 4 min into the run" in page
    row = json.loads((tmp_path / "r" / "summary.json").read_text())["events"][0]
    hall = next(h for h in row["moved"] if h["host"] == "hall")
    assert hall["with"]["gpu_hours"] == 0.0
    assert hall["without"]["gpu_hours"] > 0.0
    assert len(row["series"]["time_s"]) == 9  # ticks from a minute into the run to the end


def test_an_event_outside_the_run_is_refused_by_its_line(aether, tmp_path):
    file = scenario(tmp_path, events=[{"start": "4 h", "duration": "3 min", "ships": ["a/1"]}])
    code, _, err = aether("run", file)
    assert code == 2
    assert "events[0].start: begins after the run" in " ".join(err.split())
    assert "a has the numbers 0 to 0" in " ".join(err.split())
