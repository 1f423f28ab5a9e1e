"""llama.cpp's server with aether-tiny's weights: the same numbers as ours, and the same answers through the gateway, from ships."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")
pytest.importorskip("openai", reason="not installed: pip install 'aether-fabric[dev]'")
pytest.importorskip("anthropic", reason="not installed: pip install 'aether-fabric[dev]'")

import anthropic
import openai
import yaml

from aether.fabric import views
from aether.fabric.settings import Settings
from aether.fabric.tiny import asked, text
from aether.fabric.tiny.model import Cache, Model
from aether.fabric.tiny.weights import BOS, load
from live_fabric import LiveFabric, until

ROOT = Path(__file__).parents[2]
OTHER = ROOT / ".venv" / "other-server"
PYTHON = OTHER / "bin" / "python"
PROGRAM = Path(__file__).with_name("llama_server.py")
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux"),
    pytest.mark.skipif(not (OTHER / ".installed").exists(), reason="llama.cpp's server is not installed: make other-server"),
]  # fmt: skip
PROMPTS = (
    "import os, ", "def main():\n    return ", "class A:\n\tdef f(self, x):\n", "héllo ▁ wörld 日本語 = '", "for i in range(10):\n    print(",
    "\r\n two  spaces   and\ttabs\n\n\n", "#$%^&*()~`|\\ \x01\x7f it's <s> [INST] 12345 ", "    def __init__(self, ",
)  # fmt: skip
AGREE = 1e-4  # of log-probabilities: 1e-5 was found, and sums in another order on another processor give no more than a few times it
EXACTLY = "-fa off -ctk f32 -ctv f32"  # what is near a tie would fall to the other side in float16
ASKED = [{"role": "system", "content": "be  short"}, {"role": "user", "content": "import os\nfor x in "}]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The packaged model as a GGUF file."""
    file = tmp_path_factory.mktemp("weights") / "aether-tiny.gguf"
    script = [PYTHON, ROOT / "tools" / "export_tiny.py", "--out", file]
    subprocess.run(script, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, check=True, timeout=60)
    return file


