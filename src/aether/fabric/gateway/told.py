"""What a stream has told of its tokens: by pieces, by choices or at its end, as servers differ; the caller is told once, at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aether.fabric.gateway import upstream

MOST_TOKENS = 1 << 30  # of one answer that are believed: no model has such a context


class Told:
    """Usage of one stream. choices: of each prompt, as OpenAI's `n`; a choice's index tells its prompt by it."""

    def __init__(self, choices: int = 1) -> None:
        self._choices = max(choices, 1)
        # the newest of each choice: vLLM's in every piece, llama.cpp's in its last
        self._each: dict[int, Mapping[str, Any]] = {}
        self._whole: list[Mapping[str, Any]] = []  # of pieces without choices: one, or of llama.cpp one a choice
        self._pieces, self._form = 0, dict[str, Any]()

    def take(self, piece: dict[str, Any]) -> dict[str, Any] | None:
        """A piece as the caller shall see it; none for one that bears usage alone. ValueError where usage is no object."""
        usage, choices = piece.get("usage"), piece.get("choices")
        if usage and not isinstance(usage, dict):
            raise ValueError("usage is no object")
        self._form = piece
        if not choices:
            if usage:
                self._whole.append(usage)
            return None if usage else piece
        if timings := piece.pop("timings", None):
            usage = usage or _timed(timings)
        if usage:
            index = choices[0].get("index") if isinstance(choices[0], dict) else None
            self._each[index if isinstance(index, int) else 0] = usage
            piece.pop("usage", None)
        elif upstream.told(piece):
            self._pieces += 1
        return piece

    def last(self) -> dict[str, Any] | None:
        """The piece that tells usage at a stream's end; none where the server has told nothing."""
        usage = self._sum()
        if usage is None:
            return None
        head = {k: v for k, v in self._form.items() if k not in ("choices", "usage")}
        return {**head, "choices": [], "usage": usage}

    def tokens(self) -> tuple[int, int, int]:
        """Tokens in, out, and of those in the ones that were cached; a piece is a token where the server has told nothing."""
        usage = self._sum()
        return tokens(usage) if usage is not None else (0, self._pieces, 0)

    def _sum(self) -> dict[str, Any] | None:
        told = self._whole or list(self._each.values())
        if len(told) == 1:
            return dict(told[0])
        if self._whole:
            return _total([self._whole])
        prompts: dict[int, list[Mapping[str, Any]]] = {}
        for index, usage in self._each.items():
            prompts.setdefault(index // self._choices, []).append(usage)
        return _total(prompts.values()) if prompts else None


def _total(prompts: Iterable[list[Mapping[str, Any]]]) -> dict[str, Any]:
    """Usage of several answers: a prompt is read once, whatever is written after it."""
    into = out = cached = 0
    for answers in prompts:
        made = [tokens(usage) for usage in answers]
        into, cached = into + max(m[0] for m in made), cached + max(m[2] for m in made)
        out += sum(m[1] for m in made)
    return _usage(into, out, cached)


def _usage(into: int, out: int, cached: int) -> dict[str, Any]:
    return {
        "prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out, "prompt_tokens_details": {"cached_tokens": cached},
    }  # fmt: skip


def _timed(timings: object) -> dict[str, Any] | None:
    """Usage by llama.cpp's timings, which it tells with each token where it is asked to."""
    if not isinstance(timings, dict):
        return None
    read, cached, out = (count(timings.get(name)) for name in ("prompt_n", "cache_n", "predicted_n"))
    return _usage(read + cached, out, cached)


def tokens(usage: Mapping[str, Any]) -> tuple[int, int, int]:
    """Tokens in, out, and of those in the ones that were cached."""
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return count(usage.get("prompt_tokens")), count(usage.get("completion_tokens")), count(cached)


def count(told: object) -> int:
    """A number of tokens as a server tells it, who may tell anything."""
    return min(max(told, 0), MOST_TOKENS) if isinstance(told, int) else 0
