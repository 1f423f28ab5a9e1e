"""Projects and keys: over every endpoint, nobody is told anything of what is another's."""

import hashlib
import hmac
import json

import pytest

pytest.importorskip("fastapi", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from aether.fabric import tenancy
from aether.fabric.api import runtimes
from aether.fabric.core import events
from api_play import TASK, Api, Ship, Time

BLOB = b"alpha's data"
DIGEST = "sha256:" + hashlib.sha256(BLOB).hexdigest()
OWN = "sha256:" + hashlib.sha256(b"beta's data").hexdigest()
NEVER = "sha256:" + "0" * 64
ANY = ("admin", "write", "read", "watch")
READ, WRITE, ADMIN, WATCH = ("admin", "write", "read"), ("admin", "write"), ("admin",), ("admin", "watch")
# who may, what is asked; {job} is a job of the key's own project
ENDPOINTS = {
    "POST /v1/jobs": (WRITE, "/v1/jobs", {"task": TASK}),
    "POST /v1/jobs/batch": (WRITE, "/v1/jobs/batch", {"tasks": [TASK, TASK]}),
    "GET /v1/jobs": (READ, "/v1/jobs?limit=1000", None),
    "GET /v1/jobs/{name}": (READ, "/v1/jobs/{job}", None),
    "POST /v1/jobs/cancel": (WRITE, "/v1/jobs/cancel", {"jobs": ["{job}"]}),
    "GET /v1/jobs/{name}/logs": (READ, "/v1/jobs/{job}/logs", None),
    "GET /v1/ships": (READ, "/v1/ships", None),
    "POST /v1/cordon/{name}": (ADMIN, "/v1/cordon/a/0", {"closed": False}),
    "POST /v1/drain/{name}": (ADMIN, "/v1/drain/a/0", {"closed": False}),
    "POST /v1/faults": (ADMIN, "/v1/faults", {"kind": "clock", "by_s": 1.0}),
    "GET /v1/projects": (READ, "/v1/projects", None),
    "POST /v1/projects": (ADMIN, "/v1/projects", {"project": "gamma"}),
    "GET /v1/keys": (ADMIN, "/v1/keys", None),
    "POST /v1/keys": (ADMIN, "/v1/keys", {"project": "default"}),
    "DELETE /v1/keys/{key}": (ADMIN, "/v1/keys/{spare}", None),
    "GET /v1/usage": (READ, "/v1/usage", None),
    "GET /v1/audit": (READ, "/v1/audit?limit=1000", None),
    "GET /v1/audit/verify": (ADMIN, "/v1/audit/verify", None),
    "GET /v1/events": (READ, "/v1/events?after=0", None),
    "PUT /v1/blobs/{digest}": (WRITE, "/v1/blobs/" + OWN, b"beta's data"),
    "POST /v1/deployments": (
        WRITE,
        "/v1/deployments",
        {"deployment": {"name": "m-{project}", "service": {}, "task": {"run": "serve"}}},
    ),
    "GET /v1/deployments": (READ, "/v1/deployments", None),
    "GET /v1/deployments/{name}": (READ, "/v1/deployments/{fresh deployment}", None),
    "DELETE /v1/deployments/{name}": (WRITE, "/v1/deployments/{fresh deployment}", None),
    "POST /v1/files": (WRITE, "/v1/files", None),
    "GET /v1/files": (READ, "/v1/files", None),
    "GET /v1/files/{file}": (READ, "/v1/files/{fresh file}", None),
    "GET /v1/files/{file}/content": (READ, "/v1/files/{fresh file}/content", None),
    "DELETE /v1/files/{file}": (WRITE, "/v1/files/{fresh file}", None),
    "POST /v1/fine_tuning/jobs": (WRITE, "/v1/fine_tuning/jobs", {"model": "shared", "training_file": "{fresh file}"}),
    "GET /v1/fine_tuning/jobs": (READ, "/v1/fine_tuning/jobs", None),
    "GET /v1/fine_tuning/jobs/{tuning}": (READ, "/v1/fine_tuning/jobs/{fresh tuning}", None),
    "GET /v1/fine_tuning/jobs/{tuning}/events": (READ, "/v1/fine_tuning/jobs/{fresh tuning}/events", None),
    "GET /v1/fine_tuning/jobs/{tuning}/checkpoints": (READ, "/v1/fine_tuning/jobs/{fresh tuning}/checkpoints", None),
    "POST /v1/fine_tuning/jobs/{tuning}/cancel": (WRITE, "/v1/fine_tuning/jobs/{fresh tuning}/cancel", None),
    "DELETE /v1/models/{model}": (WRITE, "/v1/models/{fresh model}", None),
    "POST /v1/feedback": (
        WRITE,
        "/v1/feedback",
        {"model": "shared", "messages": [{"role": "user", "content": "a"}], "completion": "b"},
    ),
    "GET /health": (None, "/health", None),
    "GET /ready": (None, "/ready", None),
    "GET /v1/fabric": (READ, "/v1/fabric", None),
    "GET /metrics": (WATCH, "/metrics", None),
}


VENDORS = ("/v1/files", "/v1/fine_tuning", "/v1/models", "/v1/feedback")  # whose errors have another form
EXAMPLE = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
SHARED = {
    "name": "shared",
    "service": {"shared": True, "tuning": {"run": "true", "continual": {}}},
    "task": {"run": "serve"},
}


class World:
    """Two projects of one fabric; alpha has one of everything."""

    def __init__(self, folder):
        self.api = api = Api(folder, Time())
        self.keys = {
            f"{project} {scope}": api.key(project, scope)
            for project in ("alpha", "beta")
            for scope in ("write", "read", "watch")
        }
        self.keys |= {"alpha admin": api.admin, "beta admin": api.admin}
        ship = Ship(api, "a/0")
        ship.join()
        alpha = self.keys["alpha write"]
        api.ask("PUT", "/v1/blobs/" + DIGEST, alpha, content=BLOB)
        more = {"name": "alpha-name", "envs": {"A": "alpha-env"}, "resources": {"accelerators": "b200:8"}}
        self.jobs = {"alpha": api.submit(alpha, **more | {"file_mounts": {"~/d": DIGEST}}, idempotency="alpha-idem")}
        ship.work(self.jobs["alpha"], code=None)
        api.ask(
            "POST",
            f"/runtime/v1/logs?attempt={self.jobs['alpha']}/1&rank=0&offset=0",
            api.given.token("a/0"),
            content=b"alpha-line",
        )
        ship.say(ship.used(self.jobs["alpha"] + "/1"))
        self.array = api.submit(alpha, **more | {"orbit": {"array": 3}})
        self.jobs["beta"] = api.submit(self.keys["beta write"], name="beta-name")
        assert api.ask("POST", "/v1/deployments", None, {"deployment": SHARED}).status_code == 201
        self.theirs = {what: self.fresh(what, "alpha") for what in ("deployment", "file", "tuning", "model")}
        self.spare = api.key("alpha", "write").split("-")[1]
        ids = [k.split("-")[1] for n, k in self.keys.items() if n.startswith("alpha") and "admin" not in n]
        self.marks = [self.jobs["alpha"], self.array, *ids, "alpha", DIGEST[7:], *self.theirs.values()]

    def fresh(self, what, project):
        """The name of a deployment, a file, a tuning or a tuned model of a project, made just now."""
        api, key = self.api, self.keys[f"{project} write"]
        if what == "deployment":
            name = tenancy.ident("d-")
            asked = {"name": name, "service": {}, "task": {"run": "serve"}}
            assert api.ask("POST", "/v1/deployments", key, {"deployment": asked}).status_code == 201
            return name
        if what == "file":
            return api.ask(
                "POST", "/v1/files", key, files={"file": ("t", EXAMPLE)}, data={"purpose": "fine-tune"}
            ).json()["id"]
        asked = {"model": "shared", "training_file": self.fresh("file", project)}
        tuning = api.ask("POST", "/v1/fine_tuning/jobs", key, asked).json()["id"]
        if what == "tuning":
            return tuning
        with api.plane.lock:
            made = api.plane.state.tunings[tuning]
            made.status = "succeeded"
            return made.asked.name

    def ask(self, endpoint, key, project="beta"):
        """What an endpoint answers: status and everything it says."""
        _, path, body = ENDPOINTS[endpoint]

        def filled(text):
            for what in self.theirs:
                if (mark := f"{{fresh {what}}}") in text:
                    text = text.replace(mark, self.fresh(what, project))
            return (
                text.replace("{job}", self.jobs[project]).replace("{spare}", self.spare).replace("{project}", project)
            )

        if endpoint == "GET /v1/events" and key in self.keys.values() and "watch" not in self.role(key):
            with self.api.stream(filled(path), key) as stream:
                last = self.api.store.read(project=None if key == self.api.admin else project, limit=10_000)[-1].seq
                self.api.until(lambda: stream.events() and int(stream.events()[-1][1]) >= last)
                return stream.status, stream.raw.decode()
        method = endpoint.split()[0]
        if endpoint == "POST /v1/files":
            answer = self.api.ask(method, path, key, files={"file": ("t", EXAMPLE)}, data={"purpose": "fine-tune"})
        elif isinstance(body, bytes):
            answer = self.api.ask(method, path, key, content=body)
        else:
            answer = self.api.ask(method, filled(path), key, body and json.loads(filled(json.dumps(body))))
        return answer.status_code, f"{answer.text}{dict(answer.headers)}"

    def role(self, key):
        return next(n for n, k in self.keys.items() if k == key)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("fabric"))
    yield made
    made.api.close()


