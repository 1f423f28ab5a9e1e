"""What aether-tiny knows: its shape, its weights and the adapters tuned on them, as files of numpy."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Tensors = Mapping[str, NDArray[Any]]
PACKAGED = Path(__file__).with_name("aether-tiny.npz")
BOS = 256  # after the 256 bytes: a document begins, and so the one before has ended
END = 256  # a turn ends as a document does: 257 was never trained, and untrained marks lie close to one another
SPARE = 257  # never drawn
VOCABULARY = 258  # the bytes and the two marks
PROJECTIONS = ("q", "k", "v", "o", "gate", "up", "down")  # what an adapter may change, in each layer
MAX_ADAPTER_BYTES = 8 << 20  # a rank of 64 on every projection takes 4 MB


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the model is; Llama's form with half-split rotary positions and a tied output."""

    width: int = 192
    layers: int = 4
    heads: int = 3
    inner: int = 512
    context: int = 512

    def size(self, projection: str) -> tuple[int, int]:
        """Rows and columns of a projection's matrix, (out, in)."""
        return {"gate": (self.inner, self.width), "up": (self.inner, self.width), "down": (self.width, self.inner)}.get(
            projection, (self.width, self.width)
        )


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's matrices, transposed to (in, out) for rows of activations; those of one input lie side by side."""

    norm_attention: Floats
    qkv: Floats
    o: Floats
    norm_inner: Floats
    gate_up: Floats
    down: Floats


@dataclass(frozen=True, slots=True)
class Weights:
    """A model as it is served. embedding: (vocabulary, width). header: how it was trained. digest: of all of its numbers."""

    shape: Shape
    embedding: Floats
    output: Floats
    layers: tuple[Layer, ...]
    norm: Floats
    digest: str
    header: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """Low-rank changes to a model: by (layer, projection), (in, rank) and (rank, out), its scale already in the second."""

    parts: Mapping[tuple[int, str], tuple[Floats, Floats]] = field(repr=False)
    rank: int
    base: str


def full_name(layer: int, projection: str) -> str:
    """A projection's name as Llama checkpoints have it."""
    room = "self_attn" if projection in "qkvo" else "mlp"
    return f"model.layers.{layer}.{room}.{projection}_proj.weight"


def digest(tensors: Tensors) -> str:
    """SHA-256 over names and float16 values, in the order of names."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        whole.update(name.encode())
        whole.update(np.ascontiguousarray(tensors[name], dtype="<f2").tobytes())
    return whole.hexdigest()


def write(path: Path, tensors: Tensors, header: Mapping[str, Any]) -> None:
    """Write tensors as float16 with a JSON header, whole or not at all."""
    packed = io.BytesIO()
    said = np.frombuffer(json.dumps(dict(header), sort_keys=True).encode(), np.uint8)
    arrays: dict[str, Any] = {"header": said} | {name: np.asarray(value, np.float16) for name, value in tensors.items()}
    np.savez(packed, **arrays)
    replace(path, packed.getvalue())


def replace(path: Path, data: bytes) -> None:
    """Put a file in another's place, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
        part.write(data)
        part.flush()
        os.fsync(part.fileno())
    Path(part.name).chmod(0o644)
    Path(part.name).replace(path)


def read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The tensors and the header of a file that `write` made; ValueError for anything else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            tensors = {name: file[name] for name in file.files}
        return tensors, json.loads(tensors.pop("header").tobytes())
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path.name}: not a file of aether-tiny: {error}") from error


def described(shape: Shape, **more: Any) -> dict[str, Any]:
    """A header: the shape beside what else is to be said."""
    return {"shape": asdict(shape), **more}


def load(path: Path = PACKAGED) -> Weights:
    """A model from its file; ValueError where it is not one."""
    tensors, header = read(path)
    shape = Shape(**header["shape"])
    wide = {name: np.asarray(value, np.float32) for name, value in tensors.items()}

    def side_by_side(layer: int, *projections: str) -> Floats:
        return np.ascontiguousarray(np.concatenate([wide[full_name(layer, one)] for one in projections]).T)

    layers = tuple(
        Layer(
            norm_attention=wide[f"model.layers.{n}.input_layernorm.weight"],
            qkv=side_by_side(n, "q", "k", "v"),
            o=side_by_side(n, "o"),
            norm_inner=wide[f"model.layers.{n}.post_attention_layernorm.weight"],
            gate_up=side_by_side(n, "gate", "up"),
            down=side_by_side(n, "down"),
        )
        for n in range(shape.layers)
    )
    embedding = wide["model.embed_tokens.weight"]
    output = np.ascontiguousarray(embedding.T)
    return Weights(shape, embedding, output, layers, wide["model.norm.weight"], digest(tensors), header)


def load_adapter(path: Path, weights: Weights) -> Adapter:
    """An adapter from its folder or its file; ValueError where it is none, is broken, or was made for other weights."""
    file = path / "adapter.npz" if path.is_dir() else path
    if not file.is_file():
        raise ValueError("there is no adapter.npz there")
    if file.stat().st_size > MAX_ADAPTER_BYTES:
        raise ValueError(f"the adapter is larger than {MAX_ADAPTER_BYTES} bytes")
    try:
        with zipfile.ZipFile(file) as packed:
            size = sum(one.file_size for one in packed.infolist())
    except zipfile.BadZipFile as error:
        raise ValueError(f"{file.name}: not a file of aether-tiny: {error}") from error
    if size > MAX_ADAPTER_BYTES:
        raise ValueError(f"the adapter unpacks to more than {MAX_ADAPTER_BYTES} bytes")
    tensors, header = read(file)
    if header.get("base") != weights.digest:
        raise ValueError("the adapter was made for other weights than these")
    parts, scale, rank = {}, np.float32(header["scale"]), int(header["rank"])
    for layer in range(weights.shape.layers):
        for projection in PROJECTIONS:
            out, inn = weights.shape.size(projection)
            down, up = (np.asarray(tensors[f"{full_name(layer, projection)}.{end}"], np.float32) for end in "ab")
            if (
                down.shape != (rank, inn)
                or up.shape != (out, rank)
                or not (np.isfinite(down).all() and np.isfinite(up).all())
            ):
                raise ValueError(f"{full_name(layer, projection)}: not finite, or not of rank {rank}")
            parts[layer, projection] = np.ascontiguousarray(down.T), np.ascontiguousarray(up.T) * scale
    return Adapter(parts, rank, header["base"])
