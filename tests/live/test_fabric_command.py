"""The commands of the live fabric as processes: what they say, their exit codes, and what they leave alone."""

import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from aether.base.errors import InputError
from aether.cli import app
from aether.cli import fabric as commands
from live_fabric import LiveFabric, free_port, until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ship runtimes of Linux")


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    with LiveFabric(tmp_path_factory.mktemp("fabric"), by_command=True) as made:
        yield made


@pytest.fixture
def aether(fabric):
    return fabric.aether


@pytest.fixture
def refused(fabric, monkeypatch):
    """`refused(*arguments)`: the message of a command, called within this process, that is not taken."""
    monkeypatch.setenv("AETHER_HOME", str(fabric.home))

    def call(*arguments):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        assert isinstance(result.exception, InputError), result.output
        assert result.output == ""
        return str(result.exception)

    return call


def told(result):
    """What a command with --json has printed; it must have gone well."""
    code, out, err = result
    assert (code, err) == (0, "")
    return json.loads(out)


def test_up_tells_the_address_and_the_key_once_and_what_to_try_next(fabric):
    assert f"The fabric is up at {fabric.url}" in fabric.told
    assert fabric.told.count(fabric.key) == 1
    assert "Next: aether ships, aether launch hello" in fabric.told


def test_a_second_up_finds_the_fabric_up_and_other_settings_are_refused(aether, fabric):
    code, out, _ = aether("up")
    assert code == 0
    assert f"is up already at {fabric.url}" in out
    assert fabric.key not in out
    again = told(aether("up", "--json"))
    assert (again["already"], again["key"], again["url"]) == (True, None, fabric.url)
    for options, words in ((("--speed", "5"), "--speed: the fabric is up with 60"), (("ai1-ring",), "not ai1-ring"), (("--speed", "-1"), "greater than 0"),
                           (("--set", "x"), "not path=value")):  # fmt: skip
        code, out, err = aether("up", *options)
        assert (code, out) == (2, "")
        assert words in err


def test_launch_follows_a_job_to_its_end_and_tells_how_it_went(aether):
    code, out, err = aether("launch", "hello")
    assert (code, out) == (0, f"hello from {err.split()[-1]}, rank 0 of 1\n")
    assert "succeeded on" in err
    (job,) = told(aether("launch", "hello", "--json", "--name", "other"))
    assert (job["status"], job["name"], job["nodes"]) == ("succeeded", "other", 1)