def test_every_endpoint_is_here(world):
    there = {f"{m.upper()} {p}" for p, ms in world.api.app.openapi()["paths"].items() for m in ms}
    assert there == set(ENDPOINTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_only_who_may_is_answered(world, endpoint):
    allowed = ENDPOINTS[endpoint][0]
    for scope in ANY:
        status, text = world.ask(endpoint, world.keys[f"beta {scope}"])
        if allowed is None or scope in allowed:
            assert status in (200, 201), (scope, text)
        else:
            assert status == 403, (scope, text)


@pytest.mark.parametrize("endpoint", [e for e, (who, _, _) in ENDPOINTS.items() if who])
def test_no_key_a_wrong_one_an_expired_one_and_a_revoked_one_are_all_answered_alike(world, endpoint):
    api = world.api
    late, gone = api.key("alpha", "write", expires_s=api.plane.clock.now() - 1.0), api.key("", "admin")
    api.put(events.KeyRevoked(key=gone.split("-")[1]))
    wrong = world.keys["alpha write"][:-1] + ("A" if world.keys["alpha write"][-1] != "A" else "B")
    unknown = "aek-" + "0" * 12 + "-" + "x" * 43
    token = api.given.token("a/0")
    answers = {world.ask(endpoint, key) for key in ("", "garbage", "aek-", "\\", unknown, wrong, late, gone, token)}
    assert len(answers) == 1
    status, text = answers.pop()
    assert status == 401
    assert "'www-authenticate': 'Bearer'" in text
    assert ("application/problem+json" in text) == (not ENDPOINTS[endpoint][1].startswith(VENDORS))


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("scope", ["write", "read", "watch"])
def test_no_answer_holds_anything_of_another_project(world, endpoint, scope):
    _, text = world.ask(endpoint, world.keys[f"beta {scope}"])
    assert not [mark for mark in world.marks if mark in text]


def test_the_owner_sees_what_the_other_does_not(world):
    for endpoint in (
        "GET /v1/jobs",
        "GET /v1/ships",
        "GET /v1/usage",
        "GET /v1/audit",
        "GET /v1/events",
        "GET /v1/projects",
    ):
        assert [m for m in world.marks if m in world.ask(endpoint, world.keys["alpha read"], "alpha")[1]], endpoint


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if "{fresh" in str(ENDPOINTS[e])])
def test_models_files_and_tunings_of_another_are_answered_like_what_never_was(world, endpoint):
    _, path, body = ENDPOINTS[endpoint]
    mark = next(w for w in world.theirs if f"{{fresh {w}}}" in path + json.dumps(body))
    answers = []
    theirs = world.fresh(mark, "alpha")
    for name in (theirs, "".join("z" if c.isalnum() else c for c in theirs)):
        made = json.loads(json.dumps(body).replace(f"{{fresh {mark}}}", name))
        answer = world.api.ask(
            endpoint.split()[0], path.replace(f"{{fresh {mark}}}", name), world.keys["beta write"], made
        )
        answers.append((answer.status_code, answer.text.replace(name[:100], "NAME")))
    assert answers[0] == answers[1]
    assert answers[0][0] in (400, 404)


