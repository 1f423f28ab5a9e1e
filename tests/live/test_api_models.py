"""Deployments, files, tunings and feedback over the API, with runtimes and gateway played."""

import io
import json
import statistics
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from aether.base.errors import InputError
from aether.fabric import continual, protocol, service
from aether.fabric.api import logs
from aether.fabric.core import demand
from aether.fabric.core.events import Conditions, Crossed
from aether.fabric.gateway.feed import Feed
from aether.workloads.tuning import tuning_flops
from api_play import Api, Ship, Time

SERVICE = {
    "name": "m", "service": {"model": "small", "replicas": 2, "price": {"input": 2.0, "output": 3.0},
                "tuning": {"run": "true", "continual": {"at_least": 2, "every": 1}}},
    "task": {"run": "serve"},
}  # fmt: skip
LINE = json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})


class World:
    """A fabric with two ships, and a gateway that is played."""

    def __init__(self, folder):
        self.time = Time()
        self.api = Api(folder, self.time)
        self.ships = {n: Ship(self.api, n) for n in ("a/0", "a/1", "site")}
        for ship in self.ships.values():
            ship.join()
        self.seen: set[str] = set()

    def deploy(self, key=None, **changed):
        asked = SERVICE | changed
        return self.api.ask("POST", "/v1/deployments", key, {"deployment": asked})

    def gateway(self, **word) -> Feed:
        body = {"journal": "1" * 32, "seen": -1} | word
        answer = self.api.ask("POST", "/gateway/v1/sync", self.api.given.token("/gateway"), body)
        assert answer.status_code == 200, answer.text
        return Feed.model_validate_json(answer.text)

    def servers(self, name="m"):
        return [s["job"] for s in self.api.ask("GET", f"/v1/deployments/{name}").json()["servers"]]

    def serve(self, count=2, name="m", answers=True):
        """Let all servers run, and answer."""
        for job in self.api.until(lambda: (found := self.servers(name)) and len(found) == count and found):
            if job not in self.seen:
                self.seen.add(job)
                self.host(job).work(job, code=None)
        return self.gateway(ready=self.servers(name) if answers else ())

    def host(self, job):
        view = self.api.until(lambda: (v := self.api.ask("GET", f"/v1/jobs/{job}").json())["attempt"] and v)
        return self.ships[view["attempt"]["members"][0]["host"]]

    def attempt(self, job):
        return f"{job}/{self.api.ask('GET', f'/v1/jobs/{job}').json()['attempts']}"


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.api.close()


