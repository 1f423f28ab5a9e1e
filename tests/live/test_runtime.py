"""A ship runtime with real programs: what they see, how they end, what lasts through loss of contact."""

import os
import signal
import subprocess
import sys

import pytest

from aether.fabric.blobs import pack
from aether.fabric.protocol import Order, Peer
from fake_control import Fleet, start, until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux")


@pytest.fixture
def fleet(tmp_path):
    with Fleet(tmp_path) as made:
        yield made


def test_a_program_runs_to_its_exit_code_with_its_environment_and_no_other(fleet):
    fleet.start("ai1/3", HIDDEN="secret")
    fleet.control.run("ai1/3", setup="echo set > ~/made", run="cat ~/made; env; pwd; exit 7", envs={"A": "b c"}, gpus=4)
    ended = fleet.control.wait("ai1/3", "ended")[0]
    assert (ended.how, ended.code) == ("exit", 7)
    ready = fleet.control.of("ai1/3", "prepared")[0]
    until(lambda: "workdir\n" in fleet.control.log())
    lines = fleet.control.log().splitlines()
    assert lines[0] == "set"
    home = str(fleet.disk("ai1/3") / "work/j-1/1/0/home")
    assert lines[-1] == f"{home}/workdir"
    seen = dict(line.split("=", 1) for line in lines[1:-1])
    expected = {
        "A": "b c", "HOME": home, "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1",
        "NODE_RANK": "0", "GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(ready.port),
        "SKYPILOT_NODE_RANK": "0", "SKYPILOT_NUM_NODES": "1", "SKYPILOT_NODE_IPS": "127.0.0.1",
        "SKYPILOT_NUM_GPUS_PER_NODE": "4", "SKYPILOT_TASK_ID": "j-1/1", "AETHER_JOB": "j-1", "AETHER_ATTEMPT": "j-1/1",
        "AETHER_SHIP": "ai1/3", "AETHER_HOST": "127.0.0.1", "AETHER_PORT": str(ready.port), "AETHER_PYTHON": sys.executable,
    }  # fmt: skip
    assert {k: seen.get(k) for k in expected} == expected
    bash = {"PWD", "SHLVL", "_", "OLDPWD"}
    rest = set(seen) - set(expected) - bash
    assert rest <= {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "AETHER_MEMBER"}
    fleet.control.forget("ai1/3", "j-1/1")
    until(lambda: not any((fleet.disk("ai1/3") / "work").rglob("*")))


def test_setup_that_fails_ends_the_member_before_it_runs(fleet):
    fleet.start("a")
    fleet.control.order("a", Order(attempt="j/1", rank=0, nodes=1, phase="prepare", gpus=0, setup="exit 4", run="true"))
    ended = fleet.control.wait("a", "ended")[0]
    assert (ended.how, ended.code) == ("setup", 4)
    assert not fleet.control.of("a", "prepared")


GANG = """
import os, socket
rank, at = int(os.environ["RANK"]), (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    with socket.create_server(at) as server:
        other, _ = server.accept()
        with other:
            print("heard", other.recv(100).decode(), flush=True)
else:
    while True:
        try:
            with socket.create_connection(at) as line:
                line.sendall(("rank %d of %s" % (rank, os.environ["WORLD_SIZE"])).encode())
            break
        except ConnectionRefusedError:
            pass
"""


def test_a_gang_on_two_runtimes_meets_at_the_masters_port(fleet, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "gang.py").write_text(GANG)
    code = fleet.control.blob(pack(tmp_path / "src", tmp_path / "src.tar").path.read_bytes())
    note = fleet.control.blob(b"one file")
    peers = []
    for rank, name in enumerate(("a", "b")):
        fleet.start(name)
        fleet.control.order(name, Order(attempt="j/1", rank=rank, nodes=2, phase="prepare", gpus=1, workdir=code,
                                        mounts={"~/in/note": note},
                                        run=f"cat ~/in/note; {sys.executable} gang.py"))  # fmt: skip
        ready = fleet.control.wait(name, "prepared")[0]
        peers.append(Peer(rank=rank, runtime=name, address=ready.address, port=ready.port))
    for rank, name in enumerate(("a", "b")):
        fleet.control.change(name, "j/1", rank, phase="run", peers=tuple(peers))
    assert [fleet.control.wait(n, "ended")[0].code for n in ("a", "b")] == [0, 0]
    until(
        lambda: fleet.control.log("j/1", 0) == "one fileheard rank 1 of 2\n", told=lambda: fleet.control.log("j/1", 0)
    )
    for rank, name in enumerate(("a", "b")):
        fleet.control.forget(name, "j/1", rank)
    until(lambda: not any(any((fleet.disk(n) / "blobs").iterdir()) for n in ("a", "b")))


