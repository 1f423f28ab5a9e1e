"""What a transformer costs: parameters, floating-point operations, bytes held and bytes read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from aether.base.errors import InputError, Problem, nearest, unknown
from aether.base.tables import Floats
from aether.scenario.catalog import LanguageModel

WEIGHT_BYTES = {"bf16": 2.0, "fp8": 1.0, "fp4": 0.5}  # per value; scales of blocks (3 to 12 %) left out
CACHE_BYTES = {"bf16": 2.0, "fp8": 1.0, "fp4": 1.0}  # caches are kept at FP8 at least, as servers offer them


@dataclass(frozen=True, slots=True)
class Parameters:
    """Counts of parameters: all, those a token passes, and of these the ones only looked up (no arithmetic)."""

    total: float
    active: float
    embedding: float


def parameters(model: LanguageModel) -> Parameters:
    """How many parameters a model has and how many of them a token passes.

    Per layer: attention W_q, W_k, W_v, W_o (latent attention: its down and up projections) and a feed-forward block of 2
    or, gated, 3 matrices, or a router with experts; besides, the input embedding, learned positions and, untied, the head.
    model: the shape. Returns Parameters [1]; `active` counts embeddings as most authors do.
    Valid to 0.1 %: norms and biases are left out. References: [1] Vaswani et al. 2017. [2] arXiv 2412.19437, 2.1 for
    latent attention.
    """
    matrices = 3 if model.gated else 2
    dense = matrices * model.hidden * model.ffn
    expert = matrices * model.hidden * model.expert_ffn
    sparse_layers = model.layers - model.dense_layers if model.experts else 0
    every = model.layers * _attention(model) + (model.layers - sparse_layers) * dense
    every += sparse_layers * (model.shared_experts * expert + model.hidden * model.experts)  # shared ones and router
    table = model.vocabulary * model.hidden
    looked_up = model.positions * model.hidden + (0 if model.tied else table)
    whole = every + table + looked_up
    return Parameters(
        float(whole + sparse_layers * model.experts * expert),
        float(whole + sparse_layers * model.active_experts * expert),
        float(looked_up),
    )


def _attention(model: LanguageModel) -> int:
    """Parameters of one layer's attention."""
    value_dim = model.value_dim or model.head_dim
    out = model.heads * value_dim * model.hidden
    if not model.kv_rank:
        return model.hidden * (model.heads + model.kv_heads) * model.head_dim + (
            model.hidden * model.kv_heads * value_dim + out
        )
    query = model.heads * (model.head_dim + model.rope_dim)
    down = model.query_rank * (model.hidden + query) if model.query_rank else model.hidden * query
    cached = model.hidden * (model.kv_rank + model.rope_dim)
    return down + cached + model.kv_rank * model.heads * (model.head_dim + value_dim) + out


def attention_flops(model: LanguageModel, tokens: ArrayLike, context: ArrayLike, absorbed: bool = False) -> Floats:
    """Operations of attention itself, scores and weighted sums, without the projections.

    F = 2 n c L h (d_qk + d_v); absorbed latent attention works on the latent: d_qk = r + d_rope, d_v = r.
    tokens: n, queries [1]. context: c, mean keys a query sees [1]. absorbed: how a decoder runs latent attention (its
    cache is never unfolded); no difference to plain heads. Returns [FLOP], as the inputs broadcast.
    Valid for full attention in every layer. Reference: [1] arXiv 2412.19437, 2.1.1.
    """
    score, value = model.head_dim + model.rope_dim, model.value_dim or model.head_dim
    if absorbed and model.kv_rank:
        score, value = model.kv_rank + model.rope_dim, model.kv_rank
    return 2.0 * np.asarray(tokens, float) * np.asarray(context, float) * model.layers * model.heads * (score + value)


