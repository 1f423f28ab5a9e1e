"""Where compiled kernels go."""

import os
import subprocess
import sys

import pytest

ASK = "import os, aether; print(os.environ['NUMBA_CACHE_DIR'])"


def folder(**environment):
    clean = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME")}
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=clean | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="caches of other systems are elsewhere")
def test_kernels_lie_with_the_users_caches(tmp_path):
    assert folder(HOME=str(tmp_path)).startswith(str(tmp_path / ".cache" / "aether"))
    assert folder(HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "c")).startswith(str(tmp_path / "c" / "aether"))


def test_a_folder_that_the_user_has_named_stays(tmp_path):
    assert folder(HOME=str(tmp_path), NUMBA_CACHE_DIR="/somewhere") == "/somewhere"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that nobody can write")
def test_a_home_that_cannot_be_written_does_no_harm(tmp_path):
    assert folder(HOME="/proc/nowhere", TMPDIR=str(tmp_path)).startswith(str(tmp_path))