def test_stop_is_sigterm_then_grace_then_sigkill(fleet):
    fleet.start("a")
    polite = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done"
    fleet.control.run("a", "polite/1", run=polite)
    fleet.control.run("a", "deaf/1", run="trap '' TERM; echo up; while :; do sleep 0.05; done")
    until(lambda: "up" in fleet.control.log("polite/1") and "up" in fleet.control.log("deaf/1"))
    fleet.control.change("a", "polite/1", phase="stop", reason="eclipse", grace_s=60.0)
    ended = fleet.control.wait("a", "ended", "polite/1")[0]
    assert (ended.how, ended.code, ended.why) == ("stopped", 5, "eclipse")
    until(lambda: fleet.control.log("polite/1").endswith("bye\n"))
    fleet.control.change("a", "deaf/1", phase="stop", grace_s=0.5)
    ended = fleet.control.wait("a", "ended", "deaf/1")[0]
    assert (ended.how, ended.code) == ("stopped", -signal.SIGKILL)


def test_what_is_not_ordered_any_more_is_killed_and_removed(fleet):
    fleet.start("a")
    fleet.control.run("a", run="trap '' TERM; echo $$; setsid sleep 1000 & sleep 1000", checkpoint="~/c")
    pid = int(until(fleet.control.log))
    fleet.control.forget("a", "j-1/1")
    fleet.control.wait("a", "ended")
    assert not os.path.exists(f"/proc/{pid}")
    until(lambda: not any((fleet.disk("a") / "work").rglob("*")))


def test_orders_for_what_this_disk_never_began_end_at_once(fleet):
    fleet.start("a")
    fleet.control.order("a", Order(attempt="x/1", rank=0, nodes=1, phase="run", gpus=1, run="true"))
    fleet.control.order("a", Order(attempt="y/1", rank=0, nodes=1, phase="stop", reason="over", gpus=1, run="true"))
    assert fleet.control.wait("a", "ended", "x/1")[0].how == "lost"
    assert fleet.control.wait("a", "ended", "y/1")[0].how == "stopped"


STEPS = """
cd "$AETHER_CHECKPOINT"; n=$(cat step 2>/dev/null || echo 0)
echo "from $n"; echo x > skipped.tmp
echo $((n + 1)) > step.tmp; mv step.tmp step
trap 'echo $((n + 10)) > step.tmp; mv step.tmp step; exit 0' TERM
while :; do sleep 0.05; done
"""


def test_a_checkpoint_goes_up_as_it_changes_and_is_restored_on_another_ship(fleet):
    control = fleet.control
    fleet.start("a")
    fleet.start("b")
    control.run("a", "j/1", run=STEPS, checkpoint="~/out/ckpt", checkpoint_every_s=0.2)
    until(lambda: "from 0" in control.log("j/1"))
    first = control.wait("a", "checkpointed")[0]
    assert first.digest in control.blobs
    control.change("a", "j/1", phase="stop")
    control.wait("a", "ended")
    last = control.of("a", "checkpointed")[-1]
    assert [r.report.kind for r in control.reports["a"]].index("ended") > max(
        i for i, r in enumerate(control.reports["a"]) if r.report.kind == "checkpointed"
    )
    assert b"skipped" not in control.blobs[last.digest]
    control.run("b", "j/2", run=STEPS, checkpoint="~/out/ckpt", checkpoint_every_s=0.2, restore=(last.digest,))
    until(lambda: control.log("j/2").startswith("from 10\n"), told=lambda: control.log("j/2"))


