"""What must hold of any replica and any queue."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.scenario.catalog import packaged
from aether.workloads import inference

CATALOG = packaged()
USUAL = inference.efficiency(CATALOG)
replicas = st.sampled_from(
    [("llama-3.1-8b", "h100-sxm", 1, "bf16"), ("llama-3.1-8b", "a100-80gb", 1, "fp8"), ("llama-3.3-70b", "h100-sxm", 4, "fp8"),
     ("mixtral-8x7b", "h100-sxm", 2, "bf16"), ("deepseek-v3", "gb300-nvl72", 8, "fp8"), ("gpt-oss-120b", "b200", 1, "fp4"),
     ("gpt3-175b", "gb200-nvl72", 16, "bf16"), ("qwen3-30b-a3b", "tpu-v6e", 4, "bf16")]
)  # fmt: skip
tokens = st.floats(1.0, 20_000.0)


@settings(max_examples=150, deadline=None)
@given(
    which=replicas, asked=tokens, answered=tokens, chunk=st.floats(256.0, 16384.0), most=st.floats(1.0, 1000.0),
    overhead=st.floats(0.0, 0.05), compute=st.floats(0.1, 1.0), bandwidth=st.floats(0.1, 1.0),
)  # fmt: skip
def test_more_in_flight_is_never_less_throughput_nor_a_quicker_token(
    which: tuple[str, str, int, str], asked: float, answered: float, chunk: float, most: float, overhead: float,
    compute: float, bandwidth: float,
) -> None:  # fmt: skip
    name, chip, gpus, precision = which
    model, gpu = CATALOG.model(name), CATALOG.accelerator(chip)
    server = replace(
        USUAL, chunk_tokens=chunk, max_batch=most, overhead_s=overhead, compute=compute, bandwidth=bandwidth
    )
    if not inference.fits(model, gpu, gpus, precision, asked, answered, server):
        return
    made = inference.curve(model, gpu, gpus, precision, asked, answered, server)
    assert made.batch[0] == 1.0
    for values in (made.request_s, made.iteration_s, made.first_token_s):
        assert np.isfinite(values).all()
        assert (values > 0.0).all()
        assert (np.diff(values) >= -1e-9 * values[1:]).all()
    assert (np.diff(made.batch) > 0).all()


@settings(max_examples=60, deadline=None)
@given(which=replicas, memory=st.floats(1e9, 1e12), more=st.floats(1.0, 4.0), asked=tokens, answered=tokens)
def test_more_memory_is_never_fewer_slots(
    which: tuple[str, str, int, str], memory: float, more: float, asked: float, answered: float
) -> None:
    name, chip, gpus, precision = which
    model, gpu = CATALOG.model(name), CATALOG.accelerator(chip)
    slots = [
        inference.fits(model, gpu.model_copy(update={"memory": replace(gpu.memory, value=size)}), gpus, precision, asked,
                       answered, USUAL)
        for size in (memory, memory * more)
    ]  # fmt: skip
    assert slots[1] >= slots[0] >= 0


@settings(max_examples=60, deadline=None)
@given(
    loads=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=20), servers=st.floats(1.0, 1000.0),
    service=st.floats(1e-3, 1e3), ca2=st.floats(0.0, 10.0), cs2=st.floats(0.0, 10.0),
)  # fmt: skip
def test_a_fuller_queue_never_waits_less_and_more_servers_never_more(
    loads: list[float], servers: float, service: float, ca2: float, cs2: float
) -> None:
    load = np.sort(loads)
    wait = inference.wait_s(load, servers, service, ca2, cs2)
    assert (wait[1:] >= wait[:-1]).all()
    assert (inference.wait_s(load, servers * 2, service, ca2, cs2) <= wait).all()
