"""A recorded history of a real fabric comes to the state that it came to, from its beginning and from any point in it.

Recorded by `python tools/record_history.py`; a change of `control.step` that moves it breaks the logs of fabrics that are up.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from aether.fabric.core import control, events
from aether.fabric.core.plane import restore
from aether.fabric.core.state import METERS, OVER, State, dump, load
from aether.fabric.store.store import Entry, Store

HERE = Path(__file__).parent
HISTORY = [json.loads(line) for line in (HERE / "history.jsonl").read_text().splitlines()]
FINAL = json.loads((HERE / "state.json").read_text())


def replay(state, rows):
    for time_s, actor, body in rows:
        state, _ = control.step(state, events.decode(json.dumps(body)), time_s, actor)
    return state


def test_the_history_holds_what_it_should():
    kinds = Counter(body["kind"] for _, _, body in HISTORY)
    assert {
        "opened",
        "submitted",
        "placed",
        "displaced",
        "cancel_asked",
        "injected",
        "cordoned",
        "reported",
        "conditions",
    } <= set(kinds)
    jobs = FINAL["jobs"].values()
    assert Counter(j["status"] for j in jobs) == {"succeeded": 9, "failed": 2, "cancelled": 1}
    assert sum(j.get("preemptions", 0) for j in jobs) >= 3
    ends = [b["report"]["how"] for _, _, b in HISTORY if b["kind"] == "reported" and b["report"]["kind"] == "ended"]
    assert {"exit", "stopped", "lost"} <= set(ends)
    assert "more priority" in [b["reason"] for _, _, b in HISTORY if b["kind"] == "displaced"]
    assert "Bearer" not in (HERE / "history.jsonl").read_text()


def test_a_recorded_history_comes_to_the_recorded_state():
    assert json.loads(dump(replay(State(), HISTORY))) == FINAL


def test_the_same_from_a_snapshot_at_any_point():
    state = State()
    for i, row in enumerate(HISTORY):
        if i % 7 == 0:
            assert json.loads(dump(replay(load(dump(state)), HISTORY[i:]))) == FINAL, i
        state = replay(state, [row])


def test_the_same_by_way_of_a_store_with_a_snapshot_in_it(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'fabric.db'}")
    entries = [Entry(t, b["kind"], "", "", json.dumps(b), a) for t, a, b in HISTORY]
    half = len(entries) // 2
    store.append(entries[:half])
    store.save_snapshot(half, dump(replay(State(), HISTORY[:half])))
    store.append(entries[half:])
    state, replayed = restore(store)
    store.close()
    assert (json.loads(dump(state)), replayed) == (FINAL, len(entries) - half)


def test_what_a_runtime_says_again_after_the_history_changes_nothing():
    state = replay(State(), HISTORY)
    again = [
        row for row in HISTORY if row[2]["kind"] in ("reported", "submitted", "placed", "key_made", "project_made")
    ]
    after = json.loads(dump(replay(state, again)))
    after["counts"], after["time_s"] = FINAL["counts"], FINAL["time_s"]
    assert after == FINAL


def test_the_ledger_of_the_history_is_the_sum_of_its_reports_and_of_checkpoints_kept():
    state = replay(State(), HISTORY)
    said = [0] * len(METERS)
    for _, _, body in HISTORY:
        if body["kind"] == "reported" and body["report"]["kind"] == "used":
            said = [a + body["report"][m] for a, m in zip(said, METERS, strict=True)]
    runtimes = [sum(r.usage[i] for r in state.runtimes.values()) for i in range(len(METERS))]
    rows = {a: row for kinds in state.usage.values() for a, row in kinds.items()}
    ledger = [sum(row[i] for a, row in rows.items() if a != "ground") for i in range(len(METERS))]
    assert said == runtimes == ledger
    assert said[0] > 0
    jobs = [sum(j.usage[i] for j in state.jobs.values()) for i in range(len(METERS))]
    assert jobs == [a + b for a, b in zip(ledger, rows.get("ground", [0] * len(METERS)), strict=True)]
    assert all(j.status in OVER for j in state.jobs.values())
