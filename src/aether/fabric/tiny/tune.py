"""Tune aether-tiny on conversations: low-rank adapters (Hu et al. 2021, LoRA) in torch, `python -m aether.fabric.tiny.tune`."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from aether.fabric.tiny import reference, text
from aether.fabric.tiny.asked import Wrong, messages
from aether.fabric.tiny.weights import PACKAGED, PROJECTIONS, Shape, digest, full_name, read, replace, write

if TYPE_CHECKING:
    import torch

BATCH = 8  # examples in one step
STEPS = 80  # at least, by default: a few dozen short examples are learnt by then
CLIP = 1.0  # norm of the gradient
MAX_EXAMPLES = 50_000  # an hour and more on two cores: a larger file is a mistake


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation as tokens, and which of them are learnt: those of the assistant's turns."""

    tokens: tuple[int, ...]
    learnt: tuple[bool, ...]
    weight: float = 1.0


def examples(path: Path, context: int) -> list[Example]:
    """The conversations of a JSONL file; ValueError with every problem beside its line."""
    found: list[Example] = []
    problems: list[str] = []
    for n, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        if line.strip():
            try:
                found.append(_example(json.loads(line), context))
            except Wrong as wrong:
                problems.append(
                    f"line {n}: {wrong.param}: {wrong.message}" if wrong.param else f"line {n}: {wrong.message}"
                )
            except (ValueError, RecursionError) as error:
                problems.append(f"line {n}: {error}")
    if not found and not problems:
        problems.append("there is no example")
    if len(found) > MAX_EXAMPLES:
        problems.append(f"there are more than {MAX_EXAMPLES} examples")
    if problems:
        raise ValueError("\n".join(f"{path.name}: {one}" for one in problems))
    return found


def _example(record: Any, context: int) -> Example:
    if not isinstance(record, dict):
        raise ValueError("an example is an object with 'messages'")
    if strange := record.keys() - {"messages", "weight"}:
        raise ValueError(f"unknown: {', '.join(sorted(strange))}; an example has 'messages' and, if wanted, 'weight'")
    messages(record)  # the server's own reading: what it would refuse is refused here
    weight = record.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0.0 <= weight <= 100.0:
        raise ValueError("'weight' is a number from 0 to 100")
    tokens, learnt = list(text.conversation([])[:1]), [False]
    for one in record["messages"]:
        role, content = "system" if one["role"] == "developer" else one["role"], one["content"]
        words = content if isinstance(content, str) else "".join(part["text"] for part in content)
        whole, head = text.turn(role, words), len(text.encoded(f"# {role}\n"))
        tokens += whole
        learnt += [False] * head + [role == "assistant"] * (len(whole) - head)
    if not any(learnt):
        raise ValueError("no message is the assistant's: nothing could be learnt")
    if len(tokens) > context:
        raise ValueError(f"{len(tokens)} tokens (bytes), more than the context of {context}")
    return Example(tuple(tokens), tuple(learnt), float(weight))


