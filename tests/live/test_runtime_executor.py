"""The local executor: runtimes that outlive control, are found again, and stay dead when their ship is lost."""

import os
import stat
import subprocess
import sys

import pytest

from aether.fabric.executors import EXECUTORS, folder_name
from aether.fabric.protocol import Sensors
from aether.fabric.runtime.sweep import sweep
from fake_control import ROOT, TOKEN, FakeControl, until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux")
FELT = Sensors(time_s=0.0, gpus=8, gpu_w=1.0, ship=True)


@pytest.fixture
def control():
    made = FakeControl()
    yield made
    made.close()


@pytest.fixture
def local(control, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("AETHER_DB", "postgresql://user:secret@host")
    made = []

    def make():
        made.append(EXECUTORS["local"](tmp_path / "run", control.url, lambda _: TOKEN, lambda _: None))
        return made[-1]

    yield make
    names = made[-1].alive() if made else ()
    for executor in made:
        executor.close()
    for name in names:
        made[-1].kill(name)
    sweep(tmp_path)


def pid_of(control, name):
    return [j.pid for j in control.joins if j.runtime == name][-1]


def test_a_crashed_runtime_is_started_again_and_a_lost_one_only_when_told(control, local):
    executor = local()
    executor.start("ai1/3")
    until(lambda: control.joins)
    first = pid_of(control, "ai1/3")
    executor.crash("ai1/3")
    until(lambda: pid_of(control, "ai1/3") != first)
    assert executor.alive() == {"ai1/3"}
    joins = len(control.joins)
    control.run("ai1/3", run="trap '' TERM; echo $$; setsid sleep 1000 & while :; do sleep 0.05; done")
    program = int(until(control.log))
    executor.kill("ai1/3")
    until(lambda: not os.path.exists(f"/proc/{program}"), 30.0)
    assert executor.alive() == set()
    assert len(control.joins) == joins
    executor.start("ai1/3")
    assert control.wait("ai1/3", "ended")[0].how == "lost"


def test_a_later_executor_takes_over_what_lives_and_leaves_the_lost_alone(control, local):
    executor = local()
    for name in ("a", "b"):
        executor.start(name)
    until(lambda: len(control.joins) == 2)
    executor.kill("b")
    executor.close()
    later = local()
    assert later.alive() == {"a"}
    first = pid_of(control, "a")
    later.start("a")
    assert later.alive() == {"a"}
    assert len(control.joins) == 2
    later.crash("a")
    until(lambda: pid_of(control, "a") != first)
    assert "b" not in later.alive()
    later.stop("a", 10.0)
    assert later.alive() == set()


def test_runtimes_survive_the_kill_of_the_process_that_started_them(control, tmp_path, local):
    script = (
        "import sys, time; from pathlib import Path; from aether.fabric.executors import LocalExecutor\n"
        f"e = LocalExecutor(Path({str(tmp_path / 'run')!r}), {control.url!r}, lambda n: {TOKEN!r})\n"
        "e.start('a'); time.sleep(1000)"
    )
    starting = subprocess.Popen([sys.executable, "-c", script])
    try:
        until(lambda: control.joins)
    finally:
        starting.kill()
        starting.wait()
    assert local().alive() == {"a"}
    control.run("a", run="exit 3")
    assert control.wait("a", "ended")[0].code == 3


def test_a_token_is_for_its_owner_alone_and_nothing_of_controls_environment_goes_along(control, tmp_path, local):
    executor = local()
    executor.start("a/b")
    until(lambda: control.joins)
    folder = tmp_path / "run" / folder_name("a/b")
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600
    for file in ("environ", "cmdline"):
        with open(f"/proc/{pid_of(control, 'a/b')}/{file}") as told:
            text = told.read()
        assert "secret" not in text
        assert TOKEN not in text
    executor.sense("a/b", FELT)
    assert Sensors.model_validate_json((folder / "sensors.json").read_text()) == FELT


def test_folders_of_runtimes_are_safe_and_none_share_one():
    assert folder_name("ai1-3") == "ai1-3"
    names = ["a/b", "a-b", "a.b", "../x", "x" * 200, "x" * 201]
    folders = {folder_name(n) for n in names}
    assert len(folders) == len(names)
    assert not any("/" in f or "." in f or len(f) > 100 for f in folders)
