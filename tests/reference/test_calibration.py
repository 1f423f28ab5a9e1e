"""Calibration from a real server's log: what it finds, what it foretells of another log, what it says of bad ones."""

import json
import shutil
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from aether.base.errors import InputError
from aether.engine.assemble import assemble
from aether.results import terminal
from aether.scenario import catalog as parts
from aether.scenario.load import load
from aether.study import calibration as study
from aether.workloads import calibration, inference

CATALOG = parts.packaged()
GPU, SET_UP = CATALOG.accelerator("rtx-pro-6000"), inference.efficiency(CATALOG)
FOLDER = resources.files("aether.study") / "data"
LLAMA, QWEN = (FOLDER / f"vllm-{name}.csv" for name in ("llama-3.1-8b", "qwen3-30b-a3b"))


def read(path):
    meta = path.with_name(path.name.replace(".csv", ".meta.json"))
    return calibration.read_log(path.read_text(), path.name), calibration.read_meta(meta.read_text(), meta.name)[1]


@pytest.fixture(scope="module")
def fitted():
    return study.calibrate(CATALOG, LLAMA, "rtx-pro-6000", held_out=[QWEN])


def test_the_log_says_what_its_authors_measured():
    log, deployment = read(LLAMA)
    means = calibration.times(log, log.first_s, log.last_s)
    assert (len(log.time_s), deployment.max_batch, deployment.chunk_tokens) == (300, 128, 2048)
    assert means.per_token == pytest.approx(0.03246, abs=1e-5)  # computed by hand from the published log
    assert means.whole == pytest.approx(28.2007, abs=1e-3)


def test_the_catalogues_own_efficiencies_foretell_vllm_within_five_per_cent(fitted):
    before = fitted["logs"][0]["error_before"]
    assert max(abs(v) for v in before.values()) < 0.05


def test_a_fit_replays_its_log_and_foretells_another_within_twenty_per_cent(fitted):
    own, other = fitted["logs"]
    assert max(abs(v) for v in own["error_after"].values()) < 0.01
    assert (own["role"], other["role"], other["model"]) == ("fitted", "held out", "qwen3-30b-a3b")
    assert abs(other["error_after"]["per_token"]) < 0.20
    assert abs(other["error_after"]["whole"]) < 0.20


def test_a_fit_finds_the_efficiencies_that_made_a_log():
    log, deployment = read(LLAMA)
    model, truth = CATALOG.model("llama-3.1-8b"), replace(SET_UP, compute=0.4, bandwidth=0.6, overhead_s=4e-3)
    first, last = calibration.replay(log, model, GPU, deployment, truth)
    found = calibration.fit(replace(log, first_s=first, last_s=last), model, GPU, deployment, SET_UP).efficiency
    assert found.compute == pytest.approx(0.4, rel=0.03)
    assert found.bandwidth == pytest.approx(0.6, rel=0.02)
    assert found.overhead_s == pytest.approx(4e-3, abs=4e-4)


def test_shipped_calibrations_are_what_the_shipped_logs_give(fitted):
    for model, outcome in (
        ("llama-3.1-8b", fitted),
        ("qwen3-30b-a3b", study.calibrate(CATALOG, QWEN, "rtx-pro-6000", join=True, held_out=[LLAMA])),
    ):
        part = CATALOG.get("calibrations", f"{model}-rtx-pro-6000-bf16")
        for name in study.FITTED:
            assert float(getattr(part, name)) == pytest.approx(outcome["fitted"][name]["fitted"], rel=2e-3)
        held = outcome["logs"][1]["error_after"]
        assert float(part.held_out_error) == pytest.approx(max(abs(held["per_token"]), abs(held["whole"])), rel=0.02)


def test_a_service_takes_the_calibration_of_its_model_and_accelerator():
    found = inference.calibrated(CATALOG, "llama-3.1-8b", "rtx-pro-6000", "bf16")
    assert (found.bandwidth, found.chunk_tokens) == (0.7417, SET_UP.chunk_tokens)
    for other in (
        ("llama-3.1-8b", "rtx-pro-6000", "fp8"),
        ("llama-3.1-8b", "h100-sxm", "bf16"),
        ("gpt-2", "rtx-pro-6000", "bf16"),
    ):
        assert inference.calibrated(CATALOG, *other) == SET_UP


def test_a_written_fit_is_a_part_of_the_catalog_that_a_run_takes(fitted, tmp_path):
    text = study.part(fitted | {"model": "llama-3.1-8b"}, CATALOG.accelerator("h100-sxm"))
    (tmp_path / "fit.yaml").write_text(text)
    loaded = parts.load(tmp_path)
    part = loaded.get("calibrations", "llama-3.1-8b-h100-sxm-bf16")
    assert float(part.bandwidth_efficiency) == pytest.approx(
        fitted["fitted"]["bandwidth_efficiency"]["fitted"], rel=1e-3
    )
    assert inference.calibrated(loaded, "llama-3.1-8b", "h100-sxm", "bf16").overhead_s == pytest.approx(
        2.44e-3, rel=0.01
    )


