"""The control process killed beside a gateway that serves: nobody's answer waits for it, and what was delivered meanwhile is metered once."""

import contextlib
import os
import signal
import sys
import threading

import pytest

pytest.importorskip("aiohttp", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")
pytest.importorskip("openai", reason="not installed: pip install 'aether-fabric[dev]'")

import openai

from aether.fabric import local
from aether.fabric.settings import Settings
from live_fabric import LiveFabric, until

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux"),
]
KILLS = 3
AWAY = 20  # answers that are given before control comes up again


class Asking:
    """Requests one after another, whole and streamed, from a thread; what each of them was billed is added up."""

    def __init__(self, url, key):
        self.sums, self.errors, self._ends = [0, 0, 0], [], threading.Event()
        self._client = openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=30)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.end()
        self._client.close()

    def end(self):
        self._ends.set()
        self._thread.join()

    def _run(self):
        while not self._ends.is_set():
            try:
                usage = self._ask(len(self.errors) + self.sums[0])
            except openai.OpenAIError as error:
                self.errors.append(error)
                continue
            for n, more in enumerate((1, usage.prompt_tokens, usage.completion_tokens)):
                self.sums[n] += more

    def _ask(self, n):
        messages = [{"role": "user", "content": f"def number_{n}():\n    return "}]
        asked = {"model": "aether-tiny", "messages": messages, "max_tokens": 1 + n % 9, "temperature": 0}
        if n % 2:
            return self._client.chat.completions.create(**asked).usage
        made = self._client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        return list(made)[-1].usage


def metered(client):
    rows = [r for r in client.usage().tokens if r.model == "aether-tiny"]
    return [sum(getattr(r, name) for r in rows) for name in ("requests", "input_tokens", "output_tokens")]


def test_the_gateway_answers_while_control_is_dead_and_every_token_is_metered_once(tmp_path):
    with LiveFabric(tmp_path, models=True) as fabric, fabric.client(patience_s=60.0) as client:
        until(lambda: client.deployment("aether-tiny").ready == 2, 60.0)
        gateway = (fabric.home / "gateway" / "gateway-ready.json").read_text()
        before = metered(client)
        with Asking(Settings.read(fabric.home).models_url, fabric.key) as asking:
            for _ in range(KILLS):
                under_way = asking.sums[0]
                until(lambda least=under_way + 3: asking.sums[0] >= least)
                pid = int((fabric.home / "control.pid").read_text())
                os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
                dead = asking.sums[0]
                until(lambda least=dead + AWAY: asking.sums[0] >= least)
                assert not local.answers(fabric.url)
                assert local.up(fabric.home, {}).pid != pid
                back = asking.sums[0]
                until(lambda least=back + 3: asking.sums[0] >= least)
            asking.end()
            assert asking.errors == []
            assert asking.sums[0] > KILLS * AWAY
            wanted = [a + b for a, b in zip(before, asking.sums, strict=True)]
            until(lambda: metered(client) == wanted)
        assert (fabric.home / "gateway" / "gateway-ready.json").read_text() == gateway
        print(
            f"{asking.sums[0]} answers, {asking.sums[1]} tokens in, {asking.sums[2]} out; control killed {KILLS} times"
        )
