"""What no honest client sends, to the real gateway's process before the real aether-tiny: refused, and both serve on."""

import contextlib
import json
import re
import socket
import sys
from pathlib import Path

import httpx
import pytest

pytest.importorskip("aiohttp", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")
pytest.importorskip("openai", reason="not installed: pip install 'aether-fabric[dev]'")
pytest.importorskip("anthropic", reason="not installed: pip install 'aether-fabric[dev]'")

import anthropic
import openai

from aether.fabric.settings import Settings
from live_fabric import LiveFabric, until

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and prctl of Linux"),
]
MESSAGES = [{"role": "user", "content": "def main():\n    "}]
CHAT = {"model": "aether-tiny", "messages": MESSAGES, "max_tokens": 2}
PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")
GROWS_MB = 40.0  # of memory at most: the 32 MB of a body that are read before it is found too large, and a little


class Target:
    """A server with its process, the headers that it wants, and the form of its errors."""

    def __init__(self, url, pid, key=None):
        self.url, self.pid, self.port = url, pid, int(url.rpartition(":")[2])
        self.headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        self.http = httpx.Client(base_url=url, headers=self.headers, trust_env=False, timeout=30)

    def memory_mb(self):
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        return int(found[1]) / 1024

    def post(self, path, content, **more):
        return self.http.post(
            path, content=content if isinstance(content, bytes) else json.dumps(content).encode(), **more
        )

    def head(self, *lines, method="POST", path="/v1/chat/completions"):
        named = [f"{k}: {v}" for k, v in self.headers.items()]
        return ("\r\n".join([f"{method} {path} HTTP/1.1", "Host: here", *named, *lines]) + "\r\n\r\n").encode("latin-1")

    def wire(self, sent, limit_s=10.0):
        """What comes for these bytes until the other side closes; it must."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=limit_s) as line:
            line.sendall(sent)
            came = bytearray()
            with contextlib.suppress(ConnectionResetError):
                while part := line.recv(65536):
                    came += part
        return bytes(came)


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    with LiveFabric(tmp_path_factory.mktemp("hostile"), models=True) as made, made.client() as client:
        made.models = Settings.read(made.home).models_url
        until(lambda: client.deployment("aether-tiny").ready == 2, 60.0)
        yield made


@pytest.fixture(scope="module")
def gateway(fabric):
    ready = json.loads((fabric.home / "gateway" / "gateway-ready.json").read_text())
    made = Target(fabric.models.removesuffix("/v1"), ready["pid"], fabric.key)
    yield made
    made.http.close()


def line_of(process):
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def tiny(fabric):
    """One of the servers at its own port, which it prints."""
    with fabric.client() as client:
        job = client.deployment("aether-tiny").servers[0].job
        port = until(
            lambda: re.search(r"aether-tiny at http://[\d.]+:(\d+)", "".join(t.text for t in client.logs(job)))
        )[1]
    of = next(p for p in Path("/proc").glob("[0-9]*") if f"--port\0{port}\0".encode() in line_of(p))
    made = Target(f"http://127.0.0.1:{port}", int(of.name), fabric.programs(job)[0]["AETHER_SERVER_KEY"])
    yield made
    made.http.close()


@pytest.fixture(autouse=True)
def still_serves(fabric, gateway, tiny):
    """After each of these both vendors' clients are answered, by the same processes."""
    yield
    with openai.OpenAI(base_url=fabric.models, api_key=fabric.key, max_retries=0, timeout=20) as client:
        assert client.chat.completions.create(**CHAT).usage.completion_tokens >= 1
    with anthropic.Anthropic(base_url=gateway.url, api_key=fabric.key, max_retries=0, timeout=20) as client:
        assert client.messages.create(**CHAT).usage.output_tokens >= 1
    assert json.loads((fabric.home / "gateway" / "gateway-ready.json").read_text())["pid"] == gateway.pid
    assert gateway.memory_mb() > 0.0
    assert tiny.http.get("/health").status_code == 200


