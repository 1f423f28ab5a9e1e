"""Modelled times of a tuning against hand calculations, and against the tuner of a run."""

import math

import numpy as np
import pytest

pytest.importorskip("pydantic")

from aether.base.tables import Tuned
from aether.engine import tuners
from aether.engine.assemble import assemble
from aether.fabric import freshness
from aether.fabric.freshness import Place, Trained
from aether.fabric.service import Service
from aether.fabric.tiny import weights
from aether.scenario.catalog import packaged
from aether.scenario.load import load
from aether.workloads import models, tuning

CATALOG = packaged()
H100 = CATALOG.accelerator("h100-sxm")
LLAMA = CATALOG.model("llama-3.1-8b")


def row(latitude_deg=0.0, longitude_deg=0.0, link_bit_s=1e9, altitude_m=500e3):
    return {"latitude_deg": latitude_deg, "longitude_deg": longitude_deg, "link_bit_s": link_bit_s, "altitude_m": altitude_m}  # fmt: skip


def test_aether_tiny_has_the_parameters_that_its_file_holds():
    tensors, _ = weights.read(weights.PACKAGED)
    held = sum(t.size for name, t in tensors.items() if "norm" not in name)
    assert models.parameters(freshness.tiny()).total == held
    rank = 8  # on every projection, as its tuner does: (in + out) numbers a rank
    sides = sum(sum(weights.Shape().size(p)) for p in weights.PROJECTIONS) * weights.Shape().layers
    assert tuning.adapter_parameters(freshness.tiny(), rank) == rank * sides


def test_the_times_of_a_tuning_are_those_of_a_hand_calculation():
    # 41,943,040 parameters of an adapter of rank 16 (PEFT's count); matrices: 2 passes of 2 P_linear a token, 6 P_a for the adapter
    linear = models.parameters(LLAMA).total - 128256 * 4096  # the input's table is looked up
    attention = 4.0 * 32 * 32 * 128 * 1000  # a token: QK' and AV, 32 layers of 32 heads of 128, the masked half counted
    told = freshness.modelled(
        CATALOG, LLAMA, Trained(1e6, 1000.0, 16), Place("a", "h100-sxm", 2), [Place("a", "h100-sxm", 1), Place("b", "h100-sxm", 1)],
        {"a": row(), "b": row(longitude_deg=90.0, link_bit_s=4e8)},
    )  # fmt: skip
    flops = 1e6 * (2.0 * (2.0 * linear + attention) + 6.0 * 41_943_040)
    assert told.trained_s == pytest.approx(flops / (2 * float(H100.bf16) * 0.35))
    quarter_s = math.pi / 2 * (6_371_008.8 + 500e3) / 299_792_458.0
    assert told.round_trip_s == pytest.approx(2 * quarter_s)
    assert told.sent_s == pytest.approx(2 * quarter_s + 8 * 2 * 41_943_040 / 4e8)
    assert told.swap_s == pytest.approx(2 * 41_943_040 / 40e9, abs=0.05)
    assert told.swap_s > 2 * 41_943_040 / 40e9
    assert told.served_s == told.trained_s + told.sent_s + told.swap_s


def sent_s(now, *servers):
    told = freshness.modelled(
        CATALOG, LLAMA, Trained(1e6, 1000.0, 16), Place("a", "h100-sxm", 1), [Place(s, "h100-sxm", 1) for s in servers], now
    )  # fmt: skip
    return told.why or told.sent_s - told.round_trip_s


def test_an_adapter_goes_at_the_slower_ends_rate_and_the_senders_is_shared():
    bits = 8 * 2 * 41_943_040
    now = {
        "a": row(), "b": row(1.0, link_bit_s=5e9), "c": row(2.0, link_bit_s=5e9),
        "site": row(3.0, link_bit_s=None), "dark": row(link_bit_s=0.0),
    }  # fmt: skip
    assert sent_s(now, "a") == 0.0
    assert sent_s(now, "b") == pytest.approx(bits / 1e9)
    assert sent_s(now, "b", "b", "c") == pytest.approx(2 * bits / 1e9)
    assert sent_s(now, "site") == pytest.approx(bits / 1e9)
    assert sent_s(now | {"a": row(link_bit_s=None)}, "b") == pytest.approx(bits / 5e9)
    assert sent_s(now | {"a": row(link_bit_s=None)}, "site") == pytest.approx(0.0)
    assert sent_s(now, "dark") == "dark has no link to the mesh now"
    assert sent_s(now, "other") == "the twin has not told of other yet"
    assert sent_s(now) == "no server runs now"


def test_what_no_gpu_holds_is_said_in_words():
    large = CATALOG.model("llama-3.1-405b")
    told = freshness.modelled(CATALOG, large, Trained(1e6, 1e3, 16), Place("a", "h100-sxm", 1), [], {})
    assert "short by" in told


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ({"model": "aether-tiny"}, "aether-tiny"),
        ({"model": "chat", "upstream": "meta-llama/Llama-3.1-8B"}, "llama-3.1-8b"),
        ({"model": "chat", "tuning": {"run": "true", "shape": "llama-3.1-8b"}}, "llama-3.1-8b"),
        ({"model": "llama-3.1-8b", "tuning": {"run": "true", "shape": "nobody"}}, None),
        ({"model": "chat"}, None),
    ],
)
def test_a_deployment_is_like_a_model_of_the_catalog_by_its_names(service, name):
    found = freshness.shape(Service.model_validate(service), CATALOG)
    assert (found and found.name) == name


def test_training_takes_as_long_as_the_tuner_of_a_run_takes():
    setup = assemble(load("logistics"))
    (tuner,) = setup.work.tuners
    asked, samples = tuner.asked, 40.0
    host, service = int(np.flatnonzero(tuner.allowed)[0]), setup.work.services[tuner.service]
    tokens = service.input_tokens + service.output_tokens
    name = setup.hosts.accelerator[host]
    at = Place(setup.hosts.names[host], name, int(tuner.gpus))
    told = freshness.modelled(
        setup.scenario.catalog, service.model, Trained(samples * tokens * asked.epochs, tokens, asked.rank), at, [], {}
    )
    granted = np.zeros(len(setup.hosts.names))
    granted[host] = tuner.gpus
    none = np.zeros(len(granted))
    held = Tuned(0, tuners.TRAINING, host, 0.0, samples, none, np.zeros(tuner.ticks), np.zeros(tuner.ticks))
    made = tuners.settle(setup, tuner, held, granted, np.zeros(0), np.ones(len(granted), bool), 0.0)
    took_s = setup.scenario.spec.step * made.gpu[host] / tuner.gpus  # its share of the tick at work
    assert 0.0 < told.trained_s < setup.scenario.spec.step
    assert took_s == pytest.approx(told.trained_s, rel=1e-9)
    assert tuner.size_bytes == tuning.tuned_bytes(service.model, "lora", asked.rank, "bf16", asked.targets)
