"""Write aether-tiny as a GGUF file, so that llama.cpp serves the same model: `python tools/export_tiny.py --out FILE`, with PyPI's `gguf`.

Its tokens stay bytes: the vocabulary is GPT-2's of single bytes without merges, so that any text goes there and back as it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from aether.fabric.tiny.weights import BOS, PACKAGED, PROJECTIONS, Shape, full_name, read

EPSILON, ROTARY_BASE = 1e-5, 10_000.0  # as in aether.fabric.tiny.model, which needs numba
MARK = "<|endoftext|>"  # begins a document and ends a turn
NEVER = "\u00fe \u00ff"  # a merge is asked for: of two bytes that UTF-8 does not have
# as `aether.fabric.tiny.text.conversation` writes turns; llama.cpp puts the first mark there itself
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '# ' + ('system' if message['role'] == 'developer' else message['role']) + '\\n' + message['content'] + '" + MARK + "' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '# assistant\\n' }}{% endif %}"
)  # fmt: skip
BLOCK = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}  # fmt: skip


def letters() -> list[str]:
    """The character by which GPT-2's vocabulary writes each byte: itself where it can be seen, else one from 256 on."""
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(0x100, 0x200))
    return [chr(byte if byte in seen else next(hidden)) for byte in range(256)]


def paired(matrix: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows of a projection in llama.cpp's order: what is turned together lies side by side, not half a head apart."""
    halves = matrix.reshape(heads, 2, -1, matrix.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(matrix.shape))


def export(source: Path, out: Path) -> None:
    """Write the model of a file of aether-tiny as GGUF, in float32."""
    tensors, header = read(source)
    shape = Shape(**header["shape"])
    file = gguf.GGUFWriter(out, "llama")
    file.add_name("aether-tiny")
    file.add_file_type(gguf.LlamaFileType.ALL_F32)
    file.add_context_length(shape.context)
    file.add_embedding_length(shape.width)
    file.add_block_count(shape.layers)
    file.add_feed_forward_length(shape.inner)
    file.add_head_count(shape.heads)
    file.add_head_count_kv(shape.heads)
    file.add_rope_dimension_count(shape.width // shape.heads)
    file.add_rope_freq_base(ROTARY_BASE)
    file.add_layer_norm_rms_eps(EPSILON)
    file.add_vocab_size(BOS + 1)
    vocabulary(file)

    def add(name: str, tensor: NDArray[Any]) -> None:
        file.add_tensor(f"{name}.weight", np.ascontiguousarray(tensor, np.float32))

    add("token_embd", tensors["model.embed_tokens.weight"][: BOS + 1])
    add("output_norm", tensors["model.norm.weight"])
    for n in range(shape.layers):
        add(f"blk.{n}.attn_norm", tensors[f"model.layers.{n}.input_layernorm.weight"])
        add(f"blk.{n}.ffn_norm", tensors[f"model.layers.{n}.post_attention_layernorm.weight"])
        for name in PROJECTIONS:
            tensor = tensors[full_name(n, name)]
            add(f"blk.{n}.{BLOCK[name]}", paired(tensor, shape.heads) if name in "qk" else tensor)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def vocabulary(file: gguf.GGUFWriter) -> None:
    """Say that tokens are the 256 bytes and one mark, and how turns are written."""
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("gpt-2")
    file.add_token_list([*letters(), MARK])
    file.add_token_types([*[gguf.TokenType.NORMAL] * 256, gguf.TokenType.CONTROL])
    file.add_token_merges([NEVER])
    file.add_bos_token_id(BOS)
    file.add_eos_token_id(BOS)
    file.add_add_bos_token(True)
    file.add_add_eos_token(False)
    file.add_chat_template(TEMPLATE)


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=PACKAGED)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    export(given.weights, given.out)


if __name__ == "__main__":
    main()
