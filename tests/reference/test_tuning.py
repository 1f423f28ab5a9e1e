"""Tuning against published counts and hand calculation."""

import numpy as np
import pytest

from aether.base.errors import InputError
from aether.scenario.catalog import packaged
from aether.workloads import models, tuning
from aether.workloads.inference import Shortage

CATALOG = packaged()
LLAMA8, GPT3 = CATALOG.model("llama-3.1-8b"), CATALOG.model("gpt3-175b")
H100, REACHED = CATALOG.accelerator("h100-sxm"), tuning.efficiency(CATALOG)


def test_adapters_of_gpt_3_have_the_parameters_of_the_first_paper() -> None:
    # arXiv 2106.09685, table 4 and 6: 4.7 M with rank 1 and 37.7 M with rank 8 on queries and values
    assert tuning.adapter_parameters(GPT3, 1, "attention") == pytest.approx(4.7e6, rel=0.01)
    assert tuning.adapter_parameters(GPT3, 8, "attention") == pytest.approx(37.7e6, rel=0.01)


def test_an_adapter_beside_every_matrix_of_llama_8b_has_the_parameters_that_tools_print() -> None:
    # 41,943,040 trainable parameters at rank 16, as PEFT counts them for q, k, v, o, gate, up and down
    assert tuning.adapter_parameters(LLAMA8, 16) == 41_943_040
    assert tuning.tuned_bytes(LLAMA8, "lora", 16, "fp8") == 2 * 41_943_040


def test_a_full_version_is_all_weights_at_the_precision_served() -> None:
    assert tuning.tuned_bytes(LLAMA8, "full", 16, "fp8") == models.weight_bytes(LLAMA8, "fp8")


def test_adapters_cost_two_thirds_of_full_tuning() -> None:
    # frozen weights need no gradients: two passes of three (and the adapter's own, below 1 %)
    costs = [tuning.tuning_flops(LLAMA8, 1e6, 1000, method, 16) for method in ("lora", "full")]
    assert costs[0] / costs[1] == pytest.approx(2 / 3, abs=0.01)


def test_full_tuning_of_a_large_model_says_what_is_missing() -> None:
    short = tuning.least_gpus(CATALOG.model("llama-3.1-405b"), H100, "full", 16, 72, REACHED)
    assert isinstance(short, Shortage)
    assert "131 h100-sxm" in short.words  # 18 B x 405.9e9 over 0.7 x 80 GB
    assert tuning.least_gpus(LLAMA8, H100, "lora", 16, 72, REACHED) == 1


def test_a_swap_loads_each_gpus_part_side_by_side() -> None:
    assert tuning.swap_s(80e9, 2, 0.03, REACHED) == pytest.approx(80e9 / (2 * REACHED.load_byte_s) + 0.03)


@pytest.mark.parametrize(("rank", "targets"), [(0, "all"), (4, "everything")])
def test_an_adapter_that_cannot_be_is_refused(rank: int, targets: str) -> None:
    with pytest.raises(InputError):
        tuning.adapter_parameters(LLAMA8, rank, targets)


def test_every_model_of_the_catalog_has_an_adapter_smaller_than_itself() -> None:
    sizes = [(tuning.adapter_parameters(m, 8), models.parameters(m).total) for m in CATALOG.kind("models").values()]
    assert all(0 < adapter < 0.05 * whole for adapter, whole in sizes)
    assert len(np.unique([adapter for adapter, _ in sizes])) > 5
