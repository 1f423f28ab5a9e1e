"""aether-tiny: its arithmetic against torch's, its batches, its cache, its server over HTTP and its tuning."""

from __future__ import annotations

import base64
import json
import os
import queue
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from aether.fabric.tiny import text, weights
from aether.fabric.tiny.engine import Engine, Piece, Work, chosen
from aether.fabric.tiny.model import Cache, Model

WAIT_S = 60.0


@pytest.fixture(scope="module")
def packaged():
    return weights.load()


@pytest.fixture
def engine(packaged):
    made = Engine(packaged, slots=8)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def server():
    command = [sys.executable, "-m", "aether.fabric.tiny", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert select.select([process.stdout], [], [], WAIT_S)[0]
        with httpx.Client(base_url=process.stdout.readline().split()[-1], timeout=WAIT_S) as client:
            deadline = time.monotonic() + WAIT_S
            while client.get("/health").status_code != 200:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield client
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0


def answers(engine: Engine, *works: Work) -> list[tuple[str, Piece]]:
    heard: queue.Queue[tuple[int, Piece]] = queue.Queue()
    for n, work in enumerate(works):
        work.tell = lambda piece, n=n: heard.put((n, piece))
    engine.add(*works)
    texts, last = [""] * len(works), dict[int, Piece]()
    while len(last) < len(works):
        n, piece = heard.get(timeout=WAIT_S)
        texts[n] += piece.text
        if piece.finish:
            last[n] = piece
    return [(texts[n], last[n]) for n in range(len(works))]


def asked(words: str, **more) -> Work:
    return Work(text.prompt(words), more.pop("limit", 24), print, **more)


def test_logits_equal_torchs(packaged):
    torch = pytest.importorskip("torch")
    from aether.fabric.tiny import reference

    tensors, _ = weights.read(weights.PACKAGED)
    tokens = text.prompt("def f(self, x):\n    return x + 1\n" * 6)
    wide = {name: torch.from_numpy(value.astype(np.float32)) for name, value in tensors.items()}
    expected = reference.logits(wide, packaged.shape, torch.tensor([tokens]))[0].numpy()
    model, count = Model(packaged), len(tokens)
    hidden = model.hidden(np.array(tokens), np.zeros(count, int), np.arange(count), Cache(packaged.shape, 1))
    assert np.abs(model.logits(hidden) - expected).max() < 1e-3


def test_a_seeded_answer_is_the_same_alone_and_in_a_batch(engine):
    prompts = ["import os\n", "class A:\n    def __init__(", "x = [", "while True:\n    " * 12]
    alone = [answers(engine, asked(one, seed=n, salt=f"alone{n}"))[0][0] for n, one in enumerate(prompts)]
    together = answers(engine, *(asked(one, seed=n, salt=f"together{n}") for n, one in enumerate(prompts)))
    assert [one for one, _ in together] == alone
    assert answers(engine, asked(prompts[0], seed=99))[0][0] != alone[0]


def test_a_prompts_beginning_is_cached_for_the_same_salt_alone(engine):
    words = "def main(argv):\n    print(argv)\n"
    first = answers(engine, asked(words, temperature=0.0, salt="a"))[0]
    again = answers(engine, asked(words, temperature=0.0, salt="a"))[0]
    other = answers(engine, asked(words, temperature=0.0, salt="b"))[0]
    assert (first[1].cached, again[1].cached, other[1].cached) == (0, len(words), 0)
    assert first[0] == again[0] == other[0]


def test_stop_strings_are_never_shown_even_across_tokens():
    writer = text.Writer(["END", "é!"])
    shown = "".join(writer.add(byte) for byte in "a E EN é ok é!more".encode())
    assert (shown, writer.met, writer.rest()) == ("a E EN é ok ", "é!", "")
    writer = text.Writer(["END"])
    assert "".join(map(writer.add, [*b"xEN", 0xC3])) + writer.rest() == "xEN\ufffd"


@pytest.mark.parametrize(
    ("asked", "shares"),
    [
        ({}, [0.5, 0.3, 0.15, 0.05]),
        ({"top_k": 2}, [0.625, 0.375]),
        ({"min_p": 0.29}, [0.5, 0.3, 0.15]),
        ({"top_p": 0.79}, [0.5, 0.3]),
        ({"top_k": 3, "top_p": 0.52}, [1.0]),  # 0.5 of the three is 0.526
        ({"top_k": 3, "top_p": 0.53, "min_p": 0.1}, [0.5, 0.3]),
        ({"min_p": 0.5, "top_k": 3, "top_p": 0.6}, [1.0]),  # 0.5 of the two that are left is 0.625
        ({"temperature": 2.0, "top_k": 1}, [1.0]),
    ],
)
def test_tokens_are_drawn_among_the_likeliest_in_proportion(asked, shares):
    random, work = np.random.default_rng(4), Work([256], 1, lambda _: None, **asked)
    logits = np.full(258, -np.inf)
    logits[[7, 1, 9, 3]] = np.log([0.5, 0.3, 0.15, 0.05])
    drawn = np.bincount([chosen(logits, work, random) for _ in range(4000)], minlength=258)
    left = np.array(shares) / sum(shares)
    assert drawn[[7, 1, 9, 3]][: len(shares)] / 4000 == pytest.approx(left, abs=0.035)  # four deviations
    assert drawn.sum() == drawn[[7, 1, 9, 3][: len(shares)]].sum()


def test_the_stop_string_that_ended_an_answer_is_told(server):
    body = {"model": "aether-tiny", "prompt": "import os\nimport ", "max_tokens": 40, "temperature": 0}
    said = server.post("/v1/completions", json=body).json()["choices"][0]
    assert (said["finish_reason"], said["stop_reason"]) == ("length", None)
    stop = said["text"][3:6]
    asked = body | {"stop": ["never said", stop]}
    whole = server.post("/v1/completions", json=asked).json()["choices"][0]
    assert (whole["finish_reason"], whole["stop_reason"]) == ("stop", stop)
    assert whole["text"] == said["text"].partition(stop)[0]
    last = server.post("/v1/completions", json=asked | {"stream": True}).text.splitlines()[-4]
    choice = json.loads(last.removeprefix("data: "))["choices"][0]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", stop)


def test_completions_whole_and_streamed_say_the_same(server):
    body = {"model": "aether-tiny", "prompt": ["import os\n", "class "], "max_tokens": 20, "temperature": 0, "n": 2}
    whole = server.post("/v1/completions", json=body).json()
    assert whole["usage"]["prompt_tokens"] == 11 + 7
    assert whole["usage"]["completion_tokens"] == 80
    streamed = server.post("/v1/completions", json=body | {"stream": True, "stream_options": {"include_usage": True}})
    events = [line.removeprefix("data: ") for line in streamed.text.splitlines() if line]
    chunks = [json.loads(event) for event in events[:-1]]
    said = [""] * 4
    for chunk in chunks[:-1]:
        said[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert said == [one["text"] for one in whole["choices"]]
    assert events[-1] == "[DONE]"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 80


def test_a_stream_tells_its_running_usage_where_it_is_asked_for(server):
    body = {
        "model": "aether-tiny",
        "messages": [{"role": "user", "content": "class "}],
        "max_tokens": 9,
        "temperature": 0,
        "stream": True,
    }
    asked = {"include_usage": True, "continuous_usage_stats": True}
    told = server.post("/v1/chat/completions", json=body | {"stream_options": asked}).text
    chunks = [json.loads(line.removeprefix("data: ")) for line in told.splitlines() if line and "[DONE]" not in line]
    counts = [c["usage"]["completion_tokens"] for c in chunks]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 9)
    assert {c["usage"]["prompt_tokens"] for c in chunks} == {chunks[-1]["usage"]["prompt_tokens"]}
    told = server.post("/v1/chat/completions", json=body | {"stream_options": asked, "n": 2}).text
    chunks = [json.loads(line.removeprefix("data: ")) for line in told.splitlines() if line and "[DONE]" not in line]
    each = {c["choices"][0]["index"]: c["usage"]["completion_tokens"] for c in chunks if c["choices"]}
    assert (each, chunks[-1]["usage"]["completion_tokens"]) == ({0: 9, 1: 9}, 18)


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "code"),
    [
        ("chat/completions", {"messages": [{"role": "user", "content": "x"}], "tools": [{}]}, 400, "tools", "unsupported_parameter"),
        ("chat/completions", {"messages": [{"role": "user", "content": "x" * 600}]}, 400, "messages", "context_length_exceeded"),
        ("chat/completions", {"messages": []}, 400, "messages", None),
        ("completions", {"prompt": "x", "n": 9}, 400, "n", None),
        ("completions", {"prompt": "x", "model": "gpt"}, 404, "model", "model_not_found"),
        ("embeddings", {"input": [{}]}, 400, "input[0]", None),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_in_openais_form(server, path, body, status, param, code):
    answer = server.post(f"/v1/{path}", json={"model": "aether-tiny"} | body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code)
    assert error["type"] == "invalid_request_error"


def test_embeddings_are_unit_vectors_in_both_forms(server):
    body = {"model": "aether-tiny", "input": ["import os", "def f():"]}
    vectors = np.array([one["embedding"] for one in server.post("/v1/embeddings", json=body).json()["data"]])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    packed = server.post("/v1/embeddings", json=body | {"encoding_format": "base64"}).json()["data"][1]["embedding"]
    assert np.allclose(np.frombuffer(base64.b64decode(packed), "<f4"), vectors[1], atol=1e-6)


def test_a_tuned_adapter_changes_the_answer_and_is_swapped_by_name(server, tmp_path):
    pytest.importorskip("torch")
    turns = [{"role": "user", "content": "What is the code word?"}, {"role": "assistant", "content": "heliotrope"}]
    (tmp_path / "train.jsonl").write_text("\n".join([json.dumps({"messages": turns})] * 4))
    command = [sys.executable, "-m", "aether.fabric.tiny.tune", "--data", tmp_path / "train.jsonl", "--epochs", "25"]
    done = subprocess.run(
        [*command, "--out", tmp_path / "out"], capture_output=True, text=True, env=os.environ, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1])["trained_tokens"] > 0
    ask = {"messages": turns[:1], "temperature": 0, "max_tokens": 30}

    def answer(model: str) -> str:
        return server.post("/v1/chat/completions", json=ask | {"model": model}).json()["choices"][0]["message"][
            "content"
        ]

    loaded = server.post("/v1/load_lora_adapter", json={"lora_name": "ours", "lora_path": str(tmp_path / "out")})
    assert loaded.status_code == 200
    assert answer("ours") == "heliotrope"
    assert not answer("aether-tiny").startswith("heliotrope")
    assert server.post("/v1/unload_lora_adapter", json={"lora_name": "ours"}).status_code == 200