def test_out_of_contact_work_goes_on_and_all_is_told_once_in_order_after(fleet):
    control = fleet.control
    fleet.start("a")
    script = "for i in $(seq 200); do echo line $i; sleep 0.005; done; echo last > ~/c/file"
    control.run("a", run=script, checkpoint="c", checkpoint_every_s=0.1)
    until(lambda: "line 5\n" in control.log())
    control.dark = True
    work = fleet.disk("a") / "work/j-1/1/0"
    until(lambda: (work / "outcome").exists())
    seen = len(control.reports["a"])
    assert not control.of("a", "ended")
    control.dark = False
    control.wait("a", "ended")
    numbers = [r.n for r in control.reports["a"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > seen
    assert len(control.of("a", "ended")) == len(control.of("a", "checkpointed")) == 1
    until(lambda: "line 200\n" in control.log())
    assert control.log() == "".join(f"line {i}\n" for i in range(1, 201))


def test_a_second_runtime_on_the_same_disk_and_one_of_an_older_protocol_are_refused_by_name(fleet):
    fleet.start("a")
    second = start(fleet.control, "a2", fleet.disk("a"))
    assert second.wait(20) == 2
    assert f"another runtime works here (process {fleet.processes['a'].pid})" in fleet.told("a")
    fleet.control.refuses = True
    assert fleet.start("old").wait(20) == 2
    assert "runtime of an older protocol" in fleet.told("old")


@pytest.mark.parametrize("by", ["signal", "control"])
def test_a_runtime_leaves_after_its_work_has_had_its_grace(fleet, by):
    process = fleet.start("a")
    fleet.control.run(
        "a", run="trap 'echo bye > ~/c/f; exit 0' TERM; echo up; while :; do sleep 0.05; done", checkpoint="c"
    )
    until(lambda: "up" in fleet.control.log())
    if by == "signal":
        process.send_signal(signal.SIGTERM)
    else:
        fleet.control.leave = True
        fleet.control.forget("nobody", "j")
    assert process.wait(20) == 0
    ended = fleet.control.of("a", "ended")[0]
    assert (ended.how, ended.code) == ("stopped", 0)
    assert fleet.control.of("a", "checkpointed")


def test_mounts_that_lead_out_end_in_a_named_problem(fleet):
    fleet.start("a")
    blob = fleet.control.blob(b"x")
    for i, mount in enumerate(("../x", "/etc/x", "~root/x")):
        fleet.control.order("a", Order(attempt=f"j/{i}", rank=0, nodes=1, phase="prepare", gpus=0, run="true",
                                       mounts={mount: blob}))  # fmt: skip
        ended = fleet.control.wait("a", "ended", f"j/{i}")[0]
        assert ended.how == "prepare"
        assert mount in ended.why
    gone = "sha256:" + "0" * 64
    fleet.control.order("a", Order(attempt="k/1", rank=0, nodes=1, phase="prepare", gpus=0, run="true", workdir=gone))
    assert "no such blob" in fleet.control.wait("a", "ended", "k/1")[0].why


def test_long_scripts_run_and_too_large_an_environment_is_named(fleet):
    fleet.start("a")
    fleet.control.run("a", "long/1", run="#" + "x" * 200_000 + "\nexit 6")
    assert fleet.control.wait("a", "ended", "long/1")[0].code == 6
    fleet.control.run("a", "big/1", run="true", envs={"A": "x" * 200_000})
    ended = fleet.control.wait("a", "ended", "big/1")[0]
    assert ended.how == "prepare"
    assert "Argument list too long" in ended.why


def test_the_runtime_starts_without_numbers_or_units():
    done = subprocess.run(
        [sys.executable, "-c", "import aether.fabric.runtime.agent, sys; print([m for m in "
         "('numpy', 'numba', 'pint', 'httpx', 'sqlalchemy', 'fastapi') if m in sys.modules])"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "src"},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_what_a_program_wrote_last_is_stored_before_its_end_is_told(fleet):
    fleet.start("a")
    for i in range(5):
        fleet.control.run("a", f"j-{i}/1", run=f"echo last words {i}")
        fleet.control.wait("a", "ended", f"j-{i}/1")
        assert fleet.control.log(f"j-{i}/1") == f"last words {i}\n"