def upload(world, key=None, text=LINE):
    answer = world.api.ask(
        "POST", "/v1/files", key, files={"file": ("t.jsonl", io.BytesIO(text.encode()))}, data={"purpose": "fine-tune"}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def test_a_deployment_has_as_many_servers_as_it_asks_for_and_the_gateway_is_told_where(world):
    assert world.deploy().status_code == 201
    feed = world.serve()
    (there,) = feed.deployments
    assert (there.model, len(there.replicas), there.price_out_usd_mtok) == ("small", 2, 3.0)
    assert {r.url for r in there.replicas} == {"http://127.0.0.1:20000"}
    assert {h.name for h in feed.hosts} == {r.host for r in there.replicas}
    assert world.api.ask("GET", "/v1/jobs").json()["jobs"] == []
    assert len(world.api.ask("GET", "/v1/jobs?servers=true").json()["jobs"]) == 2


def test_a_server_that_ends_is_started_again_after_a_while_that_grows(world):
    world.deploy(service=SERVICE["service"] | {"replicas": 1}, task={"run": "serve", "orbit": {"retries": 0}})
    world.serve(1)
    (job,) = world.servers()
    world.host(job).say(protocol.Ended(attempt=world.attempt(job), rank=0, how="exit", code=3))
    assert world.servers() == []
    assert "ended 1 times" in world.api.ask("GET", "/v1/deployments/m").json()["reason"]
    world.time.go(3.0)
    (again,) = world.api.until(world.servers)
    assert again != job


def probed(**probe):
    return SERVICE["service"] | {"replicas": 2, "readiness_probe": {"path": "/ready", **probe}}


def test_a_server_that_never_answers_is_given_up_and_another_takes_its_place(world):
    world.deploy(service=probed(initial_delay_seconds=0.5), task={"run": "serve"})
    world.serve(answers=False)
    good, mute = world.servers()
    world.api.until(lambda: world.gateway(ready=[good]) and world.api.status(mute) == "stopping")
    job = world.api.ask("GET", f"/v1/jobs/{mute}").json()
    assert (job["status"], job["attempt"]["reason"]) == ("stopping", "it did not answer at /ready for 0.5 s")
    assert world.api.status(good) == "running"
    world.host(mute).say(protocol.Ended(attempt=world.attempt(mute), rank=0, how="stopped", code=-15))
    assert world.api.status(mute) == "failed"
    told = world.api.ask("GET", "/v1/deployments/m").json()["reason"]
    assert told.startswith("its servers ended 1 times, the last as it did not answer at /ready for 0.5 s; the next")
    world.time.go(3.0)
    world.api.until(lambda: len(found := world.servers()) == 2 and mute not in found)
    assert world.api.ask("GET", "/v1/deployments/m").json()["reason"] == ""


def test_a_server_is_not_given_up_while_nobody_can_ask_it(world):
    world.deploy(service=probed(initial_delay_seconds=0.2), task={"run": "serve"})
    world.serve(answers=False)
    told, jobs = world.api.plane.demand, world.servers()
    host = world.host(jobs[0])
    world.api.put(Conditions(crossed=(Crossed(host=host.name, gpus=8, contact=False),)))
    for _ in range(4):
        world.gateway(ready=[jobs[1]])
        time.sleep(0.1)
    assert told.silent_s == {}
    assert world.servers() == jobs
    world.api.put(Conditions(crossed=(Crossed(host=host.name, gpus=8),)))
    world.api.given.follower.now[host.name] = {"paused": True}
    world.gateway(ready=[jobs[1]])
    assert told.silent_s == {}
    world.api.given.follower.now[host.name] = {"paused": False}
    world.api.until(lambda: world.gateway(ready=[jobs[1]]) and world.api.status(jobs[0]) != "running")


def test_a_server_that_begins_anew_has_its_whole_time_to_come_up_again(world, monkeypatch):
    monkeypatch.setattr(demand, "QUIET_S", 0.0)
    world.deploy(service=probed(), task={"run": "serve"})
    world.serve()
    good, moved = world.servers()
    world.host(moved).say(protocol.Ended(attempt=world.attempt(moved), rank=0, how="stopped", code=-15))
    world.api.until(lambda: world.api.ask("GET", f"/v1/jobs/{moved}").json()["attempts"] == 2)
    world.host(moved).work(moved, code=None)
    told = world.api.plane.demand
    world.api.until(lambda: world.gateway(ready=[good]) and told.silent_s.get((moved, 2), 0.0) > 0.3)
    assert told.given_up(world.api.plane.state) == []
    assert world.api.status(moved) == "running"


def test_a_server_that_has_answered_and_hangs_is_given_up_later(world, monkeypatch):
    monkeypatch.setattr(demand, "QUIET_S", 0.5)
    world.deploy(service=probed(), task={"run": "serve"})
    world.serve()
    good, hangs = world.servers()
    world.api.until(lambda: world.gateway(ready=[good]) and world.api.status(hangs) == "stopping")
    assert world.api.status(good) == "running"


def test_servers_of_a_new_version_take_over_once_they_answer(world):
    world.deploy()
    world.serve()
    old = set(world.servers())
    world.deploy(task={"run": "serve better"})
    both = set(world.api.until(lambda: len(found := world.servers()) == 4 and found))
    assert old < both
    new = both - old
    for job in new:
        world.seen.add(job)
        world.host(job).work(job, code=None)
    world.gateway(ready=sorted(new))
    told = world.api.until(
        lambda: (
            (rows := world.api.ask("GET", "/v1/deployments/m").json()["servers"])
            and all(r["status"] == "stopping" for r in rows if r["job"] in old)
            and rows
        )
    )
    assert {r["status"] for r in told if r["job"] in new} == {"running"}
    leaving = {r.id for r in world.gateway().deployments[0].replicas if r.leaving}
    assert leaving == old


def test_another_price_needs_no_other_servers(world):
    world.deploy()
    world.serve()
    before = world.servers()
    world.deploy(service=SERVICE["service"] | {"price": {"input": 9.0}})
    assert world.servers() == before
    assert world.gateway().deployments[0].price_in_usd_mtok == 9.0


def test_a_deployment_that_is_taken_down_ends_its_servers(world):
    world.deploy()
    world.serve()
    jobs = world.servers()
    assert world.api.ask("DELETE", "/v1/deployments/m").status_code == 200
    assert world.gateway().deployments == ()
    for job in jobs:
        world.api.until(lambda job=job: world.api.status(job) == "stopping")


def test_more_servers_come_with_more_requests_and_go_with_fewer(world):
    policy = {
        "min_replicas": 1,
        "max_replicas": 3,
        "target_qps_per_replica": 10,
        "upscale_delay_seconds": 60,
        "downscale_delay_seconds": 600,
    }
    world.deploy(service={"model": "small", "replica_policy": policy})
    world.serve(1)
    world.gateway(asked_per_s={"default/m": 29.0}, ready=world.servers())
    world.api.until(lambda: world.api.plane.demand.since_s.get("default/m", (0,))[0] == 1)
    world.time.go(30.0)
    assert len(world.servers()) == 1
    world.time.go(31.0)
    world.gateway(asked_per_s={"default/m": 29.5}, ready=world.servers())
    world.api.until(lambda: len(world.servers()) == 3)


def test_tallies_are_stored_once_with_their_price(world):
    world.deploy()
    tally = {"n": 1, "key": "k", "project": "default", "deployment": "default/m", "model": "small", "host": "a/0", "start_ms": 0, "end_ms": 1000,
             "requests": 2, "errors": 1, "input_tokens": 1000, "output_tokens": 100, "cached_tokens": 10}  # fmt: skip
    assert world.gateway(tallies=[tally]).acknowledged == 1
    assert world.gateway(tallies=[tally, tally | {"n": 2, "input_tokens": 0}]).acknowledged == 2
    (row,) = world.api.ask("GET", "/v1/usage").json()["tokens"]
    assert (row["requests"], row["errors"], row["input_tokens"], row["output_tokens"]) == (4, 2, 1000, 200)
    assert row["price_micro_usd"] == 1000 * 2 + 100 * 3 + 100 * 3


def test_only_the_gateway_may_speak_as_the_gateway(world):
    for key in (world.api.admin, world.api.given.token("a/0"), ""):
        assert world.api.ask("POST", "/gateway/v1/sync", key, {"journal": "1" * 32, "seen": -1}).status_code == 401


def test_an_adapter_is_pushed_to_all_servers_before_its_model_answers(world):
    world.deploy()
    world.serve()
    file = upload(world)
    made = world.api.ask("POST", "/v1/fine_tuning/jobs", None, {"model": "small", "training_file": file, "suffix": "x"})
    assert made.status_code == 200, made.text
    tuning = made.json()
    assert (tuning["status"], tuning["fine_tuned_model"]) == ("queued", None)
    job = tuning["aether"]["job"]
    ship = world.host(job)
    ship.work(job, code=None)
    attempt = world.attempt(job)
    blob = "sha256:" + "7" * 64
    ship.say(
        protocol.Checkpointed(attempt=attempt, rank=0, digest=blob, size_bytes=5),
        protocol.Ended(attempt=attempt, rank=0, how="exit", code=0),
    )
    ordered = {}
    for server in world.servers():
        host = world.host(server)
        orders = world.api.until(
            lambda host=host, server=server: [
                o for o in host.say()["orders"] if o["attempt"].startswith(server) and o["adapters"]
            ]
        )
        ordered[server] = orders[0]["adapters"]
    assert all(a == {tuning["id"]: blob} for a in ordered.values())
    assert world.gateway().adapters == ()
    first, second = world.servers()
    world.host(first).say(protocol.Adapted(attempt=world.attempt(first), rank=0, adapters={tuning["id"]: blob}))
    assert world.gateway().adapters == ()
    world.host(second).say(protocol.Adapted(attempt=world.attempt(second), rank=0, adapters={tuning["id"]: blob}))
    (told,) = world.api.until(lambda: world.gateway().adapters)
    now = world.api.ask("GET", f"/v1/fine_tuning/jobs/{tuning['id']}").json()
    assert (now["status"], now["fine_tuned_model"]) == ("succeeded", told.model)
    assert told.model.startswith("ft:small:default:x:")
    assert told.upstream == tuning["id"]
    assert world.api.ask("DELETE", f"/v1/models/{told.model}").json()["deleted"] is True
    assert world.gateway().adapters == ()


def test_a_tuning_whose_adapter_a_server_refuses_has_failed(world):
    world.deploy(service=SERVICE["service"] | {"replicas": 1})
    world.serve(1)
    tuning = world.api.ask(
        "POST", "/v1/fine_tuning/jobs", None, {"model": "small", "training_file": upload(world)}
    ).json()
    job, blob = tuning["aether"]["job"], "sha256:" + "7" * 64
    ship = world.host(job)
    ship.work(job, code=None)
    attempt = world.attempt(job)
    ship.say(
        protocol.Checkpointed(attempt=attempt, rank=0, digest=blob, size_bytes=5),
        protocol.Ended(attempt=attempt, rank=0, how="exit", code=0),
    )
    (server,) = world.servers()
    world.host(server).say(
        protocol.Adapted(attempt=world.attempt(server), rank=0, refused={tuning["id"]: "made for other weights"})
    )
    now = world.api.until(
        lambda: (t := world.api.ask("GET", f"/v1/fine_tuning/jobs/{tuning['id']}").json())["status"] == "failed" and t
    )
    assert now["error"]["message"] == "made for other weights"


def test_a_tuning_that_failed_says_what_its_program_said(world):
    world.deploy(service=SERVICE["service"] | {"replicas": 1})
    world.serve(1)
    hyper = {"batch_size": 4, "learning_rate_multiplier": 0.00001, "n_epochs": 3}
    asked = {"model": "small", "training_file": upload(world), "hyperparameters": hyper}
    made = world.api.ask("POST", "/v1/fine_tuning/jobs", None, asked).json()
    assert made["hyperparameters"] == hyper
    job = made["aether"]["job"]
    for _ in range(2):  # it is tried once more
        ship = world.host(job)
        ship.work(job, code=None)
        attempt = world.attempt(job)
        logs.append(world.api.given, attempt, 0, 0, b'{"error": "t.jsonl: line 3: no"}\n')
        ship.say(protocol.Ended(attempt=attempt, rank=0, how="exit", code=2))
        world.time.go(30.0)
    where = f"/v1/fine_tuning/jobs/{made['id']}"
    now = world.api.until(lambda: (t := world.api.ask("GET", where).json())["status"] == "failed" and t)
    assert now["error"]["message"].startswith("t.jsonl: line 3: no (")
    assert now["aether"]["why"] == "no adapter has come of it"
    assert "line 3" in world.api.ask("GET", f"{where}/events").json()["data"][0]["message"]


def test_feedback_becomes_a_round_of_tuning_whose_freshness_is_measured(world):
    world.deploy(service=SERVICE["service"] | {"replicas": 1})
    world.serve(1)
    piece = {"model": "small", "messages": [{"role": "user", "content": "a"}], "completion": "b"}
    assert world.api.ask("POST", "/v1/feedback", None, piece).status_code == 201
    assert continual.look(world.api.given) == 0
    world.time.go(10.0)
    world.api.ask("POST", "/v1/feedback", None, piece)
    assert continual.look(world.api.given) == 1
    assert continual.look(world.api.given) == 0
    (tuning,) = world.api.ask("GET", "/v1/fine_tuning/jobs").json()["data"]
    job, blob = tuning["aether"]["job"], "sha256:" + "7" * 64
    ship = world.host(job)
    ship.work(job, code=None)
    attempt = world.attempt(job)
    ship.say(
        protocol.Checkpointed(attempt=attempt, rank=0, digest=blob, size_bytes=5),
        protocol.Ended(attempt=attempt, rank=0, how="exit", code=0),
    )
    world.time.go(5.0)
    (server,) = world.servers()
    world.host(server).say(protocol.Adapted(attempt=world.attempt(server), rank=0, adapters={tuning["id"]: blob}))
    (told,) = world.api.until(lambda: world.gateway().adapters)
    assert told.model == "ft:small:default:live"
    fresh = world.api.ask("GET", f"/v1/fine_tuning/jobs/{tuning['id']}").json()["aether"]["freshness_s"]
    assert sorted(round(f) for f in fresh) == [5, 15]
    shown = world.api.ask("GET", "/v1/deployments/m").json()["freshness"]
    assert (shown["pieces"], round(shown["measured_s"]), shown["modelled_s"]) == (2, 10, None)


def tuned(world, said, **more):
    """A round of two pieces, 10 s apart, that took 5 s on one ship and is served by another; the tuning as it is shown."""
    asked = SERVICE["service"]["tuning"] | more
    world.api.given.follower.now = {
        n: {"latitude_deg": 0.0, "longitude_deg": 10.0 * i, "altitude_m": 5e5, "link_bit_s": 1e6}
        for i, n in enumerate(("a/0", "a/1", "site"))
    }
    assert world.deploy(service=SERVICE["service"] | {"replicas": 1, "tuning": asked}).status_code == 201
    world.serve(1)
    piece = {"model": "small", "messages": [{"role": "user", "content": "a"}], "completion": "b"}
    world.api.ask("POST", "/v1/feedback", None, piece)
    world.time.go(10.0)
    world.api.ask("POST", "/v1/feedback", None, piece)
    continual.look(world.api.given)
    (made,) = world.api.ask("GET", "/v1/fine_tuning/jobs").json()["data"]
    assert made["aether"]["why"] == "it is not trained yet"
    job, blob = made["aether"]["job"], "sha256:" + "7" * 64
    ship = world.host(job)
    ship.work(job, code=None)
    attempt = world.attempt(job)
    logs.append(world.api.given, attempt, 0, 0, (json.dumps(said) + "\n").encode())
    ship.say(
        protocol.Checkpointed(attempt=attempt, rank=0, digest=blob, size_bytes=5),
        protocol.Ended(attempt=attempt, rank=0, how="exit", code=0),
    )
    world.time.go(5.0)
    (server,) = world.servers()
    world.host(server).say(protocol.Adapted(attempt=world.attempt(server), rank=0, adapters={made["id"]: blob}))
    world.api.until(lambda: world.gateway().adapters)
    return world.api.ask("GET", f"/v1/fine_tuning/jobs/{made['id']}").json()["aether"]


def test_the_modelled_freshness_stands_beside_the_measured_one(world):
    told = tuned(world, {"trained_tokens": 1e6, "mean_tokens": 500, "rank": 8}, shape="llama-3.1-8b")
    made, catalog = told["modelled"], world.api.given.catalog
    assert (made["accelerator"], made["gpus"], made["shape"], made["rank"]) == ("b200", 1, "llama-3.1-8b", 8)
    flops = tuning_flops(catalog.model("llama-3.1-8b"), 1e6, 500.0, "lora", 8)
    assert made["trained_s"] == pytest.approx(flops / (float(catalog.accelerator("b200").bf16) * 0.35), rel=1e-5)
    assert made["served_s"] == pytest.approx(made["trained_s"] + made["sent_s"] + made["swap_s"], rel=1e-4)
    assert sorted(f - made["served_s"] for f in made["freshness_s"]) == pytest.approx([0.0, 10.0], abs=0.2)
    assert made["assumptions"]["tuning.compute_efficiency"] == 0.35
    assert sorted(round(f) for f in told["freshness_s"]) == [5, 15]
    shown = world.api.ask("GET", "/v1/deployments/m").json()["freshness"]
    assert shown["modelled_s"] == pytest.approx(statistics.median(made["freshness_s"]), rel=1e-4)
    assert (shown["accelerator"], shown["gpus"], shown["pieces"]) == ("b200", 1, 2)
    other = world.api.key("other", "read")
    assert world.api.ask("GET", "/v1/deployments/m", other).status_code == 404


@pytest.mark.parametrize(
    ("said", "more", "why"),
    [({"trained_tokens": 1000}, {}, "the shape of 'small' is not known"), ({"loss": 1}, {"shape": "aether-tiny"}, "told no trained_tokens")],
)  # fmt: skip
def test_what_cannot_be_modelled_says_why(world, said, more, why):
    told = tuned(world, said, **more)
    assert told["modelled"] is None
    assert why in told["why"]


def test_a_shape_that_the_catalog_has_not_is_refused_with_the_nearest(world):
    answer = world.deploy(service=SERVICE["service"] | {"tuning": {"run": "true", "shape": "llama-3.1-8"}})
    assert answer.status_code == 422
    assert "service.tuning.shape" in answer.text
    assert "llama-3.1-8b" in answer.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no examples"),
        ("{", "line 1: is no JSON"),
        ('{"messages": []}', "line 1: has no list `messages`"),
        (
            LINE + '\n{"messages": [{"role": "user", "content": "x"}]}',
            "line 2: does not end with a message of the assistant",
        ),
    ],
)
def test_bad_examples_are_refused_with_their_lines_in_the_vendors_form(world, text, told):
    world.deploy()
    answer = world.api.ask(
        "POST", "/v1/fine_tuning/jobs", None, {"model": "small", "training_file": upload(world, text=text)}
    )
    assert answer.status_code == 400
    assert told in answer.json()["error"]["message"]
    assert answer.json()["error"]["param"] == "training_file"


