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

BATCH = 8  # examples in one step, by default
MOST_BATCH = 64  # of full contexts take some 2.5 GB in training
LEARNING_RATE = 1e-2  # by default: a hundred steps learn short answers by heart
MULTIPLIERS = (0.01, 10.0)  # of the learning rate: below nothing is learnt, above it diverges
STEPS = 80  # at least, by default: a few dozen short examples are learnt by then
CLIP = 1.0  # norm of the gradient
MOST_ERROR = 2_000  # characters of what is wrong, in the progress
MAX_EXAMPLES = 50_000  # an hour and more on two cores: a larger file is a mistake


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation as tokens, and which of them are learnt: those of the assistant's turns."""

    tokens: tuple[int, ...]
    learnt: tuple[bool, ...]
    weight: float = 1.0
    cut: int = 0  # tokens that did not fit the context, from the front


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
    cut = max(
        len(tokens) - context, 0
    )  # the answer stands at the end: what is too much goes from the front, but for the mark
    if not any(learnt[1 + cut :]):
        raise ValueError(
            f"of {len(tokens)} tokens (bytes) the last {context - 1} are kept, none of them the assistant's"
        )
    return Example((*tokens[:1], *tokens[1 + cut :]), (False, *learnt[1 + cut :]), float(weight), cut)


def tune(
    data: Sequence[Example], validation: Sequence[Example], out: Path, *, epochs: int | None, rank: int, learning_rate: float,
    seed: int, batch: int = BATCH, base: Path = PACKAGED, said: Callable[[dict[str, Any]], None],
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

    a_round = -(-len(data) // batch)
    plan = {
        "examples": len(data), "truncated_examples": sum(one.cut > 0 for one in data), "epochs": epochs or max(3, -(-STEPS // a_round)),
        "batch_size": batch, "learning_rate": learning_rate, "rank": rank, "seed": seed,
    }  # fmt: skip
    said(plan)
    before = {"train": measured(data), "validation": measured(validation)}
    steps, trained = _learn(weights, shape, data, changes, plan, said)
    after = {"train": measured(data), "validation": measured(validation)}
    named = {
        f"{full_name(n, name)}.{end}": part.detach().numpy()
        for (n, name), parts in changes.items()
        for end, part in zip("ab", parts, strict=True)
    }
    told = {
        **plan, "base": digest(tensors), "scale": 1.0, "steps": steps, "loss_before": before, "loss_after": after,
        "trained_tokens": trained, "mean_tokens": round(trained / (len(data) * plan["epochs"]), 2),
        "seconds": round(time.monotonic() - began, 3), "torch": str(torch.__version__), "python": platform.python_version(),
    }  # fmt: skip
    write(out / "adapter.npz", named, told)
    replace(out / "adapter.json", json.dumps(told, indent=2).encode())
    return told


def _learn(
    weights: dict[str, torch.Tensor], shape: Shape, data: Sequence[Example], changes: Any,
    plan: dict[str, Any], said: Callable[[dict[str, Any]], None],
) -> tuple[int, int]:  # fmt: skip
    """Take the steps; how many they were, and tokens that went through."""
    import torch

    parameters = [part for parts in changes.values() for part in parts]
    learning_rate, batch, rounds = plan["learning_rate"], plan["batch_size"], plan["epochs"]
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    a_round = -(-len(data) // batch)
    random, step, trained = np.random.default_rng(plan["seed"]), 0, 0
    for epoch in range(rounds):
        order = random.permutation(len(data))
        for start in range(0, len(data), batch):
            rows = [data[n] for n in order[start : start + batch]]
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
    """Read the command line, tune, and say how it went on; exit 2, after a line with `error`, where that cannot be."""
    given = _asked()
    stream = given.progress.open("a") if given.progress else os.fdopen(os.dup(1), "w")
    with stream:
        try:
            told = _tuned(given, lambda line: _print(stream, line))
        except (OSError, ValueError) as error:
            _print(stream, {"error": str(error)[:MOST_ERROR]})
            print(error, file=sys.stderr)
            raise SystemExit(2) from error
        _print(stream, {"suffix": given.suffix, "loss": told["loss_after"]["train"], **told})


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m aether.fabric.tiny.tune", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--validation", type=Path)
    parser.add_argument("--epochs", type=int, help=f"by default as many as make {STEPS} steps, at least 3")
    parser.add_argument("--batch-size", type=int, default=BATCH, help=f"examples in one step, at most {MOST_BATCH}")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--learning-rate-multiplier", type=float, default=1.0, help="of --learning-rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suffix", default="", help="kept in adapter.json's progress line")
    parser.add_argument("--progress", type=Path, help="a file for progress, instead of standard output")
    parser.add_argument("--weights", type=Path, default=PACKAGED)
    return parser.parse_args()


def _tuned(given: argparse.Namespace, said: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Check what is asked, read the examples and tune; ValueError with all that is wrong."""
    least, most = MULTIPLIERS
    bounds = {
        "--rank: 1 to 64": 1 <= given.rank <= 64,
        "n_epochs: at least 1": given.epochs is None or given.epochs >= 1,
        f"batch_size: 1 to {MOST_BATCH}": 1 <= given.batch_size <= MOST_BATCH,
        "--learning-rate: between 0 and 1": 0.0 < given.learning_rate < 1.0,
        f"learning_rate_multiplier: {least:g} to {most:g}": least <= given.learning_rate_multiplier <= most,
    }
    if wrong := [text for text, fine in bounds.items() if not fine]:
        raise ValueError("aether-tiny takes " + "; ".join(wrong))
    try:
        import torch
    except ImportError as error:
        raise ValueError("tuning needs torch: pip install 'aether-fabric[train]'") from error
    torch.set_num_threads(1)  # others work on this machine too
    _, header = read(given.weights)
    context = header["shape"]["context"]
    data = examples(given.data, context)
    validation = examples(given.validation, context) if given.validation else []
    rate = given.learning_rate * given.learning_rate_multiplier
    return tune(
        data, validation, given.out, epochs=given.epochs, rank=given.rank, learning_rate=rate, seed=given.seed,
        batch=given.batch_size, base=given.weights, said=said,
    )  # fmt: skip


def _print(stream: TextIO, line: dict[str, Any]) -> None:
    print(json.dumps(line), file=stream, flush=True)


if __name__ == "__main__":
    main()
