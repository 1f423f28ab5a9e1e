"""Models through three minutes in which every ten seconds a ship is lost, overheats, is cut off or drained, or its runtime killed."""

import sys

import pytest

pytest.importorskip("aiohttp", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from aether.fabric import chaos

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux"),
]
LASTS_S = 180.0


def test_every_request_is_answered_and_every_token_is_metered_while_ships_fail_overheat_and_set(tmp_path):
    made = chaos.trial(tmp_path, LASTS_S, lambda *_: None)
    print(made.summary(), dict(made.errors), dict(made.hosts))
    assert made.wrong == []
    assert made.asked == chaos.RATE * LASTS_S
    assert made.well + made.errors.total() == made.asked
    assert made.errors.total() < 0.005 * made.asked
    assert made.metered == made.delivered
    assert made.faults.total() >= 15
    assert min(made.faults[kind] for kind in ("pump", "link", "runtime", "drain")) >= 3
    assert made.sets >= 10
    assert made.heated >= 3
    # all ships; of the sites those that the scheduler and the router chose, which five servers on seven hosts leave open
    assert {host for host in made.hosts if "/" in host} == {f"a/{i}" for i in range(chaos.SHIPS)}
    assert made.hosts.keys() - {f"a/{i}" for i in range(chaos.SHIPS)}