def test_files_tunings_and_models_of_another_project_are_as_if_they_were_not(world):
    world.deploy()
    file = upload(world)
    other = world.api.key("other", "write")
    never = "file-" + "z" * 24
    for path in ("/v1/files/{}", "/v1/files/{}/content"):
        theirs, nobodys = (world.api.ask("GET", path.format(n), other) for n in (file, never))
        assert theirs.status_code == nobodys.status_code == 404
        assert theirs.text.replace(file, "X") == nobodys.text.replace(never, "X")
    assert world.api.ask("DELETE", f"/v1/files/{file}", other).status_code == 404
    assert world.api.ask("GET", "/v1/files", other).json()["data"] == []
    assert world.api.ask("GET", "/v1/deployments/m", other).status_code == 404
    answer = world.api.ask(
        "POST", "/v1/fine_tuning/jobs", other, {"model": "small", "training_file": upload(world, other)}
    )
    assert (answer.status_code, "does not exist" in answer.json()["error"]["message"]) == (400, True)
    assert world.api.ask("DELETE", "/v1/deployments/m", other).status_code == 404


def test_servers_outside_the_fabric_want_an_administrator(world):
    outside = {"name": "o", "service": {"url": "http://127.0.0.1:9/v1"}}
    assert (
        world.api.ask("POST", "/v1/deployments", world.api.key("p", "write"), {"deployment": outside}).status_code
        == 403
    )
    assert world.api.ask("POST", "/v1/deployments", None, {"deployment": outside}).status_code == 201
    more = {"name": "q", "service": {"url": ["http://127.0.0.1:7", "http://127.0.0.1:8"]}}
    assert world.api.ask("POST", "/v1/deployments", None, {"deployment": more}).status_code == 201
    there, others = world.gateway().deployments
    assert [(r.host, r.url) for r in there.replicas] == [("", "http://127.0.0.1:9")]
    assert len({r.id for r in (*there.replicas, *others.replicas)}) == 3
    world.gateway(ready=[others.replicas[1].id])
    rows = world.api.ask("GET", "/v1/deployments").json()["deployments"]
    assert [(r["name"], r["ready"]) for r in rows] == [("o", 0), ("q", 1)]