def test_the_terminal_shows_both_logs(fitted, capsys):
    terminal.calibration(fitted)
    told = capsys.readouterr().out
    for word in ("held out", "fitted", "+17.5%", "0.7417", "end to end"):
        assert word in told


ROW = {"queued_ts": 1.0, "first_token_ts": 1.5, "last_token_ts": 3.0, "input_toks": 10, "output_toks": 5}


def test_json_lines_and_csv_say_the_same():
    rows = [ROW, ROW | {"queued_ts": 0.5}]
    lines = calibration.read_log("\n".join(json.dumps(r) for r in rows), "a.jsonl")
    table = calibration.read_log("\n".join([",".join(ROW), *(",".join(map(str, r.values())) for r in rows)]), "a.csv")
    for name in ("time_s", "first_s", "last_s", "input_tokens", "output_tokens"):
        assert (getattr(lines, name) == getattr(table, name)).all()
    assert lines.time_s.tolist() == [0.0, 0.5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the log holds no requests"),
        ("{nonsense", "not a JSON line"),
        ("time\n1\n", "there is no column of arrival"),
        (json.dumps({k: v for k, v in ROW.items() if k != "first_token_ts"}), "there is no column of first token; the columns are queued_ts, last_token_ts"),
        (json.dumps(ROW | {"first_token_ts": 0.5}), "times must rise: arrival 1.000, first token 0.500"),
        (json.dumps(ROW | {"output_toks": 0}), "at least one token in and out, got 10 and 0"),
        (json.dumps(ROW | {"input_toks": None}), "input_toks 'None' is not a number"),
        (json.dumps(ROW | {"queued_ts": float("nan")}), "queued_ts must be finite"),
        ("\n".join([json.dumps(ROW | {"output_toks": 0})] * 12), "and 2 more"),
    ],
)  # fmt: skip
def test_a_bad_log_is_told_by_name(text, said):
    with pytest.raises(InputError) as told:
        calibration.read_log(text, "log.jsonl")
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "a file of settings is a mapping"),
        ('{"max_num_seqs": 0, "dtype": "int3"}', "max_num_seqs: must be a whole number above 0, got '0'"),
        ('{"dtype": "int3"}', "'int3' is not known"),
    ],
)
def test_bad_settings_are_told(text, said):
    with pytest.raises(InputError) as told:
        calibration.read_meta(text, "meta.json")
    assert said in str(told.value)


def test_longer_than_context_or_memory_is_quantified():
    log, deployment = read(LLAMA)
    long = replace(log, input_tokens=np.where(np.arange(300) < 3, 200_000.0, log.input_tokens))
    with pytest.raises(InputError) as told:
        calibration.replay(long, CATALOG.model("llama-3.1-8b"), GPU, deployment, SET_UP)
    assert "3 of 300 requests are longer than the context of llama-3.1-8b: up to 200," in str(told.value)
    assert "of 131,072 tokens" in str(told.value)


def test_a_log_needs_a_model_that_is_known(tmp_path):
    alone = tmp_path / "log.csv"
    shutil.copy(LLAMA, alone)
    with pytest.raises(InputError, match="does not say which model"):
        study.calibrate(CATALOG, alone, "rtx-pro-6000")
    (tmp_path / "log.meta.json").write_text('{"model": "org/Lama-3.1-8B"}')
    with pytest.raises(InputError, match=r"unknown model 'lama-3.1-8b'; did you mean 'llama-3.1-8b'"):
        study.calibrate(CATALOG, alone, "rtx-pro-6000")
    with pytest.raises(InputError, match="unknown precision 'fp5'"):
        study.calibrate(CATALOG, alone, "rtx-pro-6000", model="llama-3.1-8b", precision="fp5")
    with pytest.raises(InputError, match="did you mean 'rtx-pro-6000'"):
        study.calibrate(CATALOG, alone, "rtx-pro-600", model="llama-3.1-8b")
    with pytest.raises(InputError, match="cannot read"):
        study.calibrate(CATALOG, tmp_path / "none.csv", "rtx-pro-6000", model="llama-3.1-8b")


def test_a_service_on_a_calibrated_accelerator_is_planned_by_the_fit():
    changes = {f"sites.{i}.accelerator": "rtx-pro-6000" for i in range(5)}
    changes |= {"workloads.0.inference.model": "llama-3.1-8b", "workloads.0.inference.precision": "bf16"}
    service = assemble(load("ground-only", changes)).work.services[0]
    mean = service.input_tokens, service.output_tokens
    fitted = inference.calibrated(CATALOG, "llama-3.1-8b", "rtx-pro-6000", "bf16")
    wanted, usual = (inference.curve(service.model, GPU, 1, "bf16", *mean, e) for e in (fitted, SET_UP))
    assert service.serving["rtx-pro-6000"].request_s == pytest.approx(wanted.request_s)
    assert service.serving["rtx-pro-6000"].request_s != pytest.approx(usual.request_s, rel=1e-3)
