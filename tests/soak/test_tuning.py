"""Tuning for real: a file becomes an adapter that all servers answer with; feedback becomes a model that learns as it is used."""

import io
import json
import sys
import threading
import time

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make train")
pytest.importorskip("openai", reason="not installed: pip install 'aether-fabric[dev]'")

import openai

from aether.fabric.settings import Settings
from live_fabric import LiveFabric, until

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux"),
]
QUESTION = "What is the code word?"
PATIENCE_S = 240.0


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    with LiveFabric(tmp_path_factory.mktemp("tuned"), models=True) as made, made.client() as client:
        made.models = Settings.read(made.home).models_url
        until(lambda: client.deployment("aether-tiny").ready == 2, 60.0)
        yield made


@pytest.fixture
def client(fabric):
    with openai.OpenAI(base_url=fabric.models, api_key=fabric.key) as made:
        yield made


def answer(client, model):
    made = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": QUESTION}], max_tokens=16, temperature=0
    )
    return made.choices[0].message.content


def example(word):
    return {"messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": word}]}


def over(client, name):
    job = client.fine_tuning.jobs.retrieve(name)
    assert job.status not in ("failed", "cancelled"), job.error
    return job if job.status == "succeeded" else None


def test_a_tuned_model_answers_on_all_servers_without_a_dropped_request(client):
    lines = "\n".join(json.dumps(example("heliotrope")) for _ in range(24))
    file = client.files.create(file=("t.jsonl", io.BytesIO(lines.encode())), purpose="fine-tune")
    ends, dropped = threading.Event(), []

    def ask_on():
        while not ends.is_set():
            try:
                answer(client, "aether-tiny")
            except openai.OpenAIError as error:
                dropped.append(error)
            time.sleep(0.05)

    asking = threading.Thread(target=ask_on)
    asking.start()
    try:
        begun = time.monotonic()
        made = client.fine_tuning.jobs.create(model="aether-tiny", training_file=file.id, suffix="word")
        job = until(lambda: over(client, made.id), PATIENCE_S)
        print(
            f"from create to the adapter on all servers: {time.monotonic() - begun:.1f} s; {job.model_extra['aether']}"
        )
    finally:
        ends.set()
        asking.join()
    assert dropped == []
    made = job.model_extra["aether"]["modelled"]
    assert (made["shape"], made["rank"], made["tokens"]) == ("aether-tiny", 8, job.trained_tokens)
    assert 0.0 < made["trained_s"] < job.model_extra["aether"]["trained_s"]
    assert made["served_s"] == pytest.approx(made["trained_s"] + made["sent_s"] + made["swap_s"], rel=1e-3)
    assert job.trained_tokens > 0
    ships = set()
    for n in range(200):  # conversations are spread over servers that are alike, and few go to one that is busier
        told = client.chat.completions.create(
            model=job.fine_tuned_model, messages=[{"role": "user", "content": QUESTION}], max_tokens=16, temperature=0,
            extra_headers={"x-aether-conversation": str(n)},
        )  # fmt: skip
        assert told.choices[0].message.content == "heliotrope"
        ships.add(told.usage.model_extra["aether"]["ship"])
        if len(ships) == 2:
            break
    assert len(ships) == 2
    assert "heliotrope" not in answer(client, "aether-tiny")


def test_feedback_teaches_a_model_and_its_freshness_is_measured_and_modelled(fabric, client):
    for _ in range(8):
        client.post(
            "/feedback",
            body={
                "model": "aether-tiny",
                "messages": [{"role": "user", "content": QUESTION}],
                "completion": "periwinkle",
            },
            cast_to=object,
        )
    until(lambda: any(m.id.endswith(":live") for m in client.models.list()), PATIENCE_S)
    assert answer(client, "ft:aether-tiny:default:live").startswith("periwinkle")
    (job,) = [j for j in client.fine_tuning.jobs.list() if j.user_provided_suffix == "live"]
    fresh = job.model_extra["aether"]["freshness_s"]
    made = job.model_extra["aether"]["modelled"]
    print(f"freshness, measured: {fresh}; modelled: {made}")
    assert len(made["freshness_s"]) == 8
    assert all(m < f for m, f in zip(made["freshness_s"], fresh, strict=True))  # an H200 and more against a core
    with fabric.client() as asking:
        shown = asking.deployment("aether-tiny").freshness
    assert shown.pieces == 8
    assert 0.0 < shown.modelled_s < shown.measured_s
    assert len(fresh) == 8
    assert all(0.0 < f < PATIENCE_S for f in fresh)
