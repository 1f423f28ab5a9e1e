"""Models of a real fabric: aether-tiny from `aether up`, asked by the vendors' clients, metered, lost and found again."""

import json
import os
import signal
import sys

import pytest

pytest.importorskip("aiohttp", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")
pytest.importorskip("openai", reason="not installed: pip install 'aether-fabric[dev]'")
pytest.importorskip("anthropic", reason="not installed: pip install 'aether-fabric[dev]'")

import anthropic
import httpx
import openai

from aether.fabric import local, task, views
from aether.fabric.settings import Settings
from aether.scenario import document
from live_fabric import LiveFabric, until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux")


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    with LiveFabric(tmp_path_factory.mktemp("models"), models=True) as made, made.client() as client:
        made.models = Settings.read(made.home).models_url
        until(lambda: client.deployment("aether-tiny").ready == 2, 60.0)
        yield made


def ask(fabric, **more):
    with openai.OpenAI(base_url=fabric.models, api_key=fabric.key) as client:
        messages = [{"role": "user", "content": "def main():\n    return "}]
        made = client.chat.completions.create(
            model="aether-tiny", messages=messages, max_tokens=12, temperature=0, **more
        )
        return list(made) if more.get("stream") else made


def tokens(client):
    rows = [r for r in client.usage().tokens if r.model == "aether-tiny"]
    return (
        sum(r.requests for r in rows),
        sum(r.input_tokens for r in rows),
        sum(r.output_tokens for r in rows),
        sum(r.price_micro_usd for r in rows),
    )


def test_up_serves_a_model_at_once_and_what_it_delivers_is_metered_to_the_token(fabric):
    with fabric.client() as client:
        before = tokens(client)
        first = ask(fabric)
        same = "".join(c.choices[0].delta.content or "" for c in ask(fabric, stream=True) if c.choices)
        assert (first.choices[0].message.content or "") == same
        told = first.usage.model_extra["aether"]
        assert told["ship"].startswith("a/")
        assert told["cost_usd"] > 0.0
        with anthropic.Anthropic(base_url=fabric.models.removesuffix("/v1"), api_key=fabric.key) as other:
            asked = {"model": "aether-tiny", "messages": [{"role": "user", "content": "import "}]}
            message = other.messages.create(**asked, max_tokens=5, extra_body={"temperature": 0})
            stop = message.content[0].text[2:4]
            ended = other.messages.create(
                **asked, max_tokens=5, extra_body={"temperature": 0}, stop_sequences=["never", stop]
            )
            count = other.messages.count_tokens(**asked)
        assert (ended.stop_reason, ended.stop_sequence) == ("stop_sequence", stop)
        assert message.stop_reason == "max_tokens"
        assert count.input_tokens == message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0)
        with openai.OpenAI(base_url=fabric.models, api_key=fabric.key) as one:
            same_prompt = one.responses.input_tokens.count(model="aether-tiny", input="def main():\n    return ")
        assert same_prompt.input_tokens == first.usage.prompt_tokens
        into = 2 * first.usage.prompt_tokens + 2 * count.input_tokens
        out = 2 * first.usage.completion_tokens + message.usage.output_tokens + ended.usage.output_tokens
        until(lambda: tokens(client)[:3] == (before[0] + 4, before[1] + into, before[2] + out))