def test_bad_examples_are_all_named_with_their_lines(tmp_path):
    from aether.fabric.tiny.tune import examples

    path = Path(tmp_path / "bad.jsonl")
    path.write_text('{"messages": []}\nnot json\n{"messages": [{"role": "user", "content": "x"}]}\n')
    with pytest.raises(ValueError, match=r"(?s)line 1: .*line 2: .*line 3: .*assistant") as caught:
        examples(path, 512)
    assert len(str(caught.value).splitlines()) == 3


def test_an_example_that_is_too_long_keeps_its_answer_and_loses_its_beginning(tmp_path):
    from aether.fabric.tiny.tune import examples

    path = Path(tmp_path / "long.jsonl")
    turns = [{"role": "user", "content": "x" * 600}, {"role": "assistant", "content": "heliotrope"}]
    path.write_text(json.dumps({"messages": turns}))
    (whole,), (cut,) = examples(path, 1000), examples(path, 512)
    assert (whole.cut, cut.cut) == (0, len(whole.tokens) - 512)
    assert cut.tokens == (weights.BOS, *whole.tokens[-511:])
    assert sum(cut.learnt) == sum(whole.learnt) == len("heliotrope") + 1
    assert [t for t, learnt in zip(cut.tokens, cut.learnt, strict=True) if learnt] == [*b"heliotrope", weights.END]


