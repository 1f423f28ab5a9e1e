"""Record anew what tests/replay goes through: `python tools/record_history.py`, about a minute, needs the extra [live].

A real fabric is brought up in an empty folder, with its twin and runtimes as processes, and goes through a preemption, the
loss of a runtime, a cancel, a failure, an array, a dependency and a drain; then its whole log and the state it came to are
written down, the log as lines of JSON.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from aether.fabric import local
from aether.fabric.core.plane import restore
from aether.fabric.core.state import dump
from aether.fabric.store.store import Store

FOLDER = Path(__file__).parents[1] / "tests" / "replay"
PATIENCE_S = 120.0
OVER = ("succeeded", "failed", "cancelled")


class Fabric:
    """A fabric that is asked by its administrator."""

    def __init__(self, folder: Path) -> None:
        local.up(folder, {"speed": 60.0})
        url, key = local.credentials(folder)
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30.0)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._client.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()

    def submit(self, run: str, where: str = "", spot: bool = False, **orbit: Any) -> str:
        if where:
            orbit["where"] = [where]
        resources = {"accelerators": None, "use_spot": spot, "cpus": orbit.pop("cpus", None)}
        made = self.ask(
            "POST", "/v1/jobs", {"task": {"run": run, "resources": resources, "orbit": orbit | {"grace": 1}}}
        )
        return str(made["jobs"][0])

    def until(self, job: str, *wanted: str) -> None:
        """Wait until a job, or all of an array, has one of some statuses."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            rows = [j for j in self.ask("GET", "/v1/jobs?limit=1000")["jobs"] if job in (j["id"], j["array"])]
            if rows and all(j["status"] in wanted for j in rows):
                return
            time.sleep(0.1)
        raise TimeoutError(f"{job} is none of {wanted}")


def play(fabric: Fabric) -> None:
    """What the history holds."""
    ships = fabric.ask("GET", "/v1/ships")["ships"]
    open_ = [s for s in ships if s["contact"] and s["gpus_now"]]
    first, second, third = (s["name"] for s in open_[:3])
    counts = "cd $AETHER_CHECKPOINT; n=$(cat n 2>/dev/null || echo 0); while [ $n -lt 40 ]; do n=$((n+1)); echo $n > n; sleep 0.1; done"
    low = fabric.submit(
        counts, first, spot=True, priority=100, checkpoint="~/c", checkpoint_every=1, cpus=14 * open_[0]["gpus_now"]
    )
    fabric.until(low, "running")
    high = fabric.submit("sleep 2", first, priority=900)
    lost = fabric.submit(counts, second, checkpoint="~/c", checkpoint_every=1)
    fabric.until(lost, "running")
    sunk = fabric.submit(counts, third, checkpoint="~/c", checkpoint_every=1)
    fabric.until(sunk, "running")
    array = fabric.submit("sleep 0.$AETHER_ARRAY_INDEX", array=4)
    fabric.submit("true", after=[high, array])
    gone = fabric.submit("sleep 1000")
    fails = fabric.submit("exit 3", retries=1)
    fabric.submit("true", after=[fails])
    fabric.until(gone, "running")
    fabric.ask("POST", "/v1/jobs/cancel", {"jobs": [gone]})
    fabric.ask("POST", "/v1/faults", {"kind": "runtime", "name": second})
    fabric.ask("POST", "/v1/faults", {"kind": open_[2]["kind"], "name": third, "duration_s": 600})
    fabric.ask("POST", f"/v1/cordon/{second}", {})
    fabric.ask("POST", f"/v1/cordon/{second}", {"closed": False})
    for job in (low, high, lost, sunk, array, gone, fails):
        fabric.until(job, *OVER)


def main() -> None:
    """Play, and write down."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "fabric"
        try:
            play(Fabric(folder))
        finally:
            local.down(folder)
        store = Store(f"sqlite:///{folder / 'fabric.db'}")
        rows = store.read(limit=100_000)
        state, _ = restore(store)
        store.close()
    lines = [json.dumps([r.time_s, r.actor, json.loads(r.body)], separators=(",", ":")) for r in rows]
    (FOLDER / "history.jsonl").write_text("\n".join(lines) + "\n")
    (FOLDER / "state.json").write_text(json.dumps(json.loads(dump(state)), indent=1) + "\n")
    print(f"{len(rows)} events, {sum(map(len, lines)):,} bytes")


if __name__ == "__main__":
    main()
