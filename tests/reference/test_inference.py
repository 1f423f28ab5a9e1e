"""How fast replicas answer, against hand calculation, measurements and queueing theory."""

from dataclasses import replace

import numpy as np
import pytest

from aether.base.errors import InputError
from aether.base.tables import Serving
from aether.scenario.catalog import packaged
from aether.workloads import inference

CATALOG = packaged()
USUAL = inference.efficiency(CATALOG)
PERFECT = inference.Efficiency(1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 8192.0, 256.0, 16.0)
H100 = CATALOG.accelerator("h100-sxm")
LLAMA8 = CATALOG.model("llama-3.1-8b")
LLAMA70 = CATALOG.model("llama-3.3-70b")
LLAMA405 = CATALOG.model("llama-3.1-405b")


def at(serving: Serving, batch: float) -> tuple[float, float, float]:
    """Requests per second, iteration and first token at a number in flight."""
    rate, gap, first = (
        float(np.interp(batch, serving.batch, v))
        for v in (serving.request_s, serving.iteration_s, serving.first_token_s)
    )
    return rate, gap, first


def test_a_decode_iteration_by_hand() -> None:
    # 7.505e9 parameters read at 2 B, and 8 contexts of 1,000 tokens at 131,072 B, over 3.35 TB/s
    made = inference.iteration_s(LLAMA8, H100, 1, "bf16", 8, 0, 1000, 0, PERFECT)
    assert made == pytest.approx((2 * 7.504658e9 + 8 * 1000 * 131_072) / 3.35e12, rel=1e-5)


def test_a_prompt_by_hand() -> None:
    # 4,000 tokens: 2 x 7.505e9 operations each and 4 x 32 heads x 128 x 2,000 keys x 32 layers, over 989 TFLOP/s
    made = inference.iteration_s(LLAMA8, H100, 1, "bf16", 0, 4000, 0, 4000, PERFECT)
    assert made == pytest.approx(4000 * (2 * 7.504658e9 + 4 * 32 * 128 * 2000 * 32) / 989e12, rel=1e-5)


def test_all_reduces_by_hand() -> None:
    # two GPUs: 160 all-reduces of 100 x 8,192 x 2 B each, 2 (g-1)/g = 1, over 450 GB/s, and 5 us each
    slow = replace(PERFECT, collective_s=5e-6)
    free = H100.model_copy(update={"domain_rate": replace(H100.domain_rate, value=1e30)})
    with_fabric = inference.iteration_s(LLAMA70, H100, 2, "fp8", 100, 0, 1, 0, slow)
    without = inference.iteration_s(LLAMA70, free, 2, "fp8", 100, 0, 1, 0, PERFECT)
    assert with_fabric - without == pytest.approx(160 * (100 * 8192 * 2 / 450e9 + 5e-6), rel=1e-6)


def test_a_chip_without_fp8_computes_in_bf16_but_still_reads_fewer_bytes() -> None:
    a100 = CATALOG.accelerator("a100-80gb")
    assert inference.flops_per_gpu(a100, "fp4") == 312e12
    assert inference.flops_per_gpu(H100, "fp8") == 1979e12
    wide, narrow = (inference.iteration_s(LLAMA8, a100, 1, p, 1, 0, 0, 0, PERFECT) for p in ("bf16", "fp8"))
    assert wide == pytest.approx(2 * narrow)


@pytest.mark.parametrize(
    ("concurrency", "first_s", "gap_s", "tokens_s"),
    [(1, 0.40677, 0.01858, 51.67), (25, 0.68869, 0.03875, 623.4)],
)
def test_llama_70b_on_two_h100_comes_near_nvidias_figures(
    concurrency: float, first_s: float, gap_s: float, tokens_s: float
) -> None:
    # NVIDIA NIM benchmark pages: Llama-3.3-70B FP8, 2 x H100, 5,000 in, 500 out; the catalogue's efficiencies
    rate, gap, first = at(inference.curve(LLAMA70, H100, 2, "fp8", 5000, 500, USUAL), concurrency)
    assert first == pytest.approx(first_s, rel=0.25)
    assert gap == pytest.approx(gap_s, rel=0.15)
    assert rate * 500 == pytest.approx(tokens_s, rel=0.15)


def test_llama_8b_on_a_workstation_card_comes_near_vllms_log() -> None:
    # LLMServingSim (MIT), log of vLLM 0.19 on an RTX PRO 6000 (1.79 TB/s, 504 TFLOP/s BF16, 96 GB): 300 requests of 857
    # tokens in and 653 out on average, 96.6 in flight on average, 32.5 ms between tokens, chunks of 2,048
    card = H100.model_copy(update={k: replace(getattr(H100, k), value=v) for k, v in
                                   (("bf16", 503.8e12), ("memory", 96e9), ("memory_rate", 1.792e12))})  # fmt: skip
    vllm = replace(USUAL, chunk_tokens=2048.0)
    _, gap, _ = at(inference.curve(LLAMA8, card, 1, "bf16", 857, 653, vllm), 96.6)
    assert gap == pytest.approx(0.0325, rel=0.2)