def test_the_command_shows_serves_and_ends_models(fabric):
    code, out, err = fabric.aether("serve", "status", "--json")
    assert code == 0, err
    (row,) = json.loads(out)["deployments"]
    assert (row["name"], row["ready"], len({s["host"] for s in row["servers"]})) == ("aether-tiny", 2, 2)
    code, out, err = fabric.aether("serve", "status", "aether-tiny")
    assert (code, "0.02 USD a million tokens in, 0.08 out" in out) == (0, True)
    own = fabric.folder / "own.yaml"
    run = 'exec "$AETHER_PYTHON" -m aether.fabric.tiny --host "$AETHER_HOST" --port "$AETHER_PORT"'
    own.write_text(f"name: own\nservice: {{model: own-model, upstream: aether-tiny, replicas: 1}}\nrun: {run}\n")
    code, out, err = fabric.aether("serve", "up", "own.yaml")
    assert (code, "own-model is served by 1 of 1 servers" in out) == (0, True), err
    with openai.OpenAI(base_url=fabric.models, api_key=fabric.key) as client:
        assert {m.id for m in client.models.list()} == {"aether-tiny", "own-model"}
        assert client.completions.create(model="own-model", prompt="import ", max_tokens=3).model == "own-model"
    assert fabric.aether("serve", "down", "own")[0] == 0
    code, _, err = fabric.aether("serve", "down", "own")
    assert (code, "there is no deployment 'own'" in err) == (2, True)
    code, _, err = fabric.aether("serve", "up", "aether-tny")
    assert (code, "did you mean 'aether-tiny'?" in err) == (2, True)


def test_one_model_of_two_deployments_is_answered_by_the_cheaper_and_then_by_the_other(fabric):
    run = 'exec "$AETHER_PYTHON" -m aether.fabric.tiny --host "$AETHER_HOST" --port "$AETHER_PORT"'
    for name, price in (("dear", 9.0), ("cheap", 3.0)):
        service = f"{{model: twice, upstream: aether-tiny, price: {{input: 1, output: {price}}}}}"
        (fabric.folder / f"{name}.yaml").write_text(f"name: {name}\nservice: {service}\nrun: {run}\n")
        code, _, err = fabric.aether("serve", "up", f"{name}.yaml")
        assert code == 0, err
    with openai.OpenAI(base_url=fabric.models, api_key=fabric.key) as client:
        (model,) = [m for m in client.models.list() if m.id == "twice"]
        assert model.model_extra["aether"]["price_usd_per_mtok"] == {"in": 1.0, "out": 9.0}

        def answered():
            made = client.completions.create(model="twice", prompt="import ", max_tokens=3, temperature=0)
            return made.choices[0].text, made.usage.model_extra["aether"]

        until(lambda: answered()[1]["deployment"] == "default/cheap")
        text, told = answered()
        assert told["price_usd_per_mtok"] == {"in": 1.0, "out": 3.0}
        assert fabric.aether("serve", "down", "cheap")[0] == 0
        assert until(lambda: (made := answered()) and made[1]["deployment"] == "default/dear" and made)[0] == text
    assert fabric.aether("serve", "down", "dear")[0] == 0
    set_of = "resources: {accelerators: [gb3OO:1]}"
    (fabric.folder / "mine.yaml").write_text(f"name: mine\nservice: {{model: aether-tiny}}\n{set_of}\nrun: {run}\n")
    code, _, err = fabric.aether("serve", "up", "mine.yaml")
    assert (code, "'aether-tiny' is served to every project already" in err) == (2, True), err
    assert "mine.yaml:3: resources.any_of[0].accelerators: unknown accelerator 'gb3oo'; did you mean 'gb300'?" in err


def test_a_server_that_does_not_come_up_is_replaced_and_the_command_says_why(fabric):
    mute = fabric.folder / "mute.yaml"
    mute.write_text(
        "name: mute\nservice: {replicas: 1, readiness_probe: {path: /well, initial_delay_seconds: 1}}\n"
        "orbit: {grace: 1 s}\nrun: exec sleep 1000\n"
    )
    assert fabric.aether("serve", "up", "mute.yaml", "--detach")[0] == 0
    with fabric.client() as client:
        (first,) = until(lambda: client.deployment("mute").servers)
        until(lambda: any(s.job != first.job for s in client.deployment("mute").servers))
        job = until(lambda: (j := client.job(first.job)).status in ("failed", "cancelled") and j)
    assert (job.status, job.reason) == ("failed", "it did not answer at /well for 1 s")
    assert fabric.aether("serve", "down", "mute")[0] == 0


