"""Two projects at one real fabric: what one has, neither the gateway nor control ever shows the other."""

import io
import json
import sys

import httpx
import pytest

pytest.importorskip("aiohttp", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from aether.fabric import service, views
from aether.fabric.settings import Settings
from live_fabric import LiveFabric, until

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux"),
]
WORD = "heliotrope"  # theirs alone: in their file, their feedback, and what their tuning said before it failed
# an adapter without a training: random low-rank changes large enough to be seen; it fails where it is told to
RUN = """exec "$AETHER_PYTHON" - <<'END'
import json, os, pathlib, sys
import numpy as np
from aether.fabric.tiny.weights import PROJECTIONS, full_name, load, write
train = pathlib.Path(os.environ["AETHER_TRAIN_FILE"]).read_text()
if "fail" in train:
    print(json.dumps({"step": 1, "loss": float("nan"), "said": train}), flush=True)
    sys.exit(1)
base, draw, made = load(), np.random.default_rng(1), {}
for n in range(base.shape.layers):
    for name in PROJECTIONS:
        out, into = base.shape.size(name)
        made[f"{full_name(n, name)}.a"] = draw.normal(size=(2, into))
        made[f"{full_name(n, name)}.b"] = draw.normal(size=(out, 2)) * 0.1
write(pathlib.Path(os.environ["AETHER_OUT"]) / "adapter.npz", made, {"base": base.digest, "rank": 2, "scale": 1.0})
END
"""


