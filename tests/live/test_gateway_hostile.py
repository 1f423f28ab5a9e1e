"""What no honest client sends: each is refused in the vendor's form, and the gateway keeps serving."""

import contextlib
import gzip
import json
import logging
import socket
import threading

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aether.fabric.gateway.front import COUNTS, SPOKEN
from gateway_play import KEY, PlayDesk, chunk, front, kept, streamed, until

PATHS = [*SPOKEN, *COUNTS]
CHAT = {"model": "aether-tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
LIMIT = 1 << 20


@pytest.fixture(scope="module")
def served():
    desk = PlayDesk()
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    with (
        front(desk, body_bytes=LIMIT, body_s=2.0, stall_s=1.0, idle_s=2.0) as url,
        # lets go of a connection well before the server does: who writes on one just then is reset
        httpx.Client(
            base_url=url, headers=headers, trust_env=False, timeout=20, limits=httpx.Limits(keepalive_expiry=0.5)
        ) as raw,
    ):
        yield desk, raw, url


@pytest.fixture
def play(served):
    desk, raw, url = served
    desk.__init__()
    yield desk, raw, url
    assert raw.get("/health").json() == {"status": "ok"}


@contextlib.contextmanager
def wire(url):
    """A bare connection: `send(bytes)`, `receive()` everything until it is closed or silent."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        yield line


def received(line, limit_s=10.0):
    """What comes until the other side closes; fails where it does not."""
    line.settimeout(limit_s)
    parts = []
    while True:
        try:
            part = line.recv(65536)
        except ConnectionResetError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


def head(path="/v1/chat/completions", *lines):
    """A request's head as bytes."""
    base = [f"POST {path} HTTP/1.1", "Host: here", f"Authorization: Bearer {KEY}", "Content-Type: application/json"]
    return ("\r\n".join([*base, *lines]) + "\r\n\r\n").encode("latin-1")


def shaped(path, answer):
    """Whether an error is in the vendor's form."""
    body = answer.json()
    if path.startswith("/v1/messages"):
        return (
            body["type"] == "error"
            and set(body["error"]) == {"type", "message"}
            and body["request_id"] == answer.headers["request-id"]
        )
    return (
        set(body) == {"error"}
        and set(body["error"]) == {"message", "type", "param", "code"}
        and "x-request-id" in answer.headers
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe", b'{"model": NaN}', b'{"model": 1e999}', b'{"model": Infinity}',
        b'{"model": ' + b"9" * 5000 + b"}", b'{"model": "\\ud800"}', b'{"model": "\xed\xa0\x80"}', b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"[" * 100000, b'{"model": "m", "messages": [{"role": "user", "content": "\x00"}]}', b'{"\\u0000": 1}', b'{"": {}}',
    ],
    ids=lambda body: body[:14].decode("latin-1").encode("unicode_escape").decode(),
)  # fmt: skip
def test_what_is_no_request_is_refused_in_the_vendors_form(play, path, body):
    _, raw, _ = play
    answer = raw.post(path, content=body)
    assert answer.status_code == 400
    assert shaped(path, answer)


def test_numbers_that_are_not_finite_do_not_hide_in_what_is_handed_on(play):
    desk, raw, _ = play
    tool = b'{"type": "function", "function": {"name": "f", "parameters": {"a": [1e999]}}}'
    body = json.dumps(CHAT).encode()[:-1] + b', "tools": [' + tool + b"]}"
    assert raw.post("/v1/chat/completions", content=body).status_code == 400
    assert desk.asks == []


def test_of_a_name_that_comes_twice_the_last_one_holds(play):
    desk, raw, _ = play
    body = json.dumps(CHAT).encode()[:-1] + b', "model": "big/model"}'
    assert raw.post("/v1/chat/completions", content=body).status_code == 200
    assert desk.asks[0].model == desk.asks[0].body["model"] == "big/model"


