"""`aether warm` leaves nothing to compile."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.soak
SHORT = ("--set", "duration=10 min")


def test_nothing_is_compiled_after_warm(tmp_path):
    kernels, work = tmp_path / "kernels", tmp_path / "work"
    work.mkdir()

    def aether(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "aether", *arguments], cwd=work, capture_output=True, text=True, check=True,
            env={**os.environ, "NUMBA_CACHE_DIR": str(kernels)},
        )  # fmt: skip
        return done.stdout

    def compiled():
        return {str(f.relative_to(kernels)) for f in kernels.rglob("*") if f.is_file()}

    made = json.loads(aether("warm", "--json"))
    ready = compiled()
    assert made["files"] == len(ready) > 100
    aether("run", *SHORT)
    aether("run", "remote-clinic", *SHORT, "--set", "outputs.ablation=false")
    for form, links in (("czml", ("--links",)), ("oem", ()), ("ns3", ())):
        aether("export", form, "ai1-ring", "--out", form, *SHORT, *links)
    aether("lifetime", "--draws", "4", "--out", "years", "--set", "lifetime.upgrade=modules")
    aether("validate")
    assert compiled() == ready
