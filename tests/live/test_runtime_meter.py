"""What a runtime meters, sheds and holds back: exact sums, signed; limits of the ship; logs that do not fill a disk."""

import base64
import contextlib
import itertools
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from aether.fabric.protocol import Order, Sensors, Used
from aether.fabric.runtime.kept import MOST_UNACKNOWLEDGED
from aether.fabric.runtime.meter import Clock, Meter, canonical, public, sign, verify
from fake_control import Fleet, until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux")
FOREVER = "echo up; while :; do sleep 0.05; done"


@pytest.fixture
def fleet(tmp_path):
    with Fleet(tmp_path, speed=60.0) as made:
        yield made


def felt(**told):
    return Sensors(**{"time_s": 0.0, "gpus": 8, "gpu_w": 700.0, "ship": True, "accelerator": "b200", **told})


@given(st.lists(st.floats(0.0, 1e4), min_size=1, max_size=30), st.integers(0, 64), st.floats(0.0, 3000.0))
def test_spans_touch_and_sums_are_rounded_once(steps, gpus, power_w):
    start_ms, now_s = 1_800_000_000_123, 1_800_000_000.123
    meter, spans = Meter("j/1", 0, gpus, start_ms), []
    for step_s in steps:
        now_s += step_s
        meter.feel(now_s - step_s / 2, felt(gpu_w=power_w))
        if (used := meter.cut(now_s, felt(gpu_w=power_w))) is not None:
            spans.append(used)
    if spans:
        assert spans[0].start_ms == start_ms
        assert all(a.end_ms == b.start_ms for a, b in itertools.pairwise(spans))
        held_ms = spans[-1].end_ms - start_ms
        assert sum(u.gpu_ms for u in spans) == gpus * held_ms
        modelled_j = gpus * power_w * held_ms / 1000.0
        assert sum(u.energy_j for u in spans) == pytest.approx(modelled_j, rel=1e-9, abs=0.5001)


def test_after_its_end_a_meter_tells_bytes_alone():
    meter = Meter("j/1", 0, 8, 1000)
    assert meter.close(3.0, felt()).gpu_ms == 16_000
    assert meter.cut(9.0, felt()) is None
    meter.moved(10, down=True, ship=True)
    meter.moved(5, down=False, ship=True)
    meter.moved(99, down=True, ship=False)
    late = meter.cut(12.0, felt())
    assert (late.start_ms, late.end_ms, late.gpu_ms, late.energy_j) == (3000, 3000, 0, 0)
    assert (late.laser_bytes, late.downlink_bytes) == (15, 10)


def test_a_signature_holds_for_its_record_runtime_and_key_alone():
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    plain = Used(attempt="j/1", rank=0, start_ms=1, end_ms=2, accelerator="b200", gpu_ms=1, energy_j=1, laser_bytes=0,
                 downlink_bytes=0)  # fmt: skip
    used = sign(plain, "ai1/3", key)
    assert verify(used, "ai1/3", public(key))
    assert not verify(used, "ai1/4", public(key))
    assert not verify(used, "ai1/3", public(other))
    assert not verify(used.model_copy(update={"gpu_ms": 2}), "ai1/3", public(key))
    assert not verify(plain, "ai1/3", public(key))
    assert not verify(used, "ai1/3", "no key")
    assert not verify(used.model_copy(update={"signature": base64.b64encode(b"x" * 64).decode()}), "a", public(key))
    assert canonical(plain, "a").startswith(b'{"accelerator":"b200","attempt":"j/1",')


def test_the_fabrics_clock_runs_at_its_speed_and_never_back():
    wall = [0.0]
    clock = Clock(lambda: wall[0])
    clock.set(1000.0, 60.0)
    wall[0] = 2.0
    assert clock.now() == 1120.0
    clock.set(500.0, 60.0)  # a jump of control's clock
    assert clock.now() == 1120.0
    wall[0] = 2.0 + 700.0 / 60.0
    assert clock.now() == pytest.approx(1200.0)


def test_what_a_program_used_is_told_in_signed_spans_without_gap_through_a_kill(fleet):
    control = fleet.control
    fleet.sense("a")
    fleet.start("a")
    control.run("a", run=FOREVER, gpus=4)
    until(control.log)
    control.wait("a", "used")
    control.run("a", "k/1", run="exit 0", gpus=2, setup="head -c 100000 /dev/zero")
    control.wait("a", "ended", "k/1")
    control.forget("a", "k/1")
    until(lambda: sum(u.downlink_bytes for u in control.of("a", "used", "k/1")) >= 100_000)
    fleet.kill("a")
    fleet.start("a")
    control.wait("a", "ended", "j-1/1")
    spans = control.of("a", "used", "j-1/1")
    assert all(a.end_ms == b.start_ms for a, b in itertools.pairwise(spans))
    assert all(s.gpu_ms == 4 * (s.end_ms - s.start_ms) for s in spans)
    assert spans[0].end_ms - spans[0].start_ms > 60_000  # 5 s of the wall's clock, 60 times as fast, less some start
    other = control.of("a", "used", "k/1")
    energy_j, gpu_ms = sum(u.energy_j for u in other), sum(u.gpu_ms for u in other)
    assert energy_j == pytest.approx(1000.0 * gpu_ms / 1000.0, abs=1.0)  # 1 kW a GPU
    key = control.joins[0].public_key
    assert all(verify(u, "a", key) and u.accelerator == "b200" for u in spans + other)
    assert {j.public_key for j in control.joins} == {key}


