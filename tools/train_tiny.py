"""Train aether-tiny anew: bytes of the standard library's Python sources, torch on the CPU, within a budget of minutes.

`python tools/train_tiny.py --minutes 50 --out FILE` trains and writes the weights, every few minutes and at the end;
`--resume` goes on from its checkpoint beside FILE; `--eval` states the held-out loss of FILE (by default the packaged weights).
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import math
import platform
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from aether.fabric.tiny import reference
from aether.fabric.tiny.weights import BOS, PACKAGED, VOCABULARY, Shape, described, read, write

PEAK = 3e-3  # learning rate; the highest that stayed smooth for a model this small
WARM = 100  # steps of warming up
LEAST = 0.05  # of the peak, to which the cosine falls
BATCH = 16
SAVE_S = 240.0  # between checkpoints
HELD = 13 / 256  # of the files, by the first byte of their path's hash, are never trained on
ROWS = 16  # windows that are evaluated together
ROUNDS, ROUND = 12, 8  # batches and windows by which held-out loss is told while training


@dataclass(frozen=True, slots=True)
class Corpus:
    """The text: what is trained on, what is held out, and what it is told by."""

    trained: np.ndarray[Any, np.dtype[np.int16]]
    held: np.ndarray[Any, np.dtype[np.int16]]
    digest: str
    files: int


def corpus() -> Corpus:
    """The running Python's own sources without its tests, in the order of their paths; whole files are held out."""
    root = Path(sysconfig.get_paths()["stdlib"])
    trained, held, whole, count = [], [], hashlib.sha256(), 0
    for path in sorted(root.rglob("*.py")):
        if "site-packages" in path.parts or "/test/" in str(path) or "lib2to3/tests/data" in str(path):
            continue
        name, data = str(path.relative_to(root)).encode(), path.read_bytes()
        whole.update(name + b"\0" + hashlib.sha256(data).digest())
        tokens = np.concatenate([[BOS], np.frombuffer(data, np.uint8)]).astype(np.int16)
        (held if hashlib.sha256(name).digest()[0] < HELD * 256 else trained).append(tokens)
        count += 1
    return Corpus(np.concatenate(trained), np.concatenate(held), whole.hexdigest(), count)


def loss(weights: dict[str, torch.Tensor], shape: Shape, rows: torch.Tensor) -> torch.Tensor:
    """Mean loss of (batch, time + 1) tokens, in nats a token."""
    with torch.autocast("cpu", torch.bfloat16):
        expected = reference.logits(weights, shape, rows[:, :-1])
    return functional.cross_entropy(expected.float().reshape(-1, VOCABULARY), rows[:, 1:].reshape(-1))


def windows(tokens: np.ndarray[Any, Any], count: int, length: int, random: np.random.Generator) -> torch.Tensor:
    """Windows of a text at places drawn, (count, length + 1)."""
    starts = random.integers(0, len(tokens) - length - 1, count)
    return torch.from_numpy(np.stack([tokens[at : at + length + 1] for at in starts]).astype(np.int64))


def held_out(weights: dict[str, torch.Tensor], shape: Shape, text: Corpus) -> float:
    """Loss over windows of the held-out files, the same ones each time."""
    random = np.random.default_rng(1)
    with torch.no_grad():
        found = [float(loss(weights, shape, windows(text.held, ROUND, shape.context, random))) for _ in range(ROUNDS)]
    return float(np.mean(found))


def whole_held_out(weights: dict[str, torch.Tensor], shape: Shape, text: Corpus) -> tuple[float, int]:
    """Loss of weights as they are served (float16, computed in float32) over all held-out text; and how many tokens that were."""
    served = {name: value.detach().half().float() for name, value in weights.items()}
    count = (len(text.held) - 1) // shape.context
    whole = torch.from_numpy(text.held[: count * shape.context + 1].astype(np.int64))
    total = 0.0
    with torch.no_grad():
        for first in range(0, count, ROWS):
            rows = torch.stack(
                [whole[n * shape.context : (n + 1) * shape.context + 1] for n in range(first, min(first + ROWS, count))]
            )
            expected = reference.logits(served, shape, rows[:, :-1])
            total += float(
                functional.cross_entropy(expected.reshape(-1, VOCABULARY), rows[:, 1:].reshape(-1), reduction="sum")
            )
    return total / (count * shape.context), count * shape.context


