"""The typed client against a fabric that runs, and against servers that misbehave."""

import http.server
import json
import subprocess
import sys
import threading

import pytest

from aether.base.errors import InputError
from aether.fabric import task, views
from aether.fabric.client import ApiError, Away, Client
from aether.fabric.task import Task
from live_fabric import LiveFabric, until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ship runtimes of Linux")


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    with LiveFabric(tmp_path_factory.mktemp("fabric")) as made:
        yield made


@pytest.fixture
def client(fabric):
    with fabric.client() as made:
        yield made


class Scripted:
    """A server that answers by a list: None cuts the line, else (status, headers, body); it keeps what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []
        scripted = self

        class Handler(http.server.BaseHTTPRequestHandler):
            do_GET = do_POST = lambda self: scripted.answer(self)  # noqa: N815 - names of http.server

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def answer(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.asked.append((request.command, request.path, dict(request.headers), body))
        told = self.answers.pop(0)
        if told is None:
            request.close_connection = True
            return
        status, headers, body = told
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def problem(status, kind, **more):
    return status, {}, json.dumps({"type": f"urn:aether:problem:{kind}", "detail": kind, **more}).encode()


def test_importing_what_the_api_shows_loads_no_numbers():
    code = "import sys, aether.fabric.client, aether.fabric.views; print({'numpy', 'pint', 'sqlalchemy', 'fastapi'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_write_is_sent_again_with_the_same_key_until_it_is_answered():
    accepted = (201, {}, b'{"jobs": ["j-1"]}')
    with (
        Scripted(None, problem(503, "store-away"), problem(429, "queue-full"), accepted) as server,
        Client(server.url, "k") as client,
    ):
        assert client.submit(Task(run="true")) == ("j-1",)
    keys = {headers["Idempotency-Key"] for _, _, headers, _ in server.asked}
    assert len(server.asked) == 4
    assert len(keys) == 1
    assert len({body for *_, body in server.asked}) == 1


def test_two_writes_have_two_keys_unless_one_is_given():
    accepted = (201, {}, b'{"jobs": ["j-1"]}')
    with Scripted(*[accepted] * 4) as server, Client(server.url, "k") as client:
        client.submit(Task(run="true"))
        client.submit(Task(run="true"))
        client.submit(Task(run="true"), key="mine")
        client.submit(Task(run="true"), key="mine")
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in server.asked]
    assert len(set(keys)) == 3
    assert keys[2:] == ["mine", "mine"]


def test_patience_ends_and_what_was_wrong_is_told():
    with Scripted(*[problem(503, "store-away")] * 50) as server, Client(server.url, "k", patience_s=0.5) as client:
        with pytest.raises(ApiError, match="store-away") as told:
            client.fabric()
        assert (told.value.status, told.value.kind) == (503, "store-away")
    with Client("http://127.0.0.1:9", "k", patience_s=0.2) as client, pytest.raises(Away, match="no fabric answers"):
        client.fabric()


def test_a_key_is_asked_for_again_as_the_same_request_where_the_answer_was_lost():
    made = (201, {}, b'{"id": "a", "secret": "s"}')
    with Scripted(None, made) as server, Client(server.url, "k") as client:
        assert client.make_key(views.NewKey()).secret == "s"
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in server.asked}) == 1
    assert len(server.asked) == 2


def test_logs_go_on_where_the_line_was_cut():
    first = (
        b'event: log\nid: 1/3\ndata: {"attempt": 1, "text": "one"}\n\n: still here\n\nevent: log\nid: 1/9\ndata: {"att'
    )
    rest = b'event: log\nid: 1/6\ndata: {"attempt": 1, "text": "two"}\n\nevent: end\nid: 1/6\ndata: {"status": "succeeded"}\n\n'
    long = {"Content-Length": "5000"}
    with Scripted((200, long, first), problem(503, "x"), (200, {}, rest)) as server, Client(server.url, "k") as client:
        assert [p.text for p in client.logs("j-1", follow=True)] == ["one", "two"]
    assert "cursor" not in server.asked[0][1]
    assert "cursor=1%2F3" in server.asked[2][1]


def test_a_log_whose_fabric_goes_down_is_followed_when_it_is_up_again():
    gone = b'event: end\nid: 1/0\ndata: {"status": "running"}\n\n'
    over = b'event: end\nid: 1/0\ndata: {"status": "failed"}\n\n'
    with Scripted((200, {}, gone), None, (200, {}, over)) as server, Client(server.url, "k") as client:
        assert list(client.logs("j-1", follow=True)) == []
    assert len(server.asked) == 3


def test_a_wrong_input_is_an_input_error_with_every_problem(client):
    with pytest.raises(InputError) as told:
        client.submit(
            Task(
                run="true",
                resources={"accelerators": "gb30-nvl72:1"},
                orbit={"where": ["virgina"], "after": ["j-nope"]},
            )
        )
    found = {p.path: p for p in told.value.problems}
    assert found["resources.accelerators"].nearest == "gb300-nvl72"
    assert found["orbit.where[0]"].nearest == "virginia"
    assert "no job 'j-nope'" in found["orbit.after[0]"].what


def test_what_is_not_there_is_an_api_error_with_its_kind(client, fabric):
    for ask, kind in ((lambda: client.job("j-nope"), "no-such-job"), (lambda: client.cordon("a/9"), "no-such-host")):
        with pytest.raises(ApiError) as told:
            ask()
        assert (told.value.status, told.value.kind) == (404, kind)
    with Client(fabric.url, "aek-wrong") as stranger, pytest.raises(ApiError) as told:
        stranger.fabric()
    assert (told.value.status, told.value.kind) == (401, "no-key")


def test_local_files_are_uploaded_and_found_by_the_job(client, tmp_path):
    (tmp_path / "code" / "sub").mkdir(parents=True)
    (tmp_path / "code" / "sub" / "a.txt").write_text("of the folder\n")
    (tmp_path / "one.txt").write_text("of the file\n")
    path = tmp_path / "t.yaml"
    path.write_text("workdir: ./code\nfile_mounts:\n  ~/data/one.txt: one.txt\nrun: cat sub/a.txt ~/data/one.txt\n")
    made = client.prepare(task.read(path))
    assert made.workdir.startswith("sha256:")
    (job,) = client.submit(made)
    assert "".join(p.text for p in client.logs(job, follow=True)) == "of the folder\nof the file\n"
    assert until(lambda: client.job(job).status == "succeeded")


def test_paths_that_are_not_there_are_told_with_their_lines(client, tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("run: 'true'\nworkdir: ./gone\nfile_mounts:\n  ~/a: s3://bucket/a\n")
    with pytest.raises(InputError) as told:
        client.prepare(task.read(path))
    assert {(p.path, p.line) for p in told.value.problems} == {("workdir", 2), ("file_mounts.~/a", 4)}
    assert all(p.file == str(path) for p in told.value.problems)


def test_many_are_submitted_once_and_listed_page_after_page(client):
    tasks = [Task(name=f"n{i}", run="true", orbit={"where": ["a/0"]}) for i in range(1203)]
    client.cordon("a/0")
    names = client.submit_many(tasks, key="many")
    assert client.submit_many(tasks, key="many") == names
    assert len(set(names)) == 1203
    listed = [j.id for j in client.jobs(["queued"])]
    assert listed == list(names[::-1])
    assert [j.id for j in client.jobs(["queued"], most=5)] == listed[:5]
    assert len(client.cancel(names[:1000])) == 1000
    assert len(client.cancel(names[1000:])) == 203
    client.cordon("a/0", closed=False)


def test_an_array_is_told_member_by_member_and_cancelled_by_its_name(client):
    client.cordon("a/0")
    names = client.submit(Task(run="true", orbit={"array": 3, "where": ["a/0"]}))
    array = names[0].rpartition(".")[0]
    assert names == tuple(f"{array}.{i}" for i in range(3))
    assert {j.id for j in client.jobs(array=array)} == set(names)
    assert set(client.cancel([array])) == set(names)
    client.cordon("a/0", closed=False)


def test_events_come_as_they_happen_and_from_where_one_was(client):
    (job,) = client.submit(Task(run="true"))
    kinds = []
    for event in client.events(after=0, subject=job):
        kinds.append(event.kind)
        if event.kind == "reported" and event.body["report"]["kind"] == "ended":
            break
    assert kinds[:2] == ["submitted", "placed"]
    known = [e.seq for e in client.audit(subject=job)]
    assert next(iter(client.events(after=known[0], subject=job))).seq == known[1]
    assert [e.seq for e in client.audit(subject=job, most=2)] == known[:2]


def test_keys_projects_and_the_log_are_administered(client, fabric):
    client.make_project("ocean")
    assert set(client.projects()) >= {"default", "ocean"}
    made = client.make_key(views.NewKey(project="ocean", scopes=("write",), note="of a test"))
    with Client(fabric.url, made.secret) as theirs:
        (job,) = theirs.submit(Task(run="echo theirs"))
        assert [j.project for j in theirs.jobs()] == ["ocean"]
        assert theirs.job(job).project == "ocean"
        with pytest.raises(ApiError) as told:
            theirs.keys()
        assert told.value.status == 403
        client.revoke_key(made.id)
        with pytest.raises(ApiError) as told:
            theirs.fabric()
        assert told.value.status == 401
    assert {k.id: k.note for k in client.keys()}[made.id] == "of a test"  # noqa: SIM118 - no mapping
    found = client.verify()
    assert found.ok
    assert client.verify(found.head).ok


def test_the_meter_and_the_metrics_are_read(client):
    (job,) = client.submit(Task(run="sleep 0.2"))
    until(lambda: client.job(job).usage.gpu_ms > 0)
    assert sum(r.amounts.gpu_ms for r in client.usage("default").rows) > 0
    assert "aether_jobs{" in client.metrics()
    assert {s.kind for s in client.ships().ships} == {"ship", "site"}


@pytest.mark.parametrize(
    ("url", "key"), [("127.0.0.1:8642", "k"), ("http://127.0.0.1:x", "k"), ("http://127.0.0.1", "schlüssel")]
)
def test_an_address_or_key_that_is_none_is_refused(url, key):
    with pytest.raises(InputError, match="no fabric can be asked"):
        Client(url, key)