def test_out_of_contact_a_ship_sheds_spot_and_low_priority_first(fleet):
    control = fleet.control
    fleet.sense("a")
    fleet.start("a")
    control.run("a", "high/1", run=FOREVER, gpus=4, priority=900)
    control.run("a", "low/1", run=FOREVER, gpus=2, priority=100)
    control.run(
        "a",
        "spot/1",
        run=f"trap 'echo 1 > ~/c/f; exit 0' TERM; {FOREVER}",
        gpus=2,
        priority=950,
        spot=True,
        checkpoint="c",
    )
    until(lambda: all("up" in control.log(f"{n}/1") for n in ("high", "low", "spot")))
    control.dark = True
    fleet.sense("a", gpus=5, limit="eclipse", contact=False)
    work = fleet.disk("a") / "work"
    until(lambda: all((work / n / "1/0/outcome").exists() for n in ("low", "spot")))
    assert not (work / "high/1/0/outcome").exists()
    control.dark = False
    for name in ("low", "spot"):
        ended = control.wait("a", "ended", f"{name}/1")[0]
        assert (ended.how, ended.why) == ("shed", "eclipse")
    assert len(control.of("a", "checkpointed", "spot/1")) == 1
    assert not control.of("a", "ended", "high/1")


def test_inside_an_anomaly_programs_stand_still_and_still_hear_that_they_must_stop(fleet):
    fleet.sense("a")
    fleet.start("a", changed="agent.TICK_S = 0.05")
    fleet.control.run("a", run="trap 'echo stopped; exit 0' TERM; (while true; do echo beat; sleep 0.05; done)& wait")
    until(lambda: fleet.control.log().count("beat") > 3)
    fleet.sense("a", paused=True)
    pid = until(lambda: next((p for p in _beating() if _state(p) == "T"), None))
    fleet.sense("a", paused=False)
    until(lambda: _state(pid) in "SR")
    beats = fleet.control.log().count("beat")
    until(lambda: fleet.control.log().count("beat") > beats + 3)
    fleet.sense("a", paused=True)
    until(lambda: _state(pid) == "T")
    fleet.control.change("a", "j-1/1", phase="stop", reason="ordered")
    assert fleet.control.wait("a", "ended")[0].how == "stopped"
    until(lambda: "stopped" in fleet.control.log())


def _beating():
    """Shells that write beats."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"echo beat" in (folder / "cmdline").read_bytes():
                yield int(folder.name)


def _state(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "gone"


@pytest.mark.parametrize("patience_s", [0.0, 1e9])
def test_in_contact_a_ship_waits_for_control_before_it_sheds(fleet, patience_s):
    fleet.sense("a")
    fleet.start("a", changed=f"agent.PATIENCE_S = {patience_s}; agent.TICK_S = 0.05; agent.SPAN_S = 0.1")
    fleet.control.run("a", run=FOREVER, gpus=4)
    until(fleet.control.log)
    fleet.sense("a", gpus=0, limit="heat")
    if patience_s:
        spans = len(fleet.control.of("a", "used"))
        fleet.control.wait("a", "used", count=spans + 20)
        fleet.control.change("a", "j-1/1", phase="stop", reason="ordered")
    ended = fleet.control.wait("a", "ended")[0]
    assert (ended.how, ended.why) == (("stopped", "ordered") if patience_s else ("shed", "heat"))


def test_a_program_that_writes_faster_than_control_stores_waits_and_fills_no_disk(fleet):
    control = fleet.control
    control.holds_logs = True
    fleet.start("a")
    control.run("a", run="head -c 80000000 /dev/zero | tr '\\0' x; echo; echo end")
    logs = fleet.disk("a") / "work/j-1/1/0/logs"
    until(lambda: logs.exists() and sum(p.stat().st_size for p in logs.iterdir()) >= MOST_UNACKNOWLEDGED)
    assert not control.of("a", "ended")
    most = MOST_UNACKNOWLEDGED + (1 << 16)
    assert sum(p.stat().st_size for p in logs.iterdir()) <= most
    control.holds_logs = False
    assert control.wait("a", "ended")[0].code == 0
    until(lambda: control.logs[("j-1/1", 0)].endswith(b"x\nend\n"))
    assert len(control.logs[("j-1/1", 0)]) == 80_000_005


def test_an_order_that_comes_twice_starts_one_program(fleet):
    control = fleet.control
    fleet.start("a")
    control.run("a", run="echo once; sleep 0.5")
    order = Order(**control.orders["a"][("j-1/1", 0)].model_dump())
    for _ in range(5):
        control.order("a", order)
    control.wait("a", "ended")
    until(lambda: not (fleet.disk("a") / "work/j-1").exists())
    control.order("a", order)  # control is late to take it away
    control.run("a", "j/2", run="true")
    control.wait("a", "ended", "j/2")
    until(control.log)
    assert control.log() == "once\n"
    assert len(control.of("a", "started", "j-1/1")) == len(control.of("a", "ended", "j-1/1")) == 1