def test_a_probe_of_skypilots_form_is_taken_whole_with_the_tasks_variables(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("""
envs: {MODEL: meta/small, TOKEN: null}
service:
  upstream: ${MODEL}
  readiness_probe:
    path: /v1/chat/completions
    post_data: {model: $MODEL, messages: [{role: user, content: "$OTHER costs $5, ${MODEL}"}], max_tokens: 1}
    initial_delay_seconds: 90
    timeout_seconds: 20
  tuning: {run: train $MODEL}
run: serve $MODEL
""")
    made = service.read(path, {"TOKEN": "t"}).deployment
    probe = made.service.readiness_probe
    assert json.loads(probe.post_data)["model"] == "meta/small"
    assert json.loads(probe.post_data)["messages"][0]["content"] == "$OTHER costs $5, meta/small"
    assert (probe.path, probe.initial_delay_seconds, probe.timeout_seconds) == ("/v1/chat/completions", 90.0, 20.0)
    assert [p.patience_s for p in (probe, service.Probe(), service.Probe(post_data="{}"))] == [20.0, 2.0, 15.0]
    assert (made.service.upstream, made.service.tuning.run) == ("meta/small", "train $MODEL")
    assert service.Deployment.model_validate_json(made.model_dump_json()) == made


def test_a_probe_as_older_logs_have_it_is_still_read():
    assert service.Service.model_validate({"readiness_probe": "/well"}).readiness_probe == service.Probe(path="/well")
    assert service.Service.model_validate({}).readiness_probe.path == "/health"


def test_the_packaged_deployment_is_read_whole():
    made = service.read(service.packaged()["aether-tiny"]).deployment
    assert made.service.least == 2
    assert made.service.tuning is not None
    assert made.task is not None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: x\nrun: true\n", "x.yaml: service: there is no such block"),
        ("service: {replicas: 0}\nrun: serve\n", "x.yaml:1: service.replicas"),
        (
            "service: {replcas: 1}\nrun: serve\n",
            "x.yaml:1: service.replcas: unknown key 'replcas'; did you mean 'replicas'?",
        ),
        ("service: {load_balancing_policy: x}\nrun: serve\n", "'load_balancing_policy' is not taken here"),
        ("service:\n  url: ftp://x\n", "x.yaml:2: service.url: 'ftp://x' is no address"),
        ("service: {}\n", "run: is missing"),
        ("service: {ports: 8080}\nrun: serve\n", "'ports' is not taken here. A server listens at $AETHER_HOST"),
        ("service: {}\nresources: {ports: 8080}\nrun: serve\n", "x.yaml:2: resources.ports: 'ports' is not taken here"),
        ("service:\n  readiness_probe: {post_data: '[1'}\nrun: serve\n", "what is posted is a JSON object"),
        ("service:\n  readiness_probe: {paht: /}\nrun: serve\n", "unknown key 'paht'; did you mean 'path'?"),
        ("service:\n  readiness_probe: {timeout_seconds: 0}\nrun: serve\n", "service.readiness_probe.timeout_seconds"),
        ("service: {url: 'http://x', tuning: {run: a}}\n", "cannot be given adapters"),
        (
            "service: {replica_policy: {min_replicas: 3, max_replicas: 2}}\nrun: a\n",
            "max_replicas lies below min_replicas",
        ),
        ("service: {}\nrun: serve\nnum_nodes: 2\n", "a server is one node"),
    ],
)
def test_a_wrong_service_is_told_with_file_line_and_path(tmp_path, monkeypatch, text, told):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        service.read(Path("x.yaml"))
    assert told in str(error.value)
