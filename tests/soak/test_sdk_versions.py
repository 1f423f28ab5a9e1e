"""Several versions of the vendors' SDKs, each in a process of its own, against one gateway."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aether.fabric.gateway.asks import ModelInfo, Trouble
from gateway_play import CALL, KEY, PlayDesk, front, streamed, streamed_calls, whole_chat

ROOT = Path(__file__).parents[2]
SDKS = ROOT / ".venv" / "sdks"
SCRIPT = Path(__file__).with_name("sdk_script.py")
LISTED = (
    next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("SDKS :="))
    .split(":=")[1]
    .split()
)
pytestmark = pytest.mark.soak


class ModelDesk(PlayDesk):
    """A desk whose models behave as their names say."""

    def __init__(self):
        super().__init__()
        self.twice = 0

    def models(self, caller):
        """The models that behave, and the others."""
        behaved = ["calls", "limited", "overloaded", "breaks", "twice", "slow"]
        return [*super().models(caller), *(ModelInfo(name, 0, "aether", None, (0.0, 0.0)) for name in behaved)]

    async def _turn(self, ask):
        self.answer, self.pieces, self.delay_s = whole_chat(), streamed(), 20.0 if ask.model == "slow" else 0.0
        if ask.model == "calls":
            self.answer, self.pieces = whole_chat("Let me see.", "tool_calls", [CALL]), streamed_calls()
        if ask.model == "breaks":
            self.pieces = [*streamed()[:3], Trouble("broken", "the ship was lost")]
        self.twice += ask.model == "twice"
        if ask.model == "limited" or (ask.model == "twice" and self.twice % 3):
            raise Trouble("limited", "slower", retry_after_s=0.05)
        if ask.model == "overloaded":
            raise Trouble("overloaded", "full")
        await super()._turn(ask)


@pytest.mark.parametrize("sdk", LISTED)
def test_this_version_finds_what_its_vendor_promises(sdk):
    folder = SDKS / sdk
    if not (folder / ".installed").exists():
        pytest.skip(f"{sdk} is not installed: make sdks")
    vendor, version = sdk.split("-")
    with front(ModelDesk()) as url:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), vendor, url, KEY], env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found, checked = json.loads(done.stdout)
    assert found == version
    assert {"stream", "tools", "errors", "retries", "timeout", "async"} <= set(checked)