NAMES = st.sampled_from([
    "model", "messages", "input", "prompt", "max_tokens", "temperature", "stop", "stream", "stream_options", "tools", "tool_choice", "system",
    "metadata", "role", "content", "type", "text", "name", "function", "parameters", "image_url", "source", "tool_use_id", "call_id", "output",
    "logit_bias", "response_format", "user", "n", "thinking", "output_config", "reasoning", "include", "stop_sequences", "encoding_format",
])  # fmt: skip
WORDS = st.sampled_from([
    "aether-tiny", "user", "assistant", "tool", "system", "text", "function", "tool_use", "tool_result", "image", "input_text", "message",
    "function_call", "function_call_output", "custom", "base64", "url", "auto", "any", "json_schema", "float", "image_url",
])  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9)
    | WORDS
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=6),
    max_leaves=25,
)
FULL = {
    "/v1/chat/completions": CHAT, "/v1/completions": {"model": "aether-tiny", "prompt": "a"},
    "/v1/embeddings": {"model": "aether-tiny", "input": "a"}, "/v1/responses": {"model": "aether-tiny", "input": "a"},
    "/v1/messages": CHAT, "/v1/messages/count_tokens": {"model": "aether-tiny", "messages": CHAT["messages"]},
    "/v1/responses/input_tokens": {"model": "aether-tiny", "input": "a"},
}  # fmt: skip
BLOCKS = st.lists(
    st.fixed_dictionaries({"role": WORDS, "content": VALUES}) | st.fixed_dictionaries({"type": WORDS}) | VALUES,
    max_size=3,
)


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    path=st.sampled_from(PATHS),
    body=st.dictionaries(NAMES, VALUES, max_size=5),
    base=st.booleans(),
    turns=st.none() | BLOCKS,
)
def test_no_json_makes_the_gateway_fail(play, path, body, base, turns):
    _, raw, _ = play
    whole = {**(FULL[path] if base else {}), **body}
    if turns is not None:
        whole["input" if "responses" in path else "messages"] = turns
    answer = raw.post(path, content=json.dumps(whole).encode())
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert shaped(path, answer), answer.text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_body_that_is_too_large_is_refused_before_it_is_read(play, path):
    _, raw, url = play
    with wire(url) as line:  # it says what it will send, and is answered before it does
        line.sendall(head(path, f"Content-Length: {100 << 20}") + b"{")
        text = received(line)
        assert text.startswith(b"HTTP/1.1 413 ")
        assert b"request_too_large" in text
    chunks = (b"x" * 65536 for _ in range(1600))  # 100 MB that do not say how many
    with contextlib.suppress(httpx.WriteError):
        answer = raw.post(path, content=chunks)
        assert answer.status_code == 413
        assert shaped(path, answer)


def test_what_was_read_of_a_body_that_is_refused_is_let_go(play):
    _, raw, _ = play
    broken = b'{"model": "' + b"x" * (LIMIT - 99)
    with kept() as bytes_:
        for _ in range(8):
            with contextlib.suppress(httpx.WriteError):
                assert raw.post("/v1/messages", content=(b"x" * 65536 for _ in range(40))).status_code == 413
            assert raw.post("/v1/messages", content=broken).status_code == 400
    assert bytes_[0] < 6 * LIMIT  # of sixteen


