"""Requests: done once however often they come, all or nothing, in pages without gaps, within limits, and told in one form when refused."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("fastapi", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from aether.fabric.api import frame, jobs
from aether.fabric.core import events
from aether.fabric.core.plane import Decision, Happening, restore
from api_play import TASK, Api


@pytest.fixture
def api(tmp_path):
    made = Api(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """For requests that leave nothing behind."""
    made = Api(tmp_path_factory.mktemp("fabric"))
    yield made
    made.close()


def stored(api, kind):
    return [row for row in api.store.read(limit=100_000) if row.kind == kind]


def once(key):
    return {"headers": {"Idempotency-Key": key}}


def test_the_same_request_is_done_once_and_answered_alike(api):
    first, again = (api.ask("POST", "/v1/jobs", body={"task": TASK}, **once("k")) for _ in range(2))
    assert (first.status_code, first.content) == (again.status_code, again.content) == (201, first.content)
    assert len(stored(api, "submitted")) == 1
    other = api.ask("POST", "/v1/jobs", body={"task": TASK | {"run": "false"}}, **once("k"))
    assert (other.status_code, other.json()["type"]) == (422, "urn:aether:problem:idempotency-key-reused")
    elsewhere = api.ask("POST", "/v1/jobs/batch", body={"tasks": [TASK]}, **once("k"))
    assert elsewhere.status_code == 422
    assert len(stored(api, "submitted")) == 1


def test_twenty_threads_with_one_request_get_one_job(api):
    ready = threading.Barrier(20)

    def ask(_):
        ready.wait()
        return api.ask("POST", "/v1/jobs", body={"task": TASK}, **once("k")).text

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(ask, range(20)))) == 1
    assert len(stored(api, "submitted")) == 1


def test_a_key_that_is_asked_for_again_is_told_again_and_its_secret_lies_nowhere(tmp_path):
    api, asked = Api(tmp_path), {"scopes": ["write"], "project": "default", "note": "mine"}
    first, again = (api.ask("POST", "/v1/keys", body=asked, **once("k")) for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json()) == (201, first.json())
    assert (
        len(
            {
                first.json()["secret"],
                *(api.ask("POST", "/v1/keys", body=asked, **once(k)).json()["secret"] for k in "ab"),
            }
        )
        == 3
    )
    other = api.ask("POST", "/v1/keys", body=asked | {"note": "another"}, **once("k"))
    assert (other.status_code, other.json()["type"]) == (422, "urn:aether:problem:idempotency-key-reused")
    secret = first.json()["secret"]
    assert api.ask("GET", "/v1/jobs", key=secret).status_code == 200
    api.close()
    assert not [f for f in tmp_path.rglob("*") if f.is_file() and secret.encode() in f.read_bytes()]


def test_a_request_is_known_again_after_a_restart_and_by_its_caller_alone(tmp_path):
    api = Api(tmp_path)
    key, other = api.key("p", "write"), api.key("p", "write")
    job = api.submit(key, idempotency="k")
    api.close()
    api = Api(tmp_path)
    assert api.submit(key, idempotency="k") == job
    assert api.submit(other, idempotency="k") != job
    assert len(stored(api, "submitted")) == 2
    api.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [("POST", "/v1/projects", {"project": "q"}, "project_made"), ("POST", "/v1/cordon/a/0", {}, "cordoned"), ("POST", "/v1/drain/a/0", {}, "cordoned"),
     ("POST", "/v1/faults", {"kind": "clock", "by_s": 9.0}, "injected"), ("POST", "/v1/jobs/batch", {"tasks": [TASK]}, "submitted")],
)  # fmt: skip
def test_every_write_takes_an_idempotency_key(api, method, path, body, kind):
    before = len(stored(api, kind))
    answers = {api.ask(method, path, body=body, **once("k")).text for _ in range(3)}
    assert len(answers) == 1
    assert len(stored(api, kind)) == before + 1


def test_a_refused_request_may_come_again_with_its_key(api):
    assert api.ask("POST", "/v1/cordon/nowhere", body={}, **once("k")).status_code == 404
    assert api.ask("POST", "/v1/jobs", body={"task": TASK}, **once("k")).status_code == 201


def test_a_batch_is_taken_whole_or_not_at_all(api):
    tasks = [TASK, TASK | {"orbit": {"after": ["j-none"]}}, TASK | {"resources": {"accelerators": "z900"}}]
    told = api.ask("POST", "/v1/jobs/batch", body={"tasks": tasks})
    assert told.status_code == 422
    assert {p["path"].split(".")[0] for p in told.json()["problems"]} == {"tasks[1]", "tasks[2]"}
    assert not stored(api, "submitted")
    assert len(api.ask("POST", "/v1/jobs/batch", body={"tasks": [TASK] * 7}).json()["jobs"]) == 7


def test_pages_have_no_gaps_and_no_repeats_while_jobs_come_in(api):
    there = [api.submit() for _ in range(25)]
    seen, cursor = [], ""
    while True:
        page = api.ask("GET", f"/v1/jobs?limit=4{cursor}").json()
        seen += [j["id"] for j in page["jobs"]]
        api.submit()
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    assert seen == there[::-1]
    events_, after = [], 0
    while rows := (page := api.ask("GET", f"/v1/audit?limit=3&after={after}").json())["events"]:
        events_ += [e["seq"] for e in rows]
        after = page["cursor"]
    assert events_ == list(range(1, api.store.last_seq + 1))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("GET", "/", 404), ("PATCH", "/v1/jobs", 405), ("POST", "/health", 405), ("GET", "/v1/jobs/none", 404),
     ("GET", "/v1/jobs?limit=0", 422), ("GET", "/v1/jobs?status=lost", 422), ("GET", "/v1/audit?after=-1", 422), ("GET", "/v1/audit?subject=%00", 422),
     ("GET", "/v1/jobs?cursor=" + "9" * 5000, 422), ("DELETE", "/v1/keys/none", 404), ("POST", "/v1/cordon/none", 422)],
)  # fmt: skip
def test_every_refusal_has_one_form(shared, method, path, status):
    answer = shared.ask(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "detail"} <= set(body)
    assert (body["status"], body["type"].startswith("urn:aether:problem:")) == (status, True)
    assert status != 405 or answer.headers["allow"]


RAW = {
    "nothing": b"", "half": b"{", "no object": b"[]", "null": b"null", "no text": b"\xff\xfe", "deep": b"[" * 100_000, "deep objects": b'{"task":' * 50_000,
    "NaN": b'{"task":{"run":"x","orbit":{"grace":NaN}}}', "many digits": b'{"task":{"run":"x","orbit":{"grace":' + b"9" * 5000 + b"}}}",
    "400 digits": b'{"task":{"run":"x","orbit":{"grace":' + b"9" * 400 + b"}}}", "surrogate": b'{"task":{"run":"x","envs":{"A":"\\ud800"}}}',
    "surrogate key": b'{"task":{"run":"x","file_mounts":{"~/\\ud800":"y"}}}', "surrogate number": b'{"task":{"run":"x","resources":{"cpus":"\\udfff"}}}',
    "NUL": b'{"task":{"run":"x\\u0000"}}', "NUL in a name": b'{"task":{"name":"\\u0000","run":"x"}}', "unknown key": b'{"task":{"run":"x"},"more":1}',
    "surrogate in unknown key": b'{"task":{"run":"x","\\udc00":1}}',
}  # fmt: skip


@pytest.mark.parametrize("what", RAW)
def test_malformed_bodies_are_refused_by_name_and_harm_nobody(shared, what):
    answer = shared.ask("POST", "/v1/jobs", content=RAW[what], headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["problems"]
    assert shared.submit()


def test_one_request_that_cannot_be_stored_fails_alone(api):
    poison = Decision((Happening(events.ProjectMade(project="x"), "\0"),))
    held = threading.Event()
    first = api.plane.write(lambda _: held.wait(5.0) and Decision(()))  # so that the rest shares a transaction
    fine, bad, more = (api.plane.write(lambda _, d=d: d) for d in (Decision((), "1"), poison, Decision((), "2")))
    project = api.plane.put(Happening(events.ProjectMade(project="y"), "y", "y"))
    held.set()
    assert [first.result(5.0), fine.result(5.0), more.result(5.0), project.result(5.0)] == ["{}", "1", "2", "{}"]
    with pytest.raises(Exception, match="NUL"):
        bad.result(5.0)
    assert len([e for e in stored(api, "project_made") if e.subject == "y"]) == 1


@pytest.mark.parametrize(
    ("length", "status"), [("9" * 5000, 413), ("99999999999", 413), ("x", 400), ("-1", 400), ("²", 400)]
)
def test_a_length_that_is_none_or_too_large_is_refused_before_the_body(shared, length, status):
    headers = {b"Content-Length": length.encode(), b"Content-Type": b"application/json"}
    answer = shared.run(
        shared._client.request(
            "POST", "/v1/jobs", content=b"{}", headers=headers | {b"Authorization": f"Bearer {shared.admin}".encode()}
        )
    )
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("path", ["/v1/feedback", "/v1/fine_tuning/jobs"])
def test_what_callers_of_models_send_is_bounded_by_what_it_can_be(shared, path):
    body = b'{"model": "' + b"x" * (1 << 20) + b'"}'

    async def pieces():
        yield body

    for content in (body, pieces()):
        answer = shared.ask("POST", path, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == ("request_too_large", None)


def test_a_body_without_length_is_cut_at_the_limit(api, monkeypatch):
    monkeypatch.setattr(frame, "LARGEST_BODY", 1_000_000)
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 100_000
            yield b" " * 100_000

    answer = api.ask("POST", "/v1/jobs", content=endless(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:aether:problem:too-large")
    assert sent <= 1_200_000
    answer = api.ask("PUT", "/v1/blobs/sha256:" + "0" * 64, content=endless())
    assert answer.status_code == 413
    assert not list(api.given.blobs.folder.iterdir())


def test_a_full_queue_and_too_many_dependencies_are_refused(api, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_QUEUED", 5)
    api.submit(orbit={"array": 5})
    full = api.ask("POST", "/v1/jobs", body={"task": TASK})
    assert (full.status_code, full.headers["retry-after"]) == (429, "60")
    monkeypatch.setattr(jobs, "MOST_QUEUED", 500)
    monkeypatch.setattr(jobs, "MOST_WAITS", 100)
    wide = api.submit(orbit={"array": 50})
    told = api.ask("POST", "/v1/jobs", body={"task": TASK | {"orbit": {"array": 3, "after": [wide]}}})
    assert (told.status_code, told.json()["problems"][0]["path"]) == (422, "orbit.after")
    api.submit(orbit={"array": 2, "after": [wide]})


def test_strange_headers_do_no_harm(shared):
    for key, status in (("\xe9", 422), ("a" * 201, 422), ("", 422), ("a b~", 201)):
        headers = {b"Authorization": f"Bearer {shared.admin}".encode(), b"Idempotency-Key": key.encode("latin-1")}
        made = shared.run(shared._client.post("/v1/jobs", json={"task": TASK}, headers=headers))
        assert made.status_code == status
    for value in (b"Bearer", b"Bearer ", b"Basic eDp5", b"\xff\xff", b"Bearer \xff", b"Bearer " + b"x" * 100_000):
        answer = shared.run(shared._client.get("/v1/jobs", headers={b"Authorization": value}))
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    many = {f"x-{i}": "y" * 100 for i in range(5000)}
    assert shared.ask("GET", "/v1/jobs", headers=many).status_code == 200
    for last in ("x", "-1", "9" * 400, "1e3", "²"):
        got = shared.run(
            shared._client.get(
                "/v1/jobs/none/logs",
                headers={b"Last-Event-ID": last.encode(), b"Authorization": f"Bearer {shared.admin}".encode()},
            )
        )
        assert got.status_code == 404


def test_unknown_hosts_are_refused_with_the_nearest(shared):
    told = shared.ask("POST", "/v1/cordon/sites", body={}).json()
    assert told["nearest"] == "site"


def test_what_is_answered_is_what_a_restart_finds(tmp_path):
    api = Api(tmp_path)
    api.ask("POST", "/v1/jobs/batch", body={"tasks": [TASK | {"orbit": {"array": 2}}] * 3})
    api.ask("POST", "/v1/cordon/a/0", body={})
    shown = api.ask("GET", "/v1/jobs?limit=1000").json()["jobs"]
    api.close()
    api = Api(tmp_path)
    assert api.ask("GET", "/v1/jobs?limit=1000").json()["jobs"] == shown
    again, _ = restore(api.store)
    assert json.loads(api.ask("GET", "/v1/ships").text)["ships"][0]["cordoned"] is again.hosts["a/0"].cordoned is True
    api.close()