def test_launch_of_a_job_that_fails_exits_with_1(aether, tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("run: 'echo $GREETING; exit 5'\nenvs: {GREETING: }\norbit: {retries: 0}\n")
    code, out, err = aether("launch", path, "--env", "GREETING=good day")
    assert (code, out) == (1, "good day\n")
    assert "failed: exit code 5 on" in err
    assert aether("launch", path, "--env", "GREETING", GREETING="from the shell")[1] == "from the shell\n"


def test_arrays_and_gangs_are_followed_too(aether):
    rows = told(aether("launch", "array", "--array", "3", "--json"))
    assert [r["status"] for r in rows] == ["succeeded"] * 3
    array = rows[0]["array"]
    assert [r["id"] for r in rows] == [f"{array}.{i}" for i in range(3)]
    assert len(told(aether("jobs", array, "--json"))["jobs"]) == 3
    code, out, err = aether("launch", "gang")
    assert code == 0, err
    assert "rank 0 hears: rank 1 of 2" in out


def test_an_interrupted_launch_leaves_its_job_alone_and_says_so(fabric, aether, tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("run: 'echo begun; sleep 60'\n")
    process = fabric.start("launch", path)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    job = err.split()[0]
    assert process.returncode == 130
    assert f"{job} goes on: aether logs -f {job} follows it, aether cancel {job} ends it" in err
    assert told(aether("jobs", job, "--json"))["job"]["status"] == "running"
    following = fabric.start("logs", job, "--follow")
    assert following.stdout.readline() == "begun\n"
    assert told(aether("cancel", job, "--json")) == {"cancelled": [job]}
    assert following.wait(20) == 0
    following.communicate()
    assert aether("cancel", job)[:2] == (0, "They were over already.\n")
    assert aether("cancel", "--all")[0] == 0


def test_exec_passes_output_and_exit_code_on(aether):
    assert aether("exec", "a/1", "echo $AETHER_SHIP | tr a-z A-Z; exit 7")[:2] == (7, "A/1\n")
    assert aether("exec", "virginia", "printf", "%s-", "a b", "$HOME", "--json")[:2] == (0, "a b-$HOME---json-")
    assert aether("exec", "a/0", "--", "printf", "%s", "-n")[:2] == (0, "-n")
    assert aether("exec", "a/0", "kill -9 $$")[0] == 137
    found = told(aether("exec", "--json", "a/0", "echo out"))
    assert (found["code"], found["output"]) == (0, "out\n")
    code, out, err = aether("exec", "a/9", "true")
    assert (code, out) == (2, "")
    assert "unknown ship, group or site 'a/9'; did you mean 'a/" in err


def test_what_runs_is_moved_by_a_lost_ship_and_goes_on_from_its_checkpoint(aether):
    (job,) = told(aether("launch", "counter", "--env", "COUNT=600", "--detach", "--json"))["jobs"]

    def begun():
        return [line.split() for line in aether("logs", job)[1].splitlines() if line.startswith("counts from")]

    until(lambda: told(aether("jobs", job, "--json"))["job"]["checkpoint_bytes"] > 0, 90)
    (first,) = begun()
    assert aether("inject", "ship", first[-1], "--for", "3 min")[:2] == (0, f"{first[-1]} is lost for 3 min.\n")
    _, second = until(lambda: len(begun()) == 2 and begun(), 90)
    assert second[-1] != first[-1]
    assert int(second[2]) >= 1
    assert "1 preemptions" in aether("jobs", job)[1]
    assert aether("cancel", job)[0] == 0
    until(lambda: all(s["up"] and s["runtime"] == "working" for s in told(aether("ships", "--json"))["ships"]), 90)


def test_a_cordoned_host_takes_nothing_and_the_queue_says_why(aether, tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("name: waits\nrun: 'true'\norbit: {where: [a/0]}\n")
    assert aether("drain", "a/0")[1] == "a/0 is drained.\n"
    low, high = (aether("launch", path, "-d", "--priority", p)[1].strip() for p in ("10", "900"))
    rows = told(aether("queue", "--json"))["jobs"]
    assert [r["id"] for r in rows] == [high, low]
    assert "cordoned" in rows[0]["reason"]
    code, out, _ = aether("queue")
    assert out.index(high) < out.index(low)
    code, out, err = aether("logs", low)
    assert (code, out) == (0, "")
    assert "has written nothing: waits" in err
    assert "drained" in aether("ships")[1]
    assert aether("drain", "a/0", "--undo")[1] == "a/0 is open.\n"
    until(lambda: told(aether("queue", "--json"))["jobs"] == [])
    assert aether("cordon", "a/0")[0] == aether("cordon", "a/0", "--undo")[0] == 0


def test_the_tables_fit_any_terminal(aether):
    heads = {}
    for width in (44, 80):
        for command in ("jobs", "ships", "usage", "audit"):
            code, out, err = aether(command, COLUMNS=str(width))
            assert (code, err) == (0, "")
            lines = [line for line in out.splitlines() if "modelled by" not in line]
            assert max(map(len, lines)) <= width, (command, out)
            heads[command, width] = lines[0].split()
    assert set(heads["ships", 44]) < set(heads["ships", 80])
    assert heads["ships", 44][0] == "host"
    assert {"job", "status"} <= set(heads["jobs", 44])


def test_every_look_has_its_json(aether):
    status = told(aether("status", "--json"))
    assert status["fabric"]["ships"] == len(status["ships"]["ships"]) == 3
    assert {r["project"] for r in told(aether("usage", "--json"))["rows"]} == {"default"}
    assert any(r["name"] == "aether_jobs" for r in told(aether("metrics", "--json")))
    assert told(aether("jobs", "--json", "--status", "succeeded", "--all"))["jobs"]
    job = told(aether("jobs", "--json"))["jobs"][-1]["id"]
    kinds = [e["kind"] for e in told(aether("audit", "--job", job, "--json"))]
    assert kinds[:2] == ["submitted", "placed"]
    assert told(aether("audit", "verify", "--json"))["ok"]
    lines = aether("logs", job, "--json")[1].splitlines()
    assert "".join(json.loads(line)["text"] for line in lines).startswith("hello from")


def test_watching_draws_again_and_ends_with_ctrl_c(fabric):
    process = fabric.start("status", "--watch", "--json")
    for _ in range(2):
        assert json.loads(process.stdout.readline())["fabric"]["scenario"] == "quiet"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_keys_and_projects_by_command(fabric, aether):
    told(aether("projects", "create", "ocean", "--json"))
    assert set(told(aether("projects", "list", "--json"))) == {"default", "ocean"}
    made = told(aether("keys", "create", "--project", "ocean", "--expires", "1 h", "--note", "a test", "--json"))
    theirs = {"AETHER_URL": fabric.url, "AETHER_KEY": made["secret"], "AETHER_HOME": "/nowhere"}
    assert aether("launch", "hello", **theirs)[0] == 0
    assert {j["project"] for j in told(aether("jobs", "--json", **theirs))["jobs"]} == {"ocean"}
    code, _, err = aether("drain", "a/0", **theirs)
    assert code == 2
    assert "scope 'admin'" in err
    assert made["secret"] not in aether("keys", "list")[1]
    assert aether("keys", "revoke", made["id"])[0] == 0
    code, _, err = aether("jobs", **theirs)
    assert code == 2
    assert "a valid key is needed" in err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("run: true\nname: [\n", "t.yaml:3"),
        ("run: 'true'\nnum_nodes: none\n", "t.yaml:2: num_nodes"),
        ("run: 'true'\nresources:\n  accelerators: gb30-nvl72:1\n",
         "t.yaml:3: resources.accelerators: unknown accelerator 'gb30-nvl72'; did you mean 'gb300-nvl72'?"),
        ("run: 'true'\norbit:\n  after: [j-nope]\n", "t.yaml:3: orbit.after[0]: there is no job 'j-nope'"),
        ("run: 'true'\nfile_mounts:\n  ../x: .\n", "t.yaml:2: file_mounts"),
        ("run: 'true'\nworkdir: nowhere\n", "t.yaml:2: workdir: there is no file or folder"),
        ("run: 'true'\nresources: {accelerators: 'h100:8'}\n", "t.yaml:2: resources: no 1 hosts have that"),
        ("run: 'true'\nbogus: 1\n", "t.yaml:2"),
    ],
)  # fmt: skip
def test_a_bad_task_is_refused_with_file_and_line(refused, tmp_path, content, words):
    path = tmp_path / "t.yaml"
    path.write_text(content)
    assert words in refused("launch", path)


def test_what_is_refused_exits_with_2_and_leaves_standard_output_empty(aether):
    code, out, err = aether("launch", "helo")
    assert (code, out) == (2, "")
    assert "did you mean 'hello'? Packaged: array, counter, gang, hello" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("launch", "hello", "--env", "NO_SUCH_THING"), "--env: this shell has no variable 'NO_SUCH_THING'"),
        (("launch", "hello", "--priority", "5000"), "--priority: orbit.priority"),
        (("jobs", "j-nope"), "there is no job 'j-nope'"),
        (("jobs", "--status", "runing"), "did you mean 'running'?"),
        (("logs", "j-nope"), "there is no job 'j-nope'"),
        (("cancel",), "which jobs?"),
        (("cancel", "j-nope"), "there is no job 'j-nope'"),
        (("drain", "a/7"), "unknown ship or site 'a/7'; did you mean 'a/"),
        (("inject", "shp", "a/0"), "unknown fault 'shp'; did you mean 'ship'?"),
        (("inject", "ship"), "which ship?"),
        (("inject", "clock"), "--by: a jump of the clock needs its length"),
        (("inject", "clock", "--by", "1 kg"), "--by"),
        (("inject", "runtime", "a/0", "--for", "1 h"), "--for: a fault of the runtime is over at once"),
        (("inject", "gateway", "nowhere", "--for", "1 h"), "nowhere"),
        (("keys", "create", "--scope", "root"), "scopes"),
        (("keys", "create", "--project", "none-such"), "there is no project 'none-such'"),
        (("projects", "create", "A B"), "project"),
        (("audit", "verify", "--head", "x"), "'x' is no place in the log"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_by_name(refused, arguments, words):
    assert words in refused(*arguments)


def test_without_a_fabric_the_message_says_what_to_do(aether, tmp_path):
    code, out, err = aether("status", AETHER_HOME=str(tmp_path))
    assert (code, out) == (2, "")
    assert "Bring one up with aether up" in err
    gone = {"AETHER_URL": f"http://127.0.0.1:{free_port()}"}
    assert "there is no key for" in aether("status", **gone)[2]
    code, _, err = aether("status", **gone, AETHER_KEY="k")
    assert code == 2
    assert "no fabric answers at" in err


def test_a_shell_completes_hosts_and_jobs_and_nothing_where_no_fabric_is(fabric, tmp_path):
    def complete(words, **env):
        code = "import sys; sys.argv[0] = 'aether'; from aether.cli import main; main()"
        given = {"_AETHER_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=fabric.environment | given | env,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.stderr == ""
        return done.stdout.split()

    assert complete("aether drain a") == ["a/0", "a/1"]
    assert all(j.startswith("j-") for j in complete("aether logs j"))
    assert complete("aether logs j")
    assert complete("aether drain a", AETHER_HOME=str(tmp_path)) == []
    assert "launch" in complete("aether lau")


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(commands, "EXTRA", ("httpx", "no_such_package"))
    result = CliRunner().invoke(app, ["status"])
    assert isinstance(result.exception, InputError)
    assert "no_such_package" in str(result.exception)
    assert "pip install 'aether-fabric[live]'" in str(result.exception)


def test_up_names_what_is_wrong_and_keeps_nothing_of_it(aether, tmp_path):
    home = {"AETHER_HOME": str(tmp_path / "home")}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, err = aether("up", "ai1-ring", "--port", taken.getsockname()[1], **home)
        port = free_port()
        gateway = aether("up", "ai1-ring", "--port", port, "--gateway-port", taken.getsockname()[1], **home)
    assert code == 2
    assert "is taken by another program" in err
    assert (gateway[0], "--gateway-port" in gateway[2]) == (2, True)
    code, _, err = aether("up", "ai1-ring", "--port", port, "--gateway-port", port, **home)
    assert (code, "is the API's own" in err) == (2, True)
    code, _, err = aether("up", "ai1-ring", "--port", port, "--model", "aether-tny", **home)
    assert (code, "did you mean 'aether-tiny'?" in err) == (2, True)
    code, _, err = aether("up", "ai1-ring", "--port", port, "--place", "Atlantis", **home)
    assert (code, "unknown place 'Atlantis'" in err) == (2, True)
    code, _, err = aether("up", "no-such", "--port", free_port(), **home)
    assert code == 2
    assert "no packaged scenario of that name" in err
    assert aether("down", **home)[1].startswith("No fabric ran in")
    assert not (tmp_path / "home" / "settings.json").exists()


def test_a_fabric_goes_down_and_up_and_its_log_is_proved_without_it(fabric, aether, tmp_path):
    (job,) = told(aether("launch", "hello", "--json"))
    assert told(aether("down", "--json"))["down"]
    try:
        code, out, _ = aether("audit", "verify")
        assert code == 0
        head = out.split()[-1]
        code, _, err = aether("status")
        assert code == 2
        assert "Bring it up with aether up" in err
        copied = tmp_path / "copied"
        shutil.copytree(fabric.home, copied)
    finally:
        code, out, _ = aether("up")
    assert (code, fabric.key in out) == (0, False)
    assert told(aether("jobs", job["id"], "--json"))["job"]["status"] == "succeeded"
    assert aether("audit", "verify", "--head", head)[0] == 0
    settings = copied / "settings.json"
    settings.write_text(settings.read_text().replace(str(fabric.home), str(copied)))
    with sqlite3.connect(copied / "fabric.db") as file:
        for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            file.execute(f"DROP TRIGGER {name}")
        file.execute("UPDATE aether_log SET actor = 'nobody' WHERE seq = 3")
    file.close()
    code, out, _ = aether("audit", "verify", AETHER_HOME=str(copied))
    assert code == 1
    assert "The log is not as it was written: entry 3 was changed" in out
