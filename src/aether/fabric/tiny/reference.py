"""The same model in torch, for training and tuning, and as what the inference is held to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aether.fabric.tiny.model import EPSILON, ROTARY_BASE
from aether.fabric.tiny.weights import PROJECTIONS, VOCABULARY, Shape, full_name

if TYPE_CHECKING:
    import torch

Changes = Mapping[tuple[int, str], tuple["torch.Tensor", "torch.Tensor"]]


def tables(shape: Shape) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of the rotary positions, (context, half a head)."""
    import torch

    head = shape.width // shape.heads
    angles = torch.arange(shape.context)[:, None] / (ROTARY_BASE ** (torch.arange(0, head, 2) / head))[None]
    return angles.cos(), angles.sin()


def drawn(shape: Shape) -> dict[str, torch.Tensor]:
    """Weights before training: normal with 0.02, smaller by the root of twice the layers where they end in the residual."""
    import torch

    narrow = 0.02 / math.sqrt(2 * shape.layers)
    found = {"model.embed_tokens.weight": torch.randn(VOCABULARY, shape.width) * 0.02}
    for n in range(shape.layers):
        found[f"model.layers.{n}.input_layernorm.weight"] = torch.ones(shape.width)
        found[f"model.layers.{n}.post_attention_layernorm.weight"] = torch.ones(shape.width)
        for name in PROJECTIONS:
            found[full_name(n, name)] = torch.randn(*shape.size(name)) * (narrow if name in ("o", "down") else 0.02)
    found["model.norm.weight"] = torch.ones(shape.width)
    return found


def logits(
    weights: Mapping[str, torch.Tensor], shape: Shape, tokens: torch.Tensor, changes: Changes | None = None
) -> torch.Tensor:
    """What each token of (batch, time) expects next, (batch, time, vocabulary). changes: an adapter's, (rank, in) and (out, rank)."""
    import torch
    from torch.nn import functional

    cosines, sines = (table[: tokens.shape[1]] for table in tables(shape))

    def linear(x: torch.Tensor, layer: int, name: str) -> torch.Tensor:
        y = functional.linear(x, weights[full_name(layer, name)])
        if changes is None:
            return y
        down, up = changes[layer, name]
        return y + functional.linear(functional.linear(x, down), up)

    def norm(x: torch.Tensor, gain: str) -> torch.Tensor:
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * weights[gain]

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.view(*tokens.shape, shape.heads, -1).transpose(1, 2)

    def turned(x: torch.Tensor) -> torch.Tensor:
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cosines - b * sines, b * cosines + a * sines], dim=-1)

    x: Any = functional.embedding(tokens, weights["model.embed_tokens.weight"])
    for n in range(shape.layers):
        h = norm(x, f"model.layers.{n}.input_layernorm.weight")
        q, k, v = (heads(linear(h, n, name)) for name in "qkv")
        y = functional.scaled_dot_product_attention(turned(q), turned(k), v.float(), is_causal=True)
        x = x + linear(y.transpose(1, 2).reshape(*tokens.shape, -1), n, "o")
        h = norm(x, f"model.layers.{n}.post_attention_layernorm.weight")
        x = x + linear(functional.silu(linear(h, n, "gate")) * linear(h, n, "up"), n, "down")
    return functional.linear(norm(x, "model.norm.weight"), weights["model.embed_tokens.weight"])