def refused(path, answer, *statuses):
    """That an answer is an error, in the vendor's form."""
    assert answer.status_code in (statuses or range(400, 500)), answer.text[:500]
    error = answer.json()["error"]
    assert "Traceback" not in answer.text
    if path.startswith("/v1/messages"):
        assert set(error) == {"type", "message"}
        assert answer.json()["type"] == "error"
    else:
        assert set(error) == {"message", "type", "param", "code"}
    return error


def with_field(path, **fields):
    body = {"model": "aether-tiny"} | ({"max_tokens": 2} if "responses" not in path else {})
    asked = {"/v1/completions": {"prompt": "a"}, "/v1/responses": {"input": "a"}}.get(path, {"messages": MESSAGES})
    return body | asked | fields


JUNK = [
    b"", b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"model": NaN}', b'{"model": "aether-tiny", "temperature": Infinity}', b"\xff\xfe{}",
    b'{"model": "\xed\xa0\x80"}', b'{"model": "\\ud800"}', b'{"model": ' + b"9" * 100_000 + b"}", b"null", b"\0" * 1000,
]  # fmt: skip


def test_what_is_no_request_is_refused(gateway, tiny):
    for junk in JUNK:
        for path in PATHS:
            refused(path, gateway.post(path, junk), 400)
        for path in ("/v1/chat/completions", "/v1/embeddings", "/v1/load_lora_adapter"):
            refused(path, tiny.post(path, junk), 400, 404)
        for path in ("/v1/feedback", "/v1/fine_tuning/jobs"):
            refused(path, gateway.post(path, junk), 400)
    half = json.dumps(CHAT).encode().replace(b"def main", b"\\ud83d")
    refused("", gateway.post("/v1/chat/completions", half), 400)
    assert tiny.post("/v1/chat/completions", half).status_code in (200, 400)


def test_absurd_numbers_and_lists_are_refused_and_cost_little(gateway):
    before = gateway.memory_mb()
    for path in PATHS:
        most = "max_output_tokens" if "responses" in path else "max_tokens"
        for value in (10**18, -1, 0.5, 1e308, "9", 10**400, True):
            refused(path, gateway.post(path, with_field(path, **{most: value})))
        for value in (1e308, -1e-308, 10**400, "hot"):
            refused(path, gateway.post(path, with_field(path, temperature=value)))
        refused(path, gateway.post(path, with_field(path, model="m" * 10**6)))
    for path in ("/v1/chat/completions", "/v1/completions"):
        refused(path, gateway.post(path, with_field(path, n=10**6)))
        refused(path, gateway.post(path, with_field(path, stop=["a"] * 10**5)))
        refused(path, gateway.post(path, with_field(path, seed=10**400)))
        refused(path, gateway.post(path, with_field(path, logit_bias={str(i): 1 for i in range(10**5)})))
    refused("/v1/messages", gateway.post("/v1/messages", with_field("/v1/messages", stop_sequences=["a"] * 10**5)))
    for path in ("/v1/chat/completions", "/v1/messages"):
        refused(path, gateway.post(path, with_field(path, messages=MESSAGES * 10**5)))
        many = b'{"model": "aether-tiny", "max_tokens": 2, "messages": [' + b"[]," * (9 << 20) + b"[]]}"
        refused(path, gateway.post(path, many), 400)
    assert (
        gateway.memory_mb() - before < 4 * GROWS_MB
    )  # 10^5 messages are 30 MB of objects, which Python's heap does not all give back