@pytest.fixture(scope="module")
def exact(weights):
    """The address of a server of its own that computes in float32 throughout, as we do."""
    command = [PYTHON, PROGRAM, "-m", weights, "--port", "0", "-c", "512", *EXACTLY.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        yield process.stdout.readline().split()[-1]
        process.terminate()


@pytest.fixture(scope="module")
def ours():
    return Model(load())


def post(url, body, key=""):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


class Reading:
    """A text that our own model reads, token by token."""

    def __init__(self, model, tokens):
        self.model, self.cache, self.at = model, Cache(model.shape, 1), 0
        self.expects = self.read(tokens)

    def read(self, tokens):
        """What it expects next, as log-probabilities of the bytes and the mark."""
        count = len(tokens)
        places = np.arange(count) + self.at
        hidden = self.model.hidden(np.array(tokens), np.zeros(count, np.int64), places, self.cache)
        self.at += count
        logits = self.model.logits(hidden[-1:])[0][: BOS + 1].astype(float)
        self.expects = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        return self.expects

    def greedy(self, most):
        """The likeliest bytes, to the mark or the limit."""
        made = []
        while len(made) < most and (token := int(self.expects.argmax())) != BOS:
            made.append(token)
            self.read([token])
        return bytes(made).decode("utf-8", "replace")


def test_llama_cpp_reads_the_same_tokens_and_expects_the_same_as_our_own_arithmetic(exact, ours):
    for prompt in PROMPTS:
        tokens = text.prompt(prompt)
        assert post(f"{exact}/tokenize", {"content": prompt, "add_special": True})["tokens"] == tokens
        made = post(f"{exact}/completion", {"prompt": tokens, "n_predict": 16, "temperature": 0, "n_probs": BOS + 1})
        reading = Reading(ours, tokens)
        for step in made["completion_probabilities"]:
            theirs = {p["id"]: p["logprob"] for p in step["top_logprobs"]}
            assert len(theirs) == BOS + 1
            assert max(abs(theirs[i] - reading.expects[i]) for i in theirs) < AGREE
            reading.read([step["id"]])


def test_llama_cpp_goes_on_as_our_own_arithmetic_does(exact, ours):
    for prompt in PROMPTS:
        made = post(f"{exact}/v1/completions", {"prompt": prompt, "max_tokens": 120, "temperature": 0})
        assert made["choices"][0]["text"] == Reading(ours, text.prompt(prompt)).greedy(120)


def test_llama_cpp_writes_conversations_as_we_do(exact, ours):
    turns = [*ASKED, {"role": "assistant", "content": " y\n"}, {"role": "user", "content": "# z"}]
    for messages in (ASKED, turns, [{"role": "developer", "content": "x"}, *turns]):
        made = post(f"{exact}/v1/chat/completions", {"messages": messages, "max_tokens": 60, "temperature": 0})
        tokens = asked.messages({"messages": messages})
        assert made["usage"]["prompt_tokens"] == len(tokens)
        assert made["choices"][0]["message"]["content"] == Reading(ours, tokens).greedy(60)


def test_llama_cpp_heeds_what_the_page_says_and_no_more(exact):
    """docs/gateway.md names what it passes over; another version may heed it."""

    def answer(**more):
        made = post(f"{exact}/v1/completions", {"prompt": "import ", "max_tokens": 9, "temperature": 0} | more)
        return made["choices"][0]["text"], made["usage"]["completion_tokens"]

    plain, ended = answer(), {"logit_bias": {str(BOS): 100}}
    for ignored in ({"echo": True}, {"suffix": "x"}, {"best_of": 2}, {"repetition_penalty": 2.0}):
        assert answer(**ignored) == plain
    assert answer(repeat_penalty=2.0) != plain
    assert answer(**ended) == answer(**ended, min_tokens=5) == ("", 1)
    assert answer(**ended, ignore_eos=True)[1] == 9
    two = post(f"{exact}/v1/completions", {"prompt": ["import ", "def "], "max_tokens": 9, "temperature": 0})
    assert (len(two["choices"]), two["usage"]["completion_tokens"]) == (2, 9)  # of one of them


@pytest.fixture(scope="module")
def fabric(tmp_path_factory, weights):
    """A fabric that serves the same model by both servers: `aether-tiny` and `tiny-gguf`."""
    with LiveFabric(tmp_path_factory.mktemp("other"), models=True) as made, made.client() as client:
        made.models = Settings.read(made.home).models_url
        file = made.folder / "llama.yaml"
        file.write_text(yaml.safe_dump({
            "name": "llama", "service": {"model": "tiny-gguf", "replicas": 2, "price": {"input": 1.0, "output": 2.0}, "context": 512, "shared": True},
            "file_mounts": {"~/server.py": str(PROGRAM), "~/model.gguf": str(weights)},
            "run": f'exec {PYTHON} ~/server.py -m ~/model.gguf -c 2048 -np 4 {EXACTLY} --host "$AETHER_HOST" --port "$AETHER_PORT"',
        }))  # fmt: skip
        code, out, err = made.aether("serve", "up", file.name)
        assert (code, "tiny-gguf is served by" in out) == (0, True), err
        until(lambda: client.deployment("llama").ready == client.deployment("aether-tiny").ready == 2, 60.0)
        yield made


@pytest.fixture
def key(fabric, request):
    """A key of a project of the test's own, whose tokens are nobody else's."""
    project = request.node.name.replace("_", "-")[5:40].rstrip("-")
    with fabric.client() as client:
        client.make_project(project)
        secret = client.make_key(views.NewKey(project=project, scopes=("infer",))).secret
    with openai.OpenAI(base_url=fabric.models, api_key=secret) as client:
        until(lambda: knows(client))
    return project, secret


def knows(client):
    """Whether the gateway knows the key by now."""
    try:
        return client.models.list().data
    except openai.AuthenticationError:
        return None


@pytest.fixture
def vendor(fabric, key):
    with openai.OpenAI(base_url=fabric.models, api_key=key[1], max_retries=0) as made:
        yield made


def tokens(fabric, project):
    """Requests, errors, tokens in and tokens out that a project has had of llama.cpp."""
    with fabric.client() as client:
        rows = [r for r in client.usage().tokens if (r.model, r.project) == ("tiny-gguf", project)]
    return tuple(sum(getattr(r, k) for r in rows) for k in ("requests", "errors", "input_tokens", "output_tokens"))


def chat(client, **more):
    given = {"model": "tiny-gguf", "messages": ASKED, "max_tokens": 40, "temperature": 0}
    return client.chat.completions.create(**given | more)


def test_the_openai_client_finds_both_servers_alike_and_what_they_tell_is_metered(fabric, key, vendor):
    whole = chat(vendor)
    assert whole.choices[0].message.content == chat(vendor, model="aether-tiny").choices[0].message.content
    assert (whole.choices[0].finish_reason, whole.usage.completion_tokens, whole.model) == ("length", 40, "tiny-gguf")
    assert whole.usage.model_extra["aether"]["ship"].startswith("a/")
    pieces = list(chat(vendor, stream=True, stream_options={"include_usage": True}))
    assert "".join(p.choices[0].delta.content or "" for p in pieces if p.choices) == whole.choices[0].message.content
    assert [p.usage.completion_tokens for p in pieces if p.usage] == [40]
    assert not pieces[-1].choices
    text_of = {"model": "tiny-gguf", "prompt": "import ", "max_tokens": 12, "temperature": 0}
    plain = vendor.completions.create(**text_of)
    assert plain.choices[0].text == vendor.completions.create(**text_of | {"model": "aether-tiny"}).choices[0].text
    streamed = list(vendor.completions.create(**text_of, stream=True, stream_options={"include_usage": True}))
    assert "".join(p.choices[0].text for p in streamed if p.choices) == plain.choices[0].text
    assert [p.usage.completion_tokens for p in streamed if p.usage] == [12]
    response = vendor.responses.create(model="tiny-gguf", input="import ", max_output_tokens=16, temperature=0)
    assert (response.status, response.usage.output_tokens) == ("incomplete", 16)
    told = [u.prompt_tokens for u in (whole.usage, pieces[-1].usage, plain.usage, streamed[-1].usage)]
    into, out = sum(told) + response.usage.input_tokens, 40 + 40 + 12 + 12 + 16
    until(lambda: tokens(fabric, key[0]) == (5, 0, into, out))


def test_stops_limits_and_what_is_wrong_are_as_the_vendor_has_them(vendor):
    whole = chat(vendor).choices[0].message.content
    stop = whole[10:14]
    cut = chat(vendor, stop=[stop])
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == (whole[: whole.index(stop)], "stop")
    streamed = "".join(p.choices[0].delta.content or "" for p in chat(vendor, stop=stop, stream=True) if p.choices)
    assert streamed == whole[: whole.index(stop)]
    assert chat(vendor, max_tokens=3).usage.completion_tokens == 3
    likely = chat(vendor, max_tokens=2, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert [(one.token, len(one.top_logprobs)) for one in likely] == [(c, 2) for c in whole[:2]]
    with pytest.raises(openai.BadRequestError, match="exceeds the available context size"):
        chat(vendor, messages=[{"role": "user", "content": "a" * 600}])
    with pytest.raises(openai.BadRequestError, match="does not support embeddings"):
        vendor.embeddings.create(model="tiny-gguf", input="a")


def test_the_anthropic_client_is_answered_and_its_tokens_are_counted(fabric):
    with anthropic.Anthropic(base_url=fabric.models.removesuffix("/v1"), api_key=fabric.key, max_retries=0) as client:
        given = {"model": "tiny-gguf", "system": "be  short", "messages": ASKED[1:], "extra_body": {"temperature": 0}}
        message = client.messages.create(**given, max_tokens=30)
        assert message.stop_reason == "max_tokens"
        assert message.usage.output_tokens == 30
        with client.messages.stream(**given, max_tokens=30) as stream:
            assert stream.get_final_text() == message.content[0].text
            assert stream.get_final_message().usage.output_tokens == 30
        stop = message.content[0].text[10:14]
        cut = client.messages.create(**given, max_tokens=30, stop_sequences=[stop])
        assert message.content[0].text.startswith(cut.content[0].text + stop)
        assert cut.stop_reason == "end_turn"  # llama.cpp does not say which sequence it met
        told = message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0)
        assert (
            client.messages.count_tokens(model="tiny-gguf", system="be  short", messages=ASKED[1:]).input_tokens
            == told
            == len(asked.messages({"messages": ASKED}))
        )


def servers(fabric):
    """Processes of llama.cpp on the fabric's hosts, with the host of each."""
    found = {}
    for pid in fabric.processes():
        with contextlib.suppress(OSError):
            if b"model.gguf" in Path(f"/proc/{pid}/cmdline").read_bytes():
                facts = dict(one.partition("=")[::2] for one in Path(f"/proc/{pid}/environ").read_text().split("\0"))
                found[pid] = facts["AETHER_SHIP"]
    return found


def test_llama_cpp_answers_the_gateway_and_nobody_else(fabric):
    with fabric.client() as client:
        job = client.deployment("llama").servers[0].job
    facts = fabric.programs(job)[0]
    url, body = f"http://{facts['AETHER_HOST']}:{facts['AETHER_PORT']}", {"prompt": "import ", "max_tokens": 2}
    with pytest.raises(urllib.error.HTTPError, match="401"):
        post(f"{url}/v1/completions", body)
    assert post(f"{url}/v1/completions", body, facts["AETHER_SERVER_KEY"])["usage"]["completion_tokens"] == 2


def again(fabric, killed):
    """Wait until a server has taken the place of one that was killed."""
    with fabric.client() as client:
        until(lambda: len(set(servers(fabric)) - {killed}) == 2 and client.deployment("llama").ready == 2, 60.0)


def caught(fabric, client):
    """A stream whose server is killed in the midst of it: its text, and what it ended with."""
    given = {
        "model": "tiny-gguf",
        "prompt": "import ",
        "max_tokens": 480,
        "temperature": 0,
        "extra_body": {"ignore_eos": True},
    }
    raw = client.completions.with_raw_response.create(**given, stream=True)
    (pid,) = [pid for pid, host in servers(fabric).items() if host == raw.headers["x-aether-ship"]]
    os.kill(pid, signal.SIGSTOP)  # what it has written by then still comes
    made = []
    try:
        with raw.parse() as stream:
            made.append(next(stream))
            os.kill(pid, signal.SIGKILL)
            for piece in stream:
                made.append(piece)
    except openai.APIError as error:
        return pid, "".join(p.choices[0].text for p in made if p.choices), error
    return pid, "", None


def test_a_killed_server_costs_no_request_and_is_started_again(fabric, key, vendor):
    into = out = 0
    killed = min(servers(fabric))
    os.kill(killed, signal.SIGKILL)
    for n in range(30):
        if n % 2:
            usage = chat(vendor, max_tokens=8).usage
        else:
            usage = list(chat(vendor, max_tokens=8, stream=True, stream_options={"include_usage": True}))[-1].usage
        into, out = into + usage.prompt_tokens, out + usage.completion_tokens
    again(fabric, killed)
    until(lambda: tokens(fabric, key[0]) == (30, 0, into, out))


def test_what_a_server_delivered_before_it_was_killed_is_metered_to_the_token(fabric, key, vendor):
    whole, error = 0, None
    while error is None:
        whole += 1
        assert whole < 6  # it may be through before it is stopped
        pid, text_of, error = caught(fabric, vendor)
        again(fabric, pid)
    assert "lost in mid-answer" in str(error)
    asked_for = whole * len(text.prompt("import "))
    until(lambda: tokens(fabric, key[0]) == (whole, 1, asked_for, 480 * (whole - 1) + len(text_of.encode())))