def forward_flops(model: LanguageModel, tokens: ArrayLike, context: ArrayLike) -> Floats:
    """Operations of a forward pass, plain (not absorbed) attention, head included.

    F = 2 n (P_active - P_embedding) + attention: two operations for each parameter that a token passes.
    tokens: n [1]. context: mean keys a token sees [1]; half the length for causal attention that skips what it masks.
    Returns [FLOP], as the inputs broadcast. Valid without norms, activations and softmax (below 1 %).
    Reference: [1] arXiv 2001.08361, 2.1.
    """
    count = parameters(model)
    return 2.0 * (count.active - count.embedding) * np.asarray(tokens, float) + attention_flops(model, tokens, context)


def training_flops(model: LanguageModel, tokens: ArrayLike, sequence: ArrayLike, recompute: bool = False) -> Floats:
    """Operations of training on tokens: forward, backward, and forward again where activations are recomputed.

    F = 3 F_forward, or 4 F_forward - 2 n V h: the head is not recomputed. Attention counts the whole sequence, masked
    half included, as the cited papers do.
    tokens: n [1]. sequence: length of one sequence [1]. recompute: full recomputation. Returns [FLOP], as broadcast.
    Valid as `forward_flops`. Reference: [1] arXiv 2104.04473, eq. 3: 96 B s l h^2 (1 + s/(6h) + V/(16 l h)).
    """
    forward = forward_flops(model, tokens, sequence)
    if not recompute:
        return 3.0 * forward
    return 4.0 * forward - 2.0 * np.asarray(tokens, float) * model.vocabulary * model.hidden


def kv_bytes(model: LanguageModel, tokens: ArrayLike, precision: str) -> Floats:
    """Bytes of keys and values that a context holds in memory.

    M = 2 n L h_kv d b, or latent: n L (r + d_rope) b. tokens: n [1]. precision: of the weights; the cache is kept at FP8
    at least. Returns [byte], shape of tokens. Raises InputError for a precision that is not known.
    Valid for full attention in every layer. References: [1] arXiv 2305.13245. [2] arXiv 2412.19437, 2.1.1.
    """
    value_dim = model.value_dim or model.head_dim
    width = model.kv_rank + model.rope_dim if model.kv_rank else model.kv_heads * (model.head_dim + value_dim)
    return np.asarray(tokens, float) * (model.layers * width * _bytes(CACHE_BYTES, precision))


def weight_bytes(model: LanguageModel, precision: str) -> float:
    """Bytes of all weights.

    M = P b. precision: bf16, fp8 or fp4. Returns [byte]. Raises InputError for another one.
    Valid where every matrix is stored at that precision; published FP8 and FP4 files keep some wider, which adds a few
    per cent. Reference: [1] arXiv 2310.10537 for narrow formats.
    """
    return parameters(model).total * _bytes(WEIGHT_BYTES, precision)


def read_bytes(model: LanguageModel, batch: ArrayLike, precision: str) -> Floats:
    """Weights read in one pass over a number of tokens.

    Dense: all but the embedding tables. Experts: the share 1 - (1 - k/E)^n of them, as if tokens chose independently.
    batch: n, tokens in the pass [1]. precision: bf16, fp8 or fp4. Returns [byte], shape of batch. Raises InputError.
    Valid for balanced routing; real routing is correlated and touches fewer. Reference: [1] arXiv 2401.04088 for k of E.
    """
    count = parameters(model)
    batch = np.asarray(batch, float)
    each = _bytes(WEIGHT_BYTES, precision)
    if not model.experts:
        return np.full_like(batch, (count.total - count.embedding) * each)
    routed = count.total - count.active  # what a token leaves out: (1 - k/E) of the routed experts
    share = model.active_experts / model.experts
    experts = routed / (1.0 - share) if share < 1.0 else 0.0
    always = count.total - count.embedding - experts
    return (always + experts * (1.0 - (1.0 - share) ** batch)) * each


def _bytes(table: dict[str, float], precision: str) -> float:
    if precision not in table:
        raise InputError(unknown("precision", "precision", precision, table))
    return table[precision]