def save(
    path: Path, weights: dict[str, torch.Tensor], shape: Shape, text: Corpus, steps: int, seconds: float, held: float
) -> None:
    """Write the weights with a header that says what they were trained on, and how well they foretell what is held out."""
    header = described(
        shape, data="the standard library's .py files without tests", python=platform.python_version(), files=text.files,
        data_sha256=text.digest, trained_bytes=len(text.trained), held_bytes=len(text.held), steps=steps,
        tokens=steps * BATCH * shape.context, minutes=round(seconds / 60, 1), held_out_nats=round(held, 4),
        held_out_bits=round(held / math.log(2), 4), date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        torch=str(torch.__version__),
    )  # fmt: skip
    write(path, {name: value.detach().numpy() for name, value in weights.items()}, header)


def train(out: Path, minutes: float, threads: int, resume: bool) -> None:
    """Train within a budget of time; its rate falls by a cosine over that time."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    shape, text, random = Shape(), corpus(), np.random.default_rng(0)
    weights = {name: value.requires_grad_() for name, value in reference.drawn(shape).items()}
    flat = [value for value in weights.values() if value.dim() == 1]
    wide = [value for value in weights.values() if value.dim() == 2]
    groups: list[dict[str, Any]] = [{"params": wide, "weight_decay": 0.1}, {"params": flat, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.95))
    point, step, spent = out.with_suffix(".checkpoint"), 0, 0.0
    if resume and point.exists():
        kept = torch.load(point, weights_only=True)
        with torch.no_grad():
            for name, value in weights.items():
                value.copy_(kept["weights"][name])
        optimiser.load_state_dict(kept["optimiser"])
        step, spent = kept["step"], kept["seconds"]
        random = np.random.default_rng(step)
    began, saved = time.monotonic() - spent, time.monotonic()
    while (share := (time.monotonic() - began) / (60 * minutes)) < 1:
        rate = PEAK * min(1.0, (step + 1) / WARM) * (LEAST + (1 - LEAST) * 0.5 * (1 + math.cos(math.pi * share)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        value = loss(weights, shape, windows(text.trained, BATCH, shape.context, random))
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_([*wide, *flat], 1.0)
        optimiser.step()
        step += 1
        if step % 50 == 0:
            print(f"step {step}, {share:.0%} of the time, loss {value.item():.4f} nats", flush=True)
        if time.monotonic() - saved > SAVE_S:
            saved = time.monotonic()
            held = held_out(weights, shape, text)
            print(f"step {step}, held out {held:.4f} nats", flush=True)
            save(out, weights, shape, text, step, saved - began, held)
            state = {
                "weights": {name: one.detach() for name, one in weights.items()},
                "optimiser": optimiser.state_dict(),
            }
            torch.save(state | {"step": step, "seconds": saved - began}, point.with_suffix(".part"))
            point.with_suffix(".part").replace(point)
    spent = time.monotonic() - began
    held, _ = whole_held_out(weights, shape, text)
    save(out, weights, shape, text, step, spent, held)
    print(f"{step} steps, held out {held:.4f} nats, {held / math.log(2):.4f} bits a byte", flush=True)


def main() -> None:
    """Read the command line; train, or state the held-out loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=50.0)
    parser.add_argument("--out", type=Path, default=PACKAGED)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--eval", action="store_true")
    given = parser.parse_args()
    if not given.eval:
        train(given.out, given.minutes, given.threads, given.resume)
        return
    torch.set_num_threads(given.threads)
    text = corpus()
    tensors, header = read(given.out)
    weights = {name: torch.from_numpy(value.astype(np.float32)) for name, value in tensors.items()}
    held, count = whole_held_out(weights, Shape(**header["shape"]), text)
    same = text.digest == header.get("data_sha256")
    print(f"held out {held:.4f} nats, {held / math.log(2):.4f} bits a byte, over {count} bytes; ", end="")
    print(
        "the text it was trained beside"
        if same
        else "of another Python than it was trained on: some may have been trained on"
    )


if __name__ == "__main__":
    main()