class Project:
    """A project and its key at both addresses; everything that it was ever told is kept."""

    def __init__(self, fabric, name):
        with fabric.client() as admin:
            admin.make_project(name)
            secret = admin.make_key(views.NewKey(project=name)).secret
        headers = {"Authorization": f"Bearer {secret}"}
        self.name, self.heard = name, []
        self.models = httpx.Client(base_url=fabric.models, headers=headers, trust_env=False, timeout=30)
        self.control = httpx.Client(base_url=f"{fabric.url}/v1", headers=headers, trust_env=False, timeout=30)
        until(lambda: self.ask("GET", "/models").status_code == 200)

    def ask(self, method, path, at_control=False, **more):
        answer = (self.control if at_control else self.models).request(method, path, **more)
        asked = f"{path} {more.get('json')}"
        self.heard.append((f"{method} {path}", asked, f"{dict(answer.headers)} {answer.text}"))
        return answer

    def upload(self, text):
        answer = self.ask(
            "POST", "/files", files={"file": ("t.jsonl", io.BytesIO(text.encode()))}, data={"purpose": "fine-tune"}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    def tune(self, file, **more):
        answer = self.ask("POST", "/fine_tuning/jobs", json={"model": "aether-tiny", "training_file": file, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    def tuning(self, name):
        return self.ask("GET", f"/fine_tuning/jobs/{name}").json()

    def chat(self, words, model="aether-tiny", conversation=""):
        body = {
            "model": model,
            "messages": [{"role": "user", "content": words}],
            "max_tokens": 8,
            "temperature": 0,
            "user": "same",
        }
        answer = self.ask("POST", "/chat/completions", json=body, headers={"x-aether-conversation": conversation})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def close(self):
        self.models.close()
        self.control.close()


def example(*words):
    turns = [{"role": role, "content": word} for role, word in zip(("user", "assistant"), words, strict=True)]
    return json.dumps({"messages": turns})


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    with LiveFabric(tmp_path_factory.mktemp("isolation"), models=True) as made, made.client() as client:
        made.models = Settings.read(made.home).models_url
        until(lambda: client.deployment("aether-tiny").ready == 2, 60.0)
        asked = service.read(service.packaged()["aether-tiny"]).deployment
        tuning = service.Tuning(run=RUN, continual=service.Continual(at_least=1, every=1))
        client.deploy(asked.model_copy(update={"service": asked.service.model_copy(update={"tuning": tuning})}))
        yield made


@pytest.fixture(scope="module")
def theirs(fabric):
    """A project with a file, a tuned model, one that learns as it is used, and a tuning that failed."""
    made = Project(fabric, "theirs")
    made.file = made.upload(example("What is the code word?", WORD))
    made.tuned = made.tune(made.file, suffix="secret")
    made.failed = made.tune(made.upload(example("fail", WORD)))
    piece = {"model": "aether-tiny", "messages": [{"role": "user", "content": "?"}], "completion": WORD}
    made.feedback = made.ask("POST", "/feedback", json=piece).json()["id"]
    until(lambda: made.tuning(made.tuned)["status"] in ("succeeded", "failed"), 60.0)
    made.model = made.tuning(made.tuned)["fine_tuned_model"]
    assert made.model, made.tuning(made.tuned)
    until(lambda: made.tuning(made.failed)["status"] == "failed", 60.0)
    made.live = "ft:aether-tiny:theirs:live"
    until(lambda: made.live in [m["id"] for m in made.ask("GET", "/models").json()["data"]], 60.0)
    yield made
    made.close()


@pytest.fixture(scope="module")
def other(fabric):
    made = Project(fabric, "other")
    yield made
    made.close()


def test_their_tuned_model_answers_them_and_otherwise_than_the_one_below(theirs):
    words = "def main():\n    "
    below, tuned, live = (theirs.chat(words, m) for m in ("aether-tiny", theirs.model, theirs.live))
    assert tuned["choices"][0]["message"] == live["choices"][0]["message"] != below["choices"][0]["message"]


def test_they_are_told_what_their_tuning_said_before_it_failed(theirs):
    events = theirs.ask("GET", f"/fine_tuning/jobs/{theirs.failed}/events").json()["data"]
    assert [e["data"]["loss"] for e in events if e["type"] == "metrics"] == ["NaN"]
    assert WORD in str(events)


def never(name):
    """A name of the same form that nobody has."""
    return name[:-8] + "".join("z" if c != "z" else "y" for c in name[-8:])


def same_but_for_the_name(other, method, path, name, headers=None, **more):
    """Whether what is theirs is answered as what nobody has, byte for byte but for the name; the answer."""
    told = []
    for asked in (name, never(name)):
        body = {k: json.loads(json.dumps(v).replace("NAME", asked)) for k, v in more.items()}
        answer = other.ask(method, path.replace("NAME", asked), headers=headers or {}, **body)
        kept = {
            k: v
            for k, v in answer.headers.items()
            if k not in ("date", "x-request-id", "request-id", "openai-processing-ms")
        }
        text = (
            answer.text.replace(asked.removeprefix("ft:"), "NAME")
            .replace("ft:NAME", "NAME")
            .replace(answer.headers.get("request-id", "none"), "ID")
        )
        told.append((answer.status_code, kept, text))
    assert told[0] == told[1]
    assert told[0][0] in (400, 404), told
    return told[0]


CHAT = {"model": "NAME", "messages": [{"role": "user", "content": "a"}], "max_tokens": 2}


@pytest.mark.parametrize("of", ["model", "live", "tuned", "failed", "file"])
def test_no_endpoint_tells_their_models_from_what_is_not(theirs, other, of):
    name = getattr(theirs, of)
    for path, body in (
        ("/chat/completions", CHAT), ("/chat/completions", {**CHAT, "stream": True}), ("/completions", {"model": "NAME", "prompt": "a"}),
        ("/embeddings", {"model": "NAME", "input": "a"}), ("/responses", {"model": "NAME", "input": "a"}),
        ("/responses/input_tokens", {"model": "NAME", "input": "a"}),
        ("/messages", CHAT), ("/messages/count_tokens", {k: CHAT[k] for k in ("model", "messages")}),
    ):  # fmt: skip
        assert same_but_for_the_name(other, "POST", path, name, json=body)[0] == 404
    for headers in ({}, {"anthropic-version": "2023-06-01"}):
        assert same_but_for_the_name(other, "GET", "/models/NAME", name, headers)[0] == 404
    assert same_but_for_the_name(other, "DELETE", "/models/NAME", name)[0] == 404
    tune = {"model": "NAME", "training_file": other.upload(example("a", "b"))}
    assert same_but_for_the_name(other, "POST", "/fine_tuning/jobs", name, json=tune)[0] == 400
    piece = {"model": "NAME", "messages": [{"role": "user", "content": "a"}], "completion": "b"}
    assert same_but_for_the_name(other, "POST", "/feedback", name, json=piece)[0] == 400


@pytest.mark.parametrize("of", ["tuned", "failed"])
def test_their_tunings_are_as_if_they_were_not(theirs, other, of):
    name = getattr(theirs, of)
    for method, path in (("GET", ""), ("GET", "/events"), ("GET", "/checkpoints"), ("POST", "/cancel")):
        assert same_but_for_the_name(other, method, f"/fine_tuning/jobs/NAME{path}", name)[0] == 404
    assert theirs.tuning(name)["status"] == ("succeeded" if of == "tuned" else "failed")


def test_their_files_can_neither_be_read_nor_deleted_nor_learnt_from(theirs, other):
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        assert same_but_for_the_name(other, method, f"/files/NAME{path}", theirs.file)[0] == 404
    mine = other.upload(example("a", "b"))
    for body in ({"training_file": "NAME"}, {"training_file": mine, "validation_file": "NAME"}):
        tune = {"model": "aether-tiny", **body}
        assert same_but_for_the_name(other, "POST", "/fine_tuning/jobs", theirs.file, json=tune)[0] == 400
    assert theirs.ask("GET", f"/files/{theirs.file}/content").text == example("What is the code word?", WORD)
    assert theirs.chat("a", theirs.model)["model"] == theirs.model


def test_a_prompt_that_they_had_cached_is_read_anew_for_another(fabric, theirs, other):
    words = "x = 1  # the very same words for everybody, " * 5
    with fabric.client() as client:
        ships = {s.host for s in client.deployment("aether-tiny").servers}

    def first_and_last(project):
        """Cached tokens of the first request and of the last one at each ship."""
        firsts, lasts = {}, {}
        for n in range(40):
            usage = project.chat(words, conversation=str(n // 2))["usage"]
            ship, cached = usage["aether"]["ship"], usage["prompt_tokens_details"]["cached_tokens"]
            firsts.setdefault(ship, cached)
            lasts[ship] = cached
            if n % 2 and set(firsts) == ships and all(lasts.values()):
                break
        return firsts, lasts

    for project in (theirs, other):
        firsts, lasts = first_and_last(project)
        assert set(firsts) == ships
        if project is other:
            assert set(firsts.values()) == {0}
        assert min(lasts.values()) > 150


def test_nothing_that_the_other_project_was_ever_told_is_theirs(theirs, other):
    for path in ("/models", "/files", "/fine_tuning/jobs"):
        other.ask("GET", path)
        other.ask("GET", path, headers={"anthropic-version": "2023-06-01"})
    for path in (
        "/jobs?servers=true",
        "/deployments",
        "/deployments/aether-tiny",
        "/usage",
        "/audit",
        "/fabric",
        "/ships",
        "/projects",
    ):
        assert other.ask("GET", path, at_control=True).status_code == 200
    jobs = [theirs.tuning(name)["aether"]["job"] for name in (theirs.tuned, theirs.failed)]
    own = {"file": theirs.file, "tuning": theirs.tuned, "failed": theirs.failed, "model": theirs.model, "live": theirs.live, "word": WORD,
           "feedback": theirs.feedback} | {job: job for job in jobs}  # fmt: skip
    for what, name in own.items():
        leaks = [what for what, asked, told in other.heard if name in told and name not in asked]
        assert leaks == [], what