def test_tools_are_refused_and_words_that_look_like_a_stream_are_text(gateway):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    refused("", gateway.post("/v1/chat/completions", {**CHAT, "tools": [tool]}), 400)
    own = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
    refused("/v1/messages", gateway.post("/v1/messages", {**CHAT, "tools": [own]}), 400)
    words = 'data: [DONE]\n\nevent: error\ndata: {"type": "error"}\n\n\r\n\r\n\u2028'
    body = {
        **CHAT,
        "messages": [{"role": "user", "content": words}],
        "max_tokens": 40,
        "temperature": 0,
        "stream": True,
    }
    for path in ("/v1/chat/completions", "/v1/messages"):
        text = gateway.post(path, body).text
        frames = [frame.splitlines() for frame in text.split("\n\n") if frame]
        assert all(lines[-1].startswith("data: ") for lines in frames)
        assert not any("event: error" in line for lines in frames for line in lines[:1])
        assert text.count("data: [DONE]") == (path == "/v1/chat/completions")
    echoed = {"model": "aether-tiny", "prompt": words, "echo": True, "max_tokens": 2, "stream": True}
    answer = gateway.post("/v1/completions", echoed)
    if answer.status_code == 200:
        frames = [frame for frame in answer.text.split("\n\n") if frame]
        assert all(frame.startswith("data: ") and len(frame.splitlines()) == 1 for frame in frames)
    else:
        refused("", answer, 400)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_hundred_megabytes_are_refused_and_not_kept(gateway, path):
    before = gateway.memory_mb()
    told = gateway.wire(gateway.head(f"Content-Length: {100 << 20}", path=path) + b"{" * 1000)
    assert told.startswith(b"HTTP/1.1 413 ")
    for _ in range(8):
        chunks = (b"x" * 65536 for _ in range(1600))
        with contextlib.suppress(httpx.WriteError):
            refused(path, gateway.http.post(path, content=chunks), 413)
        # of 32 MB that were read each time; the allocator keeps up to two such pieces for the next
        assert gateway.memory_mb() - before < 2.5 * GROWS_MB


def test_a_hundred_megabytes_for_control_or_the_model_server_are_refused_too(gateway, tiny):
    for target, paths in ((gateway, ("/v1/feedback", "/v1/fine_tuning/jobs")), (tiny, ("/v1/chat/completions",))):
        before = target.memory_mb()
        for path in paths:
            chunks = (b"x" * 65536 for _ in range(1600))
            with contextlib.suppress(httpx.WriteError, httpx.ReadError):
                refused(path, target.http.post(path, content=chunks), 413)
            with contextlib.suppress(httpx.WriteError, httpx.ReadError):
                error = refused(path, target.http.post(path, content=b"x" * (3 << 20)), 413)
                assert "control" not in error["message"]
        assert target.memory_mb() - before < GROWS_MB


def smuggled(target):
    """Requests that two readers would end at different places, or whose head is none."""
    hidden = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    chunked = target.head("Transfer-Encoding: chunked")
    return [
        target.head("Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + hidden,
        target.head("Transfer-Encoding: chunked", "Content-Length: 40") + b"0\r\n\r\n" + hidden,
        target.head("Content-Length: 4", "Content-Length: 5") + b"{}  " + hidden,
        target.head("Content-Length: +4") + b"{}  " + hidden,
        target.head("Content-Length: -1") + hidden,
        target.head("Content-Length: " + "9" * 5000) + hidden,
        target.head("Content-Length: 2", " folded: yes") + b"{}" + hidden,
        target.head("Transfer-Encoding: chunked, identity") + b"0\r\n\r\n" + hidden,
        *(chunked + size + b"\r\n{}\r\n0\r\n\r\n" + hidden for size in (b"zz", b"-2", b"0x2", b"2 2", b"F" * 40)),
        target.head("Bad Name: 1", "Content-Length: 2") + b"{}" + hidden,
        target.head("X-A: a\0b", "Content-Length: 2") + b"{}" + hidden,
        target.head(*[f"X-{i}: 1" for i in range(5000)], "Content-Length: 2") + b"{}" + hidden,
        b"\x16\x03\x01\x02\x00\x01\x00" + hidden,
    ]


def test_a_request_with_two_readings_is_refused_and_nothing_behind_it_is_read(gateway, tiny):
    for target in (gateway, tiny):
        for sent in smuggled(target):
            came = target.wire(sent)
            assert came.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), (sent[-200:], came[:300])
            assert came.count(b"HTTP/1.") == 1