FOREIGN = {  # asked with the name of what is another's, and of what never was
    "job": ("GET", "/v1/jobs/{name}", None),
    "logs": ("GET", "/v1/jobs/{name}/logs", None),
    "logs of an attempt": ("GET", "/v1/jobs/{name}/logs?attempt=1&follow=true", None),
    "cancel": ("POST", "/v1/jobs/cancel", {"jobs": ["{name}"]}),
    "cancel with others": ("POST", "/v1/jobs/cancel", {"jobs": ["{mine}", "{name}"]}),
    "after": ("POST", "/v1/jobs", {"task": TASK | {"orbit": {"after": ["{name}"]}}}),
    "array": ("GET", "/v1/jobs?array={name}", None),
    "audit": ("GET", "/v1/audit?subject={name}", None),
    "usage": ("GET", "/v1/usage?project={name}", None),
    "key": ("DELETE", "/v1/keys/{name}", None),
    "host": ("POST", "/v1/drain/{name}", {}),
    "mount": ("POST", "/v1/jobs", {"task": TASK | {"file_mounts": {"~/d": "{name}"}}}),
    "workdir": ("POST", "/v1/jobs", {"task": TASK | {"workdir": "{name}"}}),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_anothers_is_answered_byte_for_byte_like_what_never_was(world, what):
    method, path, body = FOREIGN[what]
    alpha = world.keys["alpha write"].split("-")[1]
    theirs = {"usage": ["alpha"], "key": [alpha], "host": ["a/0"], "mount": [DIGEST], "workdir": [DIGEST]}
    names = theirs.get(what, [world.jobs["alpha"], world.array, world.array + ".1", world.jobs["alpha"] + "/1"])
    for scope in ("write", "read"):
        for name in names:
            never = NEVER if name == DIGEST else "".join("z" if c.isalnum() else c for c in name)
            answers = []
            for asked in (name, never):

                def filled(text, asked=asked):
                    return text.replace("{name}", asked).replace("{mine}", world.jobs["beta"])

                answer = world.api.ask(
                    method, filled(path), world.keys[f"beta {scope}"], body and json.loads(filled(json.dumps(body)))
                )
                shown = {asked, asked.lower(), asked[:20]}
                text = answer.text
                for form in sorted(shown, key=len, reverse=True):
                    text = text.replace(form, "NAME")
                answers.append((answer.status_code, text, dict(answer.headers)))
            assert answers[0] == answers[1]
            assert what in ("array", "audit", "usage") or answers[0][0] in (403, 404, 422)


def test_an_idempotency_key_of_another_tells_nothing_and_does_its_own(world):
    beta = world.keys["beta write"]
    job = world.api.submit(beta, idempotency="alpha-idem")
    assert job != world.jobs["alpha"]
    assert world.api.ask("GET", f"/v1/jobs/{job}", beta).json()["project"] == "beta"


def test_an_upload_is_answered_the_same_whether_or_not_the_bytes_are_there(world):
    fresh = b"never seen"
    new = "sha256:" + hashlib.sha256(fresh).hexdigest()
    key = world.api.key("delta", "write")
    first = world.api.ask("PUT", f"/v1/blobs/{DIGEST}", key, content=BLOB)
    second = world.api.ask("PUT", f"/v1/blobs/{new}", key, content=fresh)
    assert (first.status_code, first.json()) == (201, {"size_bytes": len(BLOB)})
    assert (second.status_code, second.json()) == (201, {"size_bytes": len(fresh)})
    # a digest alone, without the bytes, is nothing
    for asked in (DIGEST, NEVER):
        wrong = world.api.ask("PUT", f"/v1/blobs/{asked}", key, content=b"something else")
        assert wrong.status_code == 422


@pytest.mark.parametrize("path", sorted({r.path for r in runtimes.router.routes}))
def test_runtimes_endpoints_take_no_key_and_no_other_runtimes_token(world, path):
    path = path.replace("{digest}", DIGEST) + ("?attempt=j/1&rank=0&offset=0" if path.endswith("logs") else "")
    forged = world.api.given.token("a/0").replace(".YS8w.", ".YS8x.")  # the name of a/1, the proof of a/0
    unknown = world.api.given.token("nobody/0")
    tokens = ("", world.api.admin, world.keys["alpha write"], forged, unknown, "aer.x.y", "aer..", "aer.=.=")
    asked = [world.api.ask(m, path, t, content=b"{}") for m in ("POST", "PUT", "GET") for t in tokens]
    answers = {(a.status_code, a.text) for a in asked if a.status_code != 405}
    assert {status for status, _ in answers} == {401}
    assert len(answers) == 1


def test_unknown_and_known_keys_are_compared_the_same_way(world, monkeypatch):
    compared = []
    real = hmac.compare_digest

    def counted(a, b):
        compared.append((len(a), len(b)))
        return real(a, b)

    monkeypatch.setattr(tenancy.hmac, "compare_digest", counted)
    keys = world.api.plane.state.keys
    known = world.keys["alpha write"]
    for secret in (known, known[:-1] + "x", "aek-" + "0" * 12 + "-" + "x" * 43, "garbage", ""):
        tenancy.principal(keys, secret, 0.0)
    assert compared == [(64, 64)] * 5
