"""Twenty kills for each database, of what writes and of what it writes to: what was acknowledged is there, once."""

import random
import signal
import time

import pytest

pytest.importorskip("sqlalchemy", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from store_kills import assert_all_there_once, kill_backends, kill_often, writer

pytestmark = pytest.mark.soak
KILLS = 20


def test_writers_that_are_killed_lose_nothing(database_url, tmp_path):
    kill_often(database_url, tmp_path / "head", KILLS, seed=1)


def hammered(postgres, tmp_path, blow):
    """One writer through twenty blows to its server."""
    url, head, rng = postgres.fresh(), tmp_path / "head", random.Random(2)
    with writer(url, head, "w") as child:
        for _ in range(KILLS):
            child.wait_for(len(child.stored) + 5)
            time.sleep(rng.uniform(0.0, 0.1))
            blow(url)
        child.wait_for(len(child.stored) + 5)
    assert len(child.troubles) >= KILLS // 2
    assert_all_there_once(url, head, child.stored, unsaid=1)


def test_a_server_whose_sessions_are_killed_loses_nothing(postgres, tmp_path):
    hammered(postgres, tmp_path, kill_backends)


def test_a_server_that_is_stopped_at_once_and_started_again_loses_nothing(postgres, tmp_path):
    def blow(_):
        postgres.stop(signal.SIGQUIT)
        postgres.start()

    hammered(postgres, tmp_path, blow)