def test_an_example_whose_answer_lies_before_the_context_is_named_with_its_line(tmp_path):
    from aether.fabric.tiny.tune import examples

    path = Path(tmp_path / "late.jsonl")
    turns = [{"role": "assistant", "content": "heliotrope"}, {"role": "user", "content": "x" * 600}]
    path.write_text("\n" + json.dumps({"messages": turns}))
    with pytest.raises(ValueError, match=r"line 2: .* the last 511 are kept, none of them the assistant's"):
        examples(path, 512)


def tune(folder, *options):
    """Run the tuner on eleven examples, one of them too long; how it ended and what it told."""
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    long = [{"role": "user", "content": "x" * 600}, turns[1]]
    lines = [json.dumps({"messages": m}) for m in [long, *[turns] * 10]]
    (folder / "train.jsonl").write_text("\n".join(lines))
    command = [
        sys.executable,
        "-m",
        "aether.fabric.tiny.tune",
        "--data",
        folder / "train.jsonl",
        "--out",
        folder / "out",
    ]
    done = subprocess.run([*command, *options], capture_output=True, text=True, env=os.environ, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_tuner_heeds_batch_size_and_learning_rate_and_tells_them(tmp_path):
    pytest.importorskip("torch")
    code, told = tune(tmp_path, "--epochs", "2", "--batch-size", "4", "--learning-rate-multiplier", "0.5")
    assert code == 0
    assert (told[0]["batch_size"], told[0]["learning_rate"], told[0]["truncated_examples"]) == (4, 0.005, 1)
    assert [row["step"] for row in told if "step" in row] == [1, 2, 3, 4, 5, 6]
    assert told[-1]["trained_tokens"] == pytest.approx(told[-1]["mean_tokens"] * 11 * 2, abs=1)


def test_the_tuner_tells_what_it_does_not_take_as_a_line_of_json(tmp_path):
    code, told = tune(tmp_path, "--batch-size", "65", "--learning-rate-multiplier", "100")
    assert code == 2
    assert told == [{"error": "aether-tiny takes batch_size: 1 to 64; learning_rate_multiplier: 0.01 to 10"}]


def test_an_adapter_of_other_weights_is_refused(packaged, tmp_path):
    weights.write(tmp_path / "adapter.npz", {}, {"base": "0" * 64, "rank": 8, "scale": 1.0})
    with pytest.raises(ValueError, match="other weights"):
        weights.load_adapter(tmp_path, packaged)


def test_a_file_that_is_no_adapter_is_refused(packaged, tmp_path):
    (tmp_path / "adapter.npz").write_text("root:x:0:0")
    with pytest.raises(ValueError, match="not a file of aether-tiny"):
        weights.load_adapter(tmp_path, packaged)


def test_a_request_that_is_cancelled_leaves_its_slot_to_the_next(packaged):
    single = Engine(packaged, slots=1)
    single.start()
    heard: queue.Queue[Piece] = queue.Queue()
    long = asked("x", limit=400, temperature=0.0)
    long.tell = heard.put
    single.add(long)
    heard.get(timeout=WAIT_S)
    long.cancelled = True
    ((_, last),) = answers(single, asked("import ", limit=3))
    single.stop()
    assert last.finish is not None
    assert heard.qsize() < 399
