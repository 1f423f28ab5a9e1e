"""The twin's process: what it is asked, what it survives, and that it leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from aether.base.errors import InputError
from aether.fabric.twin.process import TwinLostError, TwinProcess
from aether.fabric.twin.twin import Twin
from aether.scenario.load import load

START = 1782000000.0  # 2026-06-21T00:00:00Z
STEP = 60.0
SMALL = {
    "name": "small", "start": "2026-01-01T00:00:00Z", "duration": "6 h", "step": "60 s",
    "relays": {"shells": [{"shell": {"planes": 6, "per_plane": 8, "altitude": "550 km", "inclination": "53 deg"}}]},
    "ships": [{"name": "a", "ship": "ai1", "count": 2, "orbit": {"ring": {"altitude": "600 km", "node_local_time": "18 h"}}}],
}  # fmt: skip

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int, within_s: float = 10.0) -> bool:
    until = time.monotonic() + within_s
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(pid)


def started():
    told = []
    with TwinProcess(SMALL, start_s=START, on_restart=told.append) as twin:
        yield twin, told


process = pytest.fixture(started)  # a twin in a process, and what it told of restarts
shared = pytest.fixture(started, scope="module", name="shared")  # one for the tests that leave it as it was


def test_it_answers_as_the_twin_itself_does(process):
    twin, told = process
    itself, watch = Twin(load(SMALL), START), [("Tokyo", 0.1)]
    assert (twin.hosts, twin.step_s) == (itself.hosts, STEP) == (("a/0", "a/1"), STEP)
    for k in range(0, 120, 7):
        assert twin.advance(START + k * STEP, {"a/0": 50.0}, watch) == itself.advance(
            START + k * STEP, {"a/0": 50.0}, watch
        )
    twin.inject("ship", "a/1", START + 121 * STEP, None)
    itself.inject("ship", "a/1", START + 121 * STEP, None)
    frame = twin.advance(START + 130 * STEP, {})
    assert frame == itself.advance(START + 130 * STEP, {})
    assert not frame.hosts[1].up
    assert twin.state == itself.state()
    assert told == []


def test_a_killed_child_is_replaced_and_goes_on_where_it_was(process):
    twin, told = process
    itself = Twin(load(SMALL), START)
    for one in (twin, itself):
        one.advance(START + 50 * STEP, {"a/0": 70.0})
        one.inject("link", "a/1", START + 60 * STEP, START + 90 * STEP)
    first = twin.pid
    os.kill(first, signal.SIGKILL)
    frame, same = (one.advance(START + 80 * STEP, {"a/0": 70.0}) for one in (twin, itself))
    assert frame.hosts == same.hosts
    assert not frame.hosts[1].contact
    assert {c.host for c in frame.conditions} == {"a/0", "a/1"}  # all are told again
    assert twin.pid != first
    assert len(told) == 1
    assert "-9" in told[0]
    assert twin.advance(START + 120 * STEP, {}) == itself.advance(START + 120 * STEP, {})


def test_a_child_that_hangs_is_killed_and_the_next_request_has_a_new_one(process):
    twin, told = process
    twin.advance(START, {})
    hung = twin.pid
    os.kill(hung, signal.SIGSTOP)
    with pytest.raises(TwinLostError, match=r"did not answer within 0\.5 s"):
        twin.advance(START + STEP, {}, timeout_s=0.5)
    assert gone(hung)
    assert twin.advance(START + STEP, {}).time_s == START + STEP
    assert len(told) == 1


def test_what_is_wrong_with_a_request_is_told_and_the_child_lives_on(shared):
    twin, told = shared
    first = twin.pid
    with pytest.raises(InputError, match="did you mean 'a/"):
        twin.inject("ship", "a/5", START, None)
    with pytest.raises(InputError, match="unknown place"):
        twin.advance(START, {}, [("Nowhere at all", 1.0)])
    assert twin.advance(START, {}).time_s == START
    assert (twin.pid, told) == (first, [])


def test_a_scenario_that_is_wrong_is_an_input_error_with_all_its_problems(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(SMALL | {"step": "-1 s", "colour": "red"}))
    with pytest.raises(InputError) as caught:
        TwinProcess(path, start_s=START)
    problems = {p.path: p for p in caught.value.problems}
    assert set(problems) == {"step", "colour"}
    assert problems["step"].line > 0
    with pytest.raises(InputError, match="did you mean 'ai1-ring'"):
        TwinProcess("ai1-rings", start_s=START)


def test_overrides_and_an_earlier_state_are_taken():
    with TwinProcess(SMALL, {"ships.0.count": 3}, start_s=START) as twin:
        twin.advance(START + 10 * STEP, {})
        state = twin.state
        assert twin.hosts == ("a/0", "a/1", "a/2")
    with TwinProcess(SMALL, {"ships.0.count": 3}, state=state) as again:
        assert again.advance(START + 11 * STEP, {}).time_s == START + 11 * STEP


def test_closing_ends_the_child_and_asking_after_that_is_refused(process):
    twin, _ = process
    pid = twin.pid
    twin.close()
    twin.close()
    assert gone(pid, 0.0)
    assert twin.pid == 0
    with pytest.raises(TwinLostError, match="closed"):
        twin.advance(START, {})


def test_ctrl_c_at_the_terminal_is_not_for_the_child(shared):
    twin, told = shared
    os.kill(twin.pid, signal.SIGINT)
    assert twin.advance(START + 2 * STEP, {}).time_s == START + 2 * STEP
    assert told == []


PARENT = """
import sys
from aether.fabric.twin.process import TwinProcess
twin = TwinProcess({scenario!r}, start_s={start})
print(twin.pid, flush=True)
twin.advance({start} + {seconds}, {{}}, timeout_s=600.0)
sys.stdin.read()
"""


@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["at rest", "in the middle of thirty years"])
def test_a_child_ends_when_its_parent_is_killed(seconds):
    code = PARENT.format(scenario=SMALL, start=START, seconds=seconds)
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )  # fmt: skip
    pid = 0
    try:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
        parent.wait()
        assert gone(pid)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
        parent.stdin.close()
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