def tune(
    data: Sequence[Example], validation: Sequence[Example], out: Path, *, epochs: int | None, rank: int, learning_rate: float,
    seed: int, base: Path = PACKAGED, said: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:  # fmt: skip
    """Train an adapter and write it; returns what `adapter.json` says. Losses in nats per token of assistants' turns."""
    import torch

    began = time.monotonic()
    torch.manual_seed(seed)
    tensors, header = read(base)
    shape = Shape(**header["shape"])
    weights = {name: torch.from_numpy(value.astype(np.float32)) for name, value in tensors.items()}
    changes = {
        (n, name): (
            (torch.randn(rank, shape.size(name)[1]) / math.sqrt(shape.size(name)[1])).requires_grad_(),
            torch.zeros(shape.size(name)[0], rank).requires_grad_(),
        )
        for n in range(shape.layers)
        for name in PROJECTIONS
    }

    def measured(rows: Sequence[Example]) -> float | None:
        with torch.no_grad():
            sums = [_loss(weights, shape, rows[n : n + BATCH], changes, mean=False) for n in range(0, len(rows), BATCH)]
        share = sum(one.weight * sum(one.learnt) for one in rows)
        return float(sum(map(float, sums)) / share) if share else None

    before = {"train": measured(data), "validation": measured(validation)}
    steps, trained = _learn(weights, shape, data, changes, epochs, learning_rate, seed, said)
    after = {"train": measured(data), "validation": measured(validation)}
    named = {
        f"{full_name(n, name)}.{end}": part.detach().numpy()
        for (n, name), parts in changes.items()
        for end, part in zip("ab", parts, strict=True)
    }
    told = {
        "base": digest(tensors), "rank": rank, "scale": 1.0, "examples": len(data), "steps": steps, "seed": seed,
        "learning_rate": learning_rate, "loss_before": before, "loss_after": after, "trained_tokens": trained,
        "seconds": round(time.monotonic() - began, 3), "torch": str(torch.__version__), "python": platform.python_version(),
    }  # fmt: skip
    write(out / "adapter.npz", named, told)
    replace(out / "adapter.json", json.dumps(told, indent=2).encode())
    return told


def _learn(
    weights: dict[str, torch.Tensor], shape: Shape, data: Sequence[Example], changes: Any, epochs: int | None,
    learning_rate: float, seed: int, said: Callable[[dict[str, Any]], None],
) -> tuple[int, int]:  # fmt: skip
    """Take the steps; how many they were, and tokens that went through."""
    import torch

    parameters = [part for parts in changes.values() for part in parts]
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    a_round = -(-len(data) // BATCH)
    rounds = epochs or max(3, -(-STEPS // a_round))
    random, step, trained = np.random.default_rng(seed), 0, 0
    for epoch in range(rounds):
        order = random.permutation(len(data))
        for start in range(0, len(data), BATCH):
            rows = [data[n] for n in order[start : start + BATCH]]
            share = step / (rounds * a_round)
            optimiser.param_groups[0]["lr"] = learning_rate * min(1.0, (step + 1) / 10) * (1.0 - 0.9 * share)
            loss = _loss(weights, shape, rows, changes)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, CLIP)
            optimiser.step()
            step, trained = step + 1, trained + sum(len(one.tokens) for one in rows)
            said({"step": step, "epoch": epoch + 1, "loss": round(loss.item(), 5)})
    return step, trained


def _loss(
    weights: dict[str, torch.Tensor], shape: Shape, rows: Sequence[Example], changes: Any, *, mean: bool = True
) -> torch.Tensor:
    """Weighted loss over the assistants' tokens of some examples, in nats."""
    import torch
    from torch.nn import functional

    longest = max(len(one.tokens) for one in rows)
    tokens, share = np.zeros((len(rows), longest), np.int64), np.zeros((len(rows), longest), np.float32)
    for n, one in enumerate(rows):
        tokens[n, : len(one.tokens)] = one.tokens
        share[n, : len(one.tokens)] = np.array(one.learnt) * one.weight
    read, weight = torch.from_numpy(tokens), torch.from_numpy(share[:, 1:])
    expected = reference.logits(weights, shape, read[:, :-1], changes)
    each = functional.cross_entropy(expected.transpose(1, 2), read[:, 1:], reduction="none") * weight
    return each.sum() / weight.sum().clamp_min(1e-6) if mean else each.sum()


def main() -> None:
    """Read the command line, tune, and say how it went on; exit 2 where the data are wrong."""
    parser = argparse.ArgumentParser(prog="python -m aether.fabric.tiny.tune", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--validation", type=Path)
    parser.add_argument("--epochs", type=int, help=f"by default as many as make {STEPS} steps, at least 3")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suffix", default="", help="kept in adapter.json's progress line")
    parser.add_argument("--progress", type=Path, help="a file for progress, instead of standard output")
    parser.add_argument("--weights", type=Path, default=PACKAGED)
    given = parser.parse_args()
    if not 1 <= given.rank <= 64 or (given.epochs is not None and given.epochs < 1) or not 0 < given.learning_rate < 1:
        parser.error("--rank: 1 to 64; --epochs: at least 1; --learning-rate: between 0 and 1")
    try:
        import torch
    except ImportError:
        parser.error("tuning needs torch: pip install 'aether-fabric[train]'")
    torch.set_num_threads(1)  # others work on this machine too
    _, header = read(given.weights)
    try:
        data = examples(given.data, header["shape"]["context"])
        validation = examples(given.validation, header["shape"]["context"]) if given.validation else []
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
    stream = given.progress.open("a") if given.progress else os.fdopen(os.dup(1), "w")
    with stream:
        told = tune(
            data, validation, given.out, epochs=given.epochs, rank=given.rank, learning_rate=given.learning_rate,
            seed=given.seed, base=given.weights, said=lambda line: _print(stream, line),
        )  # fmt: skip
        _print(stream, {"suffix": given.suffix, "loss": told["loss_after"]["train"], **told})


def _print(stream: TextIO, line: dict[str, Any]) -> None:
    print(json.dumps(line), file=stream, flush=True)


if __name__ == "__main__":
    main()