def test_a_small_body_that_swells_is_refused(play):
    _, raw, _ = play
    bomb = gzip.compress(b" " * (100 << 20))
    answer = raw.post("/v1/chat/completions", content=bomb, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413
    answer = raw.post("/v1/chat/completions", content=b"not gzip", headers={"content-encoding": "gzip"})
    assert answer.status_code == 400


SMUGGLED = [
    head("/v1/chat/completions", "Content-Length: 4", "Transfer-Encoding: chunked")
    + b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    head("/v1/chat/completions", "Content-Length: 4", "Content-Length: 5") + b"{}  ",
    head("/v1/chat/completions", "Content-Length: +4") + b"{}  ",
    head("/v1/chat/completions", "Content-Length: 0x4") + b"{}  ",
    head("/v1/chat/completions", "X-A: 1", " folded: yes", "Content-Length: 2") + b"{}",
    head("/v1/chat/completions", "Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n",
    head("/v1/chat/completions", "Transfer-Encoding: chunked") + b"-2\r\n{}\r\n0\r\n\r\n",
    head("/v1/chat/completions", "Transfer-Encoding: chunked, identity") + b"2\r\n{}\r\n0\r\n\r\n",
    head("/v1/chat/completions", "Transfer-Encoding : chunked") + b"2\r\n{}\r\n0\r\n\r\n",
    head("/v1/chat/completions", "Bad Name: 1", "Content-Length: 2") + b"{}",
    head("/v1/chat/completions", "X-A: a\x00b", "Content-Length: 2") + b"{}",
    head("/v1/chat/completions", "X-Long: " + "a" * 20000, "Content-Length: 2") + b"{}",
    head("/v1/chat/completions", *[f"X-{i}: 1" for i in range(500)], "Content-Length: 2") + b"{}",
    b"GARBAGE\r\n\r\n",
]


@pytest.mark.parametrize("sent", SMUGGLED, ids=range(len(SMUGGLED)))
def test_a_request_with_two_readings_is_refused_and_its_connection_closed(play, sent, caplog):
    desk, _, url = play
    with caplog.at_level(logging.DEBUG), wire(url) as line:
        line.sendall(sent)
        text = received(line)
    assert text.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert text.count(b"HTTP/1.") == 1  # nothing behind it was taken for a request of its own
    assert b"500 Internal" not in text
    assert desk.asks == []
    assert KEY not in caplog.text


def test_keys_are_in_no_log_and_no_error(play, caplog):
    desk, raw, url = play
    with caplog.at_level(logging.DEBUG):
        raw.post("/v1/chat/completions", json={**CHAT, "n": KEY})
        raw.post("/v1/chat/completions", headers={"authorization": "Bearer sk-another-secret"}, json=CHAT)
        desk.pieces = [{"choices": 7}]
        assert "an answer that is none" in raw.post("/v1/chat/completions", json={**CHAT, "stream": True}).text
        desk.answer = {"nonsense": 1}
        assert raw.post("/v1/messages", json=CHAT).status_code == 502
        with wire(url) as line:
            line.sendall(b"POST / HTTP/1.1\r\nAuthorization: Bearer sk-torn\x00secret\r\n\r\n")
            received(line)
    for secret in (KEY, "another-secret", "sk-torn"):
        assert secret not in caplog.text


def test_a_client_that_sends_slowly_is_not_waited_for(play):
    _, _, url = play
    with wire(url) as line:  # a head that never ends
        line.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: h")
        assert received(line) == b""
    with wire(url) as line:  # a body that never ends
        line.sendall(head("/v1/chat/completions", "Content-Length: 1000") + b"{")
        assert received(line).startswith(b"HTTP/1.1 408 ")


def test_a_reader_that_stops_reading_holds_nobody_and_is_cut(play):
    desk, raw, url = play
    desk.pieces = [streamed()[0], *[chunk({"content": "x" * 60000})] * 2000]
    body = json.dumps({**CHAT, "stream": True}).encode()
    with wire(url) as line:
        line.sendall(head("/v1/chat/completions", f"Content-Length: {len(body)}") + body)
        until(lambda: desk.delivered > 3)
        assert raw.get("/health").status_code == 200
        until(lambda: desk.closed == 1)
        assert desk.delivered < 2000  # the rest was never asked of the desk


def test_many_slow_clients_at_once_leave_room_for_others(play):
    desk, raw, url = play
    lines = []
    with contextlib.ExitStack() as held:
        for _ in range(200):
            line = held.enter_context(wire(url))
            line.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: h\r\n")
            lines.append(line)
        assert raw.post("/v1/chat/completions", json=CHAT).status_code == 200
        for line in lines:
            assert received(line) == b""
    assert len(desk.asks) == 1


EVIL = [
    'a\n\ndata: {"error": "x"}\n\n', "a\r\nevent: message_stop\r\n\r\n", "\rdata: [DONE]\r\r", "\u2028event: error\u2028\u2028", "\u2029", "\x85data: x",
    "\x0b\x0c\x1c\x1d\x1e", "\x00", "id: 1\nretry: 1\n", ": comment\n\n", "</script>", "\ufeff", "😀" * 9, "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_no_text_of_a_model_breaks_out_of_its_frame(play, path):
    desk, raw, _ = play
    desk.pieces = streamed(EVIL)
    body = {"model": "aether-tiny", "input": "Hi", "stream": True} if "responses" in path else {**CHAT, "stream": True}
    data = raw.post(path, json=body).content
    # read as the most torn reader would: every Unicode line end divides lines
    frames = [frame for frame in data.split(b"\n\n") if frame]
    texts = []
    for frame in frames:
        lines = frame.decode().splitlines()
        assert len(lines) == (1 if "chat" in path else 2)
        said = lines[-1].removeprefix("data: ")
        if said != "[DONE]":
            value = json.loads(said)
            delta = value["choices"][0]["delta"] if value.get("choices") else value.get("delta")
            texts.append(
                delta if isinstance(delta, str) else (delta or {}).get("content") or (delta or {}).get("text") or ""
            )
    assert "".join(texts) == "".join(EVIL)


def test_requests_of_many_threads_do_not_mix(play):
    _, raw, _ = play
    wrong = []

    def one(i):
        body = {"model": f"none-{i}", "messages": CHAT["messages"]}
        for _ in range(10):
            answer = raw.post("/v1/chat/completions", json=body).json()["error"]["message"]
            if f"'none-{i}'" not in answer:
                wrong.append(answer)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