_KEYS = {  # our name: the keys of published configuration files, the usual one first
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "heads": ("num_attention_heads", "n_head", "n_heads"),
    "vocabulary": ("vocab_size",),
    "kv_heads": ("num_key_value_heads", "num_kv_heads"),
    "ffn": ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"),
    "head_dim": ("head_dim",),
    "context": ("max_position_embeddings", "n_positions", "n_ctx"),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "active_experts": ("num_experts_per_tok", "experts_per_token"),
    "shared_experts": ("n_shared_experts",),
    "expert_ffn": ("moe_intermediate_size",),
    "dense_layers": ("first_k_dense_replace",),
    "query_rank": ("q_lora_rank",),
    "kv_rank": ("kv_lora_rank",),
    "rope_dim": ("qk_rope_head_dim",),
    "nope_dim": ("qk_nope_head_dim",),
    "value_dim": ("v_head_dim",),
    "wide_expert": ("shared_expert_intermediate_size",),
}
_NEEDED = ("layers", "hidden", "heads", "vocabulary")
_MAY_BE_ZERO = ("shared_experts", "dense_layers", "experts", "wide_expert")
_LARGEST = 100_000_000  # of any one number: beyond it is a slip of the hand
_PLAIN = ("gpt2", "gpt_neox", "gptj", "gpt_neo", "gpt_bigcode", "opt", "bloom", "falcon", "phi", "starcoder2", "mpt")
_LEARNED = ("gpt2", "gpt_neo", "gpt_bigcode", "opt")  # a table of positions
_TIED = ("gpt2", "gpt_neo", "gpt_bigcode", "opt", "bloom", "falcon", "mpt", "gemma", "gemma2", "gemma3", "gemma3_text")
_GROWN = 4  # feed-forward width over hidden where a plain model does not say it


def hugging_face(text: str, file: str) -> LanguageModel:
    """The shape in a Hugging Face `config.json`.

    text: of the file. file: its name, for messages and, where `_name_or_path` is absent, for the model's name.
    Returns a LanguageModel. Raises InputError with every missing or impossible key.
    Valid for decoders with softmax attention in every layer: Llama, Mistral, Mixtral, Qwen 2 and 3, DeepSeek V2 and V3,
    GPT-2, GPT-NeoX, Gemma, gpt-oss and their like; windows of attention are ignored.
    Reference: [1] huggingface.co/docs/transformers, configuration classes.
    """
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(Problem("", f"not JSON: {error.msg}", file=file, line=error.lineno)) from error
    except RecursionError as error:
        raise InputError(Problem("", "not JSON: nested too deeply", file=file)) from error
    if not isinstance(config, dict):
        raise InputError(Problem("", "a model's configuration is a mapping of keys", file=file))
    if isinstance(config.get("text_config"), dict):
        config = {**config, **config["text_config"]}
    problems: list[Problem] = []

    def tell(key: str, what: str, near: str = "", follow: str = "") -> None:
        found = text.find(f'"{key}"')
        problems.append(Problem(key, what, near, follow, file, text.count("\n", 0, found) + 1 if found >= 0 else 0))

    given = _numbers(config, tell)
    shape = _shape(config, given, tell)
    if problems:
        raise InputError(problems)
    name = str(config.get("_name_or_path") or "").rstrip("/").rpartition("/")[2] or _named(file)
    return LanguageModel(name=name.lower(), title=name, source=f"the configuration file {file}", date="",
                         confidence="published", **shape)  # fmt: skip


def _named(file: str) -> str:
    folder, _, last = file.replace("\\", "/").rpartition("/")
    stem = last.removesuffix(".json")
    return (folder.rpartition("/")[2] if stem == "config" else stem) or "model"


_Tell = Callable[..., None]


def _numbers(config: dict[str, Any], tell: _Tell) -> dict[str, int]:
    """The whole numbers that the file gives, under our names."""
    given: dict[str, int] = {}
    known = {key for keys in _KEYS.values() for key in keys}
    for name, keys in _KEYS.items():
        key = next((k for k in keys if config.get(k) is not None), "")
        if not key:
            if name in _NEEDED:
                near = nearest(keys[0], [str(k) for k in config if k not in known])
                what = f"unknown, and '{keys[0]}' is missing" if near else "is missing"
                tell(
                    near or keys[0], what, keys[0] if near else "", "" if near else f"One of {', '.join(keys)} says it"
                )
            continue
        value, least = config[key], 0 if name in _MAY_BE_ZERO else 1
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
            tell(key, f"must be a whole number from {least} to {_LARGEST:,}, got {str(value)[:40]!r}")
        else:
            given[name] = value
    return given