def test_servers_answer_the_gateway_and_nobody_else(fabric):
    with fabric.client() as client:
        jobs = [s.job for s in client.deployment("aether-tiny").servers]
    first, second = (fabric.programs(job)[0] for job in jobs)
    assert first["AETHER_SERVER_KEY"] != second["AETHER_SERVER_KEY"]
    url, body = f"http://{first['AETHER_HOST']}:{first['AETHER_PORT']}", {"model": "aether-tiny", "prompt": "import "}
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as direct:
        for secret in (None, "x", fabric.key, second["AETHER_SERVER_KEY"]):
            headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
            for method, path in (("GET", "/v1/models"), ("GET", "/metrics"), ("POST", "/v1/completions"), ("POST", "/tokenize"),
                                 ("POST", "/v1/load_lora_adapter"), ("POST", "/v1/unload_lora_adapter")):  # fmt: skip
                answer = direct.request(method, path, json=body, headers=headers)
                assert (answer.status_code, "Incorrect API key" in answer.text) == (401, True), (path, secret)
        known = {"Authorization": f"Bearer {first['AETHER_SERVER_KEY']}"}
        assert direct.post("/v1/completions", json=body, headers=known).status_code == 200
        assert direct.get("/health").status_code == 200
    assert ask(fabric).choices
    names = ("AETHER_SERVER_KEY", "VLLM_API_KEY", "LLAMA_API_KEY")
    assert {first[n] for n in names} == {first["AETHER_SERVER_KEY"]}
    for file in fabric.home.rglob("*"):
        if file.is_file():
            assert first["AETHER_SERVER_KEY"].encode() not in file.read_bytes(), file


def test_a_job_is_not_told_what_servers_are_asked_with(fabric):
    with fabric.client() as client:
        (job,) = client.submit(client.prepare(task.check(document.parse("name: look\nrun: env; sleep 1"))))
        until(lambda: client.job(job).status == "succeeded", 60.0)
    code, out, err = fabric.aether("logs", job)
    assert (code, "AETHER_JOB" in out, "SERVER_KEY" in out, "API_KEY" in out) == (0, True, False, False), err


def test_a_key_with_limits_is_held_to_them(fabric):
    with fabric.client() as client:
        secret = client.make_key(views.NewKey(scopes=("infer",), requests_per_minute=2)).secret
    with openai.OpenAI(base_url=fabric.models, api_key=secret, max_retries=0) as client:
        until(lambda: _may(client))
        client.completions.create(model="aether-tiny", prompt="a", max_tokens=1)
        with pytest.raises(openai.RateLimitError) as told:
            client.completions.create(model="aether-tiny", prompt="a", max_tokens=1)
        assert float(told.value.response.headers["retry-after"]) > 0


def _may(client):
    """Whether the gateway knows the key by now; the asking is one of its requests."""
    try:
        return client.completions.create(model="aether-tiny", prompt="a", max_tokens=1)
    except openai.AuthenticationError:
        return None


def test_a_lost_ship_costs_no_request_and_its_server_starts_elsewhere(fabric):
    with fabric.client() as client:
        lost = ask(fabric).usage.model_extra["aether"]["ship"]
        client.inject(views.Fault(kind="ship", name=lost))
        for _ in range(10):
            assert ask(fabric).usage.model_extra["aether"]["tries"] <= 3
        until(
            lambda: (d := client.deployment("aether-tiny")).ready == 2 and lost not in {s.host for s in d.servers}, 60.0
        )


def test_the_gateway_is_started_again_when_it_is_killed_and_ends_with_the_fabric(fabric):
    file = fabric.home / "gateway" / "process.json"
    pid = json.loads(file.read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    serving = file.with_name("gateway-ready.json")
    until(lambda: json.loads(serving.read_text())["pid"] != pid, 60.0)
    assert ask(fabric).usage.completion_tokens >= 1
    local.down(fabric.home)
    assert not fabric.processes()