def test_one_request_alone_takes_its_prompt_and_its_iterations() -> None:
    serving = inference.curve(LLAMA8, H100, 1, "bf16", 1000, 100, PERFECT)
    rate, gap, first = at(serving, 1)
    assert gap == pytest.approx(inference.iteration_s(LLAMA8, H100, 1, "bf16", 1, 0, 1050, 0, PERFECT), rel=0.01)
    prompt = inference.iteration_s(LLAMA8, H100, 1, "bf16", 1, 1000, 1050, 1000, PERFECT)
    assert first == pytest.approx(0.5 * gap + prompt, rel=0.01)  # the running iteration's second half comes first
    assert 1.0 / rate == pytest.approx(first + 100 * gap, rel=0.01)  # Little's law with one in flight


def test_requests_in_flight_are_littles_law_all_along_the_curve() -> None:
    s = inference.curve(LLAMA70, H100, 4, "fp8", 2000, 300, USUAL)
    assert s.request_s * (s.first_token_s + 300 * s.iteration_s) == pytest.approx(s.batch, rel=0.02)


def test_prompts_alone_bound_the_throughput_when_answers_are_short() -> None:
    # answers of one token: the replica does nothing but prompts, 2 x 7.505e9 operations a token and attention
    serving = inference.curve(LLAMA8, H100, 1, "bf16", 4000, 1, PERFECT)
    bound = 989e12 / (4000 * (2 * 7.504658e9 + 4 * 32 * 128 * 2000 * 32))
    assert 0.85 * bound < serving.request_s[-1] <= bound


def test_slots_by_hand() -> None:
    # 0.9 x 80 GB less 16.06 GB of weights, over 131,072 B x 5,500 tokens: 77 requests
    assert inference.fits(LLAMA8, H100, 1, "bf16", 5000, 500, USUAL) == 77
    assert inference.fits(LLAMA8, H100, 1, "bf16", 50, 50, USUAL) == 256  # serving.max_batch
    assert inference.fits(LLAMA70, H100, 1, "bf16", 5000, 500, USUAL) == 0


def test_a_replica_grows_until_it_holds_requests_enough() -> None:
    # 70 B in FP8 fills one H100 to 70.6 of 72 GB: room for one request, so two are taken
    assert inference.fits(LLAMA70, H100, 1, "fp8", 5000, 500, USUAL) == 1
    assert inference.replica(LLAMA70, H100, "fp8", 5500, 8, USUAL) == 2
    assert inference.replica(LLAMA70, H100, "fp8", 5500, 1, USUAL) == 1
    assert inference.replica(LLAMA8, H100, "bf16", 5500, 8, USUAL) == 1


def test_a_shortage_says_what_is_needed_and_what_is_there() -> None:
    short = inference.replica(LLAMA405, H100, "bf16", 5500, 1, USUAL)
    assert isinstance(short, inference.Shortage)
    assert short.words == (
        "llama-3.1-405b in bf16 needs 812 GB for weights, 1 x 80 GB has 72 GB usable: short by 740 GB"
    )
    long = inference.replica(LLAMA8, H100, "bf16", 1e6, 1, USUAL)
    assert isinstance(long, inference.Shortage)
    assert "16.1 GB for weights and 131 GB for a request" in long.words
    with pytest.raises(InputError, match="short by 740 GB"):
        inference.curve(LLAMA405, H100, 1, "bf16", 5000, 500, USUAL)


@pytest.mark.parametrize("gpus", [0, 16])
def test_a_replica_beyond_the_fabric_is_refused(gpus: int) -> None:
    with pytest.raises(InputError, match="1 to 8 h100-sxm"):
        inference.curve(LLAMA8, H100, gpus, "bf16", 100, 100, USUAL)


def test_a_load_gives_the_point_of_the_curve() -> None:
    serving = inference.curve(LLAMA8, H100, 1, "bf16", 1000, 200, USUAL)
    load = np.array([[0.0, 1.0], [serving.request_s[3] / serving.request_s[-1], 2.0]])
    batch, gap, first = inference.operate(serving, load)
    assert batch == pytest.approx(np.array([[0.0, serving.batch[-1]], [serving.batch[3], serving.batch[-1]]]))
    assert gap[0].tolist() == [serving.iteration_s[0], serving.iteration_s[-1]]
    assert first[1, 0] == pytest.approx(serving.first_token_s[3])


def test_the_wait_of_one_server_is_exact() -> None:
    # M/M/1: W = s rho / (1 - rho); M/D/1 half of it (Pollaczek-Khinchine)
    assert inference.wait_s(0.8, 1, 2.0) == pytest.approx(8.0)
    assert inference.wait_s(0.8, 1, 2.0, 1.0, 0.0) == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("servers", "load", "waits"),
    [(2, 0.5, 1 / 3), (5, 0.8, 0.55411), (10, 0.9, 0.66873), (20, 0.9, 0.27538)],
)
def test_the_wait_of_several_servers_is_erlangs(servers: int, load: float, waits: float) -> None:
    # Erlang C in closed form: waits = C(c, c rho) / (c (1 - rho)) in services
    offered = servers * load
    terms = [1.0]
    for n in range(1, servers + 1):
        terms.append(terms[-1] * offered / n)
    last = terms[-1] / (1 - load)
    assert last / (sum(terms[:-1]) + last) / (servers * (1 - load)) == pytest.approx(waits, rel=2e-4)
    assert inference.wait_s(load, servers, 1.0) == pytest.approx(waits, rel=0.1)  # Sakasegawa's own error


def test_a_full_queue_never_ends() -> None:
    assert inference.wait_s([1.0, 1.5, 0.0], 4, 1.0).tolist() == [np.inf, np.inf, 0.0]