def test_our_own_headers_divide_no_answer(gateway):
    body = json.dumps(CHAT).encode()
    for name in ("x-aether-place", "x-aether-jurisdictions", "x-aether-conversation"):
        for value in ("Paris\r\nX-Stolen: 1", "Paris\nX-Stolen: 1", "Paris\rX-Stolen: 1"):
            sent = gateway.head(f"{name}: {value}", "Connection: close", f"Content-Length: {len(body)}") + body
            told, _, rest = gateway.wire(sent).partition(b"\r\n\r\n")
            assert told.startswith(b"HTTP/1.")
            assert b"X-Stolen" not in told
            assert b"HTTP/1." not in rest
        for value in ("%0d%0aX-Stolen:1", "x" * 7000, "\xff\xfe", "US,,DE,", "\u00e9"):
            answer = gateway.post("/v1/chat/completions", CHAT, headers={name.encode(): value.encode("latin-1")})
            assert answer.status_code in (200, 400, 503), answer.text
            assert "x-stolen" not in answer.headers
            assert value not in str(answer.headers)


def test_no_path_leads_out_of_what_is_passed_on(fabric, gateway):
    for path in (
        "/v1/files/../keys",
        "/v1/files/%2e%2e/keys",
        "/v1/fine_tuning/../../v1/keys",
        "/v1/files/..%2fkeys",
        "/v1/files/x/../../keys",
    ):
        came = gateway.wire(gateway.head("Connection: close", method="GET", path=path))
        assert came.startswith(b"HTTP/1.1 404 "), (path, came)
        assert set(json.loads(came.partition(b"\r\n\r\n")[2])["error"]) == {"message", "type", "param", "code"}
    with fabric.client() as client:
        assert len(client.keys()) == 1


def test_hundreds_of_connections_that_send_nothing_leave_room_for_others(gateway, tiny):
    with contextlib.ExitStack() as held:
        for target in (gateway, tiny):
            for n in range(300 if target is gateway else 100):
                line = held.enter_context(socket.create_connection(("127.0.0.1", target.port), timeout=10))
                if n % 3:
                    line.sendall((b"POST /v1/messages HTT", target.head("Content-Length: 1000") + b"{")[n % 2])
        assert gateway.post("/v1/chat/completions", CHAT).status_code == 200
        assert tiny.post("/v1/chat/completions", CHAT).status_code == 200
    until(lambda: gateway.post("/v1/chat/completions", CHAT).status_code == 200)


def test_the_model_server_refuses_what_it_cannot_do(tiny):
    for fields in (
        {"max_tokens": 10**18}, {"n": 10**6}, {"temperature": 1e308}, {"stop": ["a"] * 10**5}, {"messages": MESSAGES * 10_000}, {"model": "m" * 10**5},
        {"logprobs": True}, {"seed": "x"}, {"cache_salt": 7}, {"messages": [{"role": "user", "content": [[]]}]}, {"stream_options": [1]}, {"top_p": -1},
        {"model": {}}, {"messages": {}}, {"tools": [{}]}, {"stop": [""] * 3}, {"stop": {}}, {"logit_bias": {"1": 1}},
    ):  # fmt: skip
        answer = tiny.post("/v1/chat/completions", {**CHAT, **fields})
        assert answer.status_code in (400, 404), str(fields)[:100]
        refused("", answer)
    for path in ("/etc/passwd", "/proc/self/environ", "\0", "x" * 100_000, "/dev/zero"):
        error = refused("", tiny.post("/v1/load_lora_adapter", {"lora_name": "a", "lora_path": path}), 400)
        assert "root:" not in error["message"]
