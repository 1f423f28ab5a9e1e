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
    assert made.heated >= 2  # a ship that had no server when its pumps stood does not heat
    ships = {host for host in made.hosts if "/" in host}
    assert len(ships) >= chaos.SHIPS - 1  # five servers on seven hosts, of which some are always down: not all get one
    assert made.hosts.keys() - ships
