"""OpenAI's completions and embeddings: checked and passed through."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from aether.fabric.gateway.dialects import Asked, Bill, Dialect
from aether.fabric.gateway.dialects import trouble as said
from aether.fabric.gateway.dialects.chat import KNOWN_BY, SAMPLING, STREAM, Chunks, finish, whole
from aether.fabric.gateway.dialects.form import (
    BOOLEAN,
    MODEL,
    STRING,
    Field,
    Path,
    Wrong,
    check,
    integer,
    kind_of,
    one_of,
    read,
    spoken,
)  # fmt: skip

PROMPT = Field(("string", "array"), low=1, required=True)
COMPLETION = {
    "model": MODEL, "prompt": Field(("string", "array"), required=True), **SAMPLING, **STREAM, **KNOWN_BY, "best_of": integer(1, 20),
    "echo": BOOLEAN, "logprobs": integer(0, 5), "suffix": STRING,
}  # fmt: skip
EMBEDDING = {
    "model": MODEL, "input": PROMPT, "dimensions": integer(1), "encoding_format": one_of("float", "base64"), "user": STRING,
}  # fmt: skip
INPUTS = 2048  # texts in one request, OpenAI's own bound


def _prompt(value: Any, path: Path) -> None:
    """A text, a list of texts, token numbers, or a list of lists of them."""
    if isinstance(value, str):
        return
    check(value, Field(("array",), low=1), path)
    kind = kind_of(value[0])
    if kind not in ("string", "integer", "array"):
        raise Wrong((*path, 0), "kind", ("string", "integer", "array"), kind)
    if kind != "integer":
        check(value, Field(("array",), high=INPUTS), path)
    for i, item in enumerate(value):
        check(item, Field((kind,)), (*path, i))
        for j, token in enumerate(item if kind == "array" else ()):
            check(token, integer(0), (*path, i, j))
        if kind == "integer":
            check(item, integer(0), (*path, i))


def _completion(body: Any) -> Asked:
    kept = read(body, COMPLETION)
    _prompt(kept["prompt"], ("prompt",))
    return finish(kept, kept["prompt"])


def _embedding(body: Any) -> Asked:
    kept = read(body, EMBEDDING)
    _prompt(kept["input"], ("input",))
    encoding, same = kept.get("encoding_format", "float"), kept.pop("user", "")
    kept["encoding_format"] = "float"  # servers that know no other are asked too; the packing is done here
    return Asked(kept, kept["model"], same=same, opening=kept["input"], said={"encoding_format": encoding})


def _vectors(body: dict[str, Any], asked: Asked, bill: Bill) -> dict[str, Any]:
    """An answer of vectors, packed as little-endian 32-bit floats where that was asked for."""
    body = whole(body, asked, bill)
    if asked.said["encoding_format"] == "base64":
        packed = []
        for item in body["data"]:
            vector = item["embedding"]
            text = (
                base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode() if isinstance(vector, list) else vector
            )
            packed.append({**item, "embedding": text})
        body["data"] = packed
    return body


completions = Dialect("/v1/completions", said.openai, spoken(said.openai_says, _completion), whole, Chunks)
embeddings = Dialect("/v1/embeddings", said.openai, spoken(said.openai_says, _embedding), _vectors, None)