def _shape(config: dict[str, Any], given: dict[str, int], tell: _Tell) -> dict[str, Any]:
    """The fields of a LanguageModel; tells what cannot be."""
    kind = str(config.get("model_type", ""))
    hidden, heads = given.get("hidden", 0), given.get("heads", 0)
    latent = "kv_rank" in given
    kv_heads = given.get("kv_heads", 1 if config.get("multi_query") else heads)
    head_dim = given.get("nope_dim", 0) if latent else given.get("head_dim", hidden // heads if heads else 0)
    if heads and hidden and not latent and "head_dim" not in given and hidden % heads:
        tell("num_attention_heads", f"{heads} heads do not divide a hidden size of {hidden}", "", "Give head_dim")
    if heads and kv_heads and heads % kv_heads:
        tell("num_key_value_heads", f"{kv_heads} key heads do not divide {heads} query heads")
    if latent:
        for key in ("nope_dim", "rope_dim", "value_dim"):
            if key not in given:
                tell(_KEYS[key][0], "is missing: kv_lora_rank says that attention is latent")
    if config.get("is_encoder_decoder"):
        tell("is_encoder_decoder", "only decoders are known")
    kinds = config.get("layer_types")
    for other in sorted(
        {str(k) for k in kinds if "attention" not in str(k) or "linear" in str(k)} if isinstance(kinds, list) else ()
    ):
        tell("layer_types", f"layers of the kind '{other}' are not known, only softmax attention")
    gated = kind not in _PLAIN
    shape: dict[str, Any] = {k: given[k] for k in ("layers", "hidden", "heads", "vocabulary", "context") if k in given}
    shape |= {k: given[k] for k in ("query_rank", "kv_rank", "rope_dim", "value_dim") if latent and k in given}
    shape |= {"kv_heads": kv_heads, "head_dim": head_dim, "gated": gated,
              "tied": config.get("tie_word_embeddings", kind in _TIED) is True,
              "positions": given.get("context", 0) if kind in _LEARNED else 0}  # fmt: skip
    return shape | _blocks(config, given, gated, tell)


def _blocks(config: dict[str, Any], given: dict[str, int], gated: bool, tell: _Tell) -> dict[str, int]:
    """The feed-forward part of a shape."""
    ffn = given.get("ffn", 0 if gated else _GROWN * given.get("hidden", 0))
    experts, active = given.get("experts", 0), given.get("active_experts", 0)
    expert_ffn = given.get("expert_ffn", ffn)
    if not ffn and not (experts and expert_ffn):
        tell("intermediate_size", "is missing")
    if not experts:
        return {"ffn": ffn}
    if not active:
        tell("num_experts_per_tok", f"is missing: the model has {experts} experts")
    elif active > experts:
        tell("num_experts_per_tok", f"a token cannot pass {active} of {experts} experts")
    first = given.get("dense_layers", 0)
    listed = config.get("mlp_only_layers")
    dense = first or (len(listed) if isinstance(listed, list) else 0)
    if "layers" in given and dense > given["layers"]:
        tell("first_k_dense_replace", f"{dense} of {given['layers']} layers")
    for key in ("decoder_sparse_step", "moe_layer_freq", "interleave_moe_layer_step"):
        if config.get(key, 1) != 1:
            tell(key, "only 1 is known: experts in every layer after the first dense ones")
    wide = given.get("wide_expert", 0)
    if wide and expert_ffn and wide % expert_ffn:
        tell("shared_expert_intermediate_size", f"{wide} is no multiple of an expert's {expert_ffn}")
    shared = given.get("shared_experts", wide // expert_ffn if expert_ffn else 0)
    return {"ffn": ffn or expert_ffn, "experts": experts, "active_experts": active, "shared_experts": shared,
            "expert_ffn": expert_ffn, "dense_layers": dense}  # fmt: skip
