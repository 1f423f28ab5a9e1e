"""`aether bench --quick` as a process: every row, in a form that machines and people read."""

import json
import math

import pytest

from aether.results import terminal
from aether.study import bench_peers as peers

pytestmark = pytest.mark.soak


def test_the_quick_bench_tells_every_row_with_the_peers_that_are_here(aether, capsys):
    code, out, err = aether("bench", "--quick", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert set(told) == {"machine", "runs", "missing", "rows"}
    assert told["missing"] == peers.missing()
    assert len(told["rows"]) == 42
    for row in told["rows"]:
        assert set(row) == {"name", "size", "unit", "value", "spread", "target", "peers"}
        assert all(math.isfinite(x) and x > 0 for x in (row["value"], *row["spread"], *row["peers"].values()))
        assert row["spread"][0] <= row["value"] <= row["spread"][1]
    beside = {row["name"]: set(row["peers"]) for row in told["rows"]}
    assert {"python-sgp4 array"} <= beside["propagate to Earth-fixed, sgp4"]
    assert {"sgp4, numpy and scipy"} == beside["W1, whole step"]
    days = [r for r in told["rows"] if r["name"].startswith("simulated day")]
    assert [r["target"] for r in days] == [12.0, 7.0]
    assert all("from 24" in r["size"] for r in days)  # what is extrapolated says so
    terminal.bench(told)
    shown = " ".join(capsys.readouterr().out.split())
    assert "propagate with" in shown
    assert ("not installed" in shown) == bool(told["missing"])
