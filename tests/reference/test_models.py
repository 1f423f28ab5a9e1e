"""What language models cost, against published counts and formulas."""

import json

import pytest

from aether.base.errors import InputError
from aether.scenario.catalog import packaged
from aether.workloads import models

MODELS = packaged().kind("models")


@pytest.mark.parametrize("name", sorted(MODELS))
def test_parameters_match_the_published_count(name: str) -> None:
    published = MODELS[name].published_parameters.value
    assert models.parameters(MODELS[name]).total == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize(
    ("name", "published", "embedding"),
    [
        ("deepseek-v3", 36.7e9, False),  # README_WEIGHTS; head counted, table of inputs not
        ("gpt-oss-120b", 5.13e9, False),  # arXiv 2508.10925: unembedding counted, embedding not
        ("qwen3-30b-a3b", 3.35e9, True),  # model card: 3.3 B, printed with two digits; 3.35 by the same rule
        ("qwen3-235b-a22b", 22e9, True),  # model card
        ("mixtral-8x7b", 12.9e9, True),  # Mistral AI, December 2023
    ],
)
def test_active_parameters_match_the_published_count(name: str, published: float, embedding: bool) -> None:
    count = models.parameters(MODELS[name])
    assert count.active - (0.0 if embedding else count.embedding) == pytest.approx(published, rel=0.01)
    assert MODELS[name].published_active.value == pytest.approx(published, rel=0.02)


def test_a_layer_of_deepseek_by_hand() -> None:
    # config.json: query 7168 -> 1536 -> 128 x 192, latent 7168 -> 512 + 64, 512 -> 128 x (128 + 128), out 128 x 128 ->
    # 7168; 257 experts of 3 x 7168 x 2048 and a router of 7168 x 256
    attention = 7168 * 1536 + 1536 * 128 * 192 + 7168 * 576 + 512 * 128 * 256 + 128 * 128 * 7168
    model = MODELS["deepseek-v3"]
    more = models.parameters(model.model_copy(update={"layers": 62})).total - models.parameters(model).total
    assert more == attention + 257 * 3 * 7168 * 2048 + 7168 * 256


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("llama-3.1-70b", 327_680),  # 2 x 80 layers x 8 heads x 128 x 2 B
        ("llama-3.1-405b", 516_096),  # arXiv 2412.19437's comparison table: 516 KB a token
        ("deepseek-v3", 70_272),  # the same table: 70 KB; 61 x (512 + 64) x 2 B
    ],
)
def test_cache_of_a_token_matches_published_bytes(name: str, published: float) -> None:
    assert models.kv_bytes(MODELS[name], 1, "bf16") == published
    assert models.kv_bytes(MODELS[name], 1, "fp8") == published / 2
    assert models.kv_bytes(MODELS[name], 1, "fp4") == published / 2  # caches are kept at FP8 at least


@pytest.mark.parametrize("name", ["gpt3-175b", "megatron-22b", "megatron-530b", "megatron-1t"])
def test_training_operations_are_megatrons_formula(name: str) -> None:
    # arXiv 2104.04473, eq. 3: F = 96 B s l h^2 (1 + s/(6 h) + V/(16 l h)), activations recomputed
    model, sequence, batch = MODELS[name], 2048, 16
    l, h, v = model.layers, model.hidden, model.vocabulary  # noqa: E741
    formula = 96 * batch * sequence * l * h**2 * (1 + sequence / (6 * h) + v / (16 * l * h))
    assert models.training_flops(model, batch * sequence, sequence, recompute=True) == pytest.approx(formula, rel=1e-9)
    plain = 72 * batch * sequence * l * h**2 * (1 + sequence / (6 * h) + v / (12 * l * h))
    assert models.training_flops(model, batch * sequence, sequence) == pytest.approx(plain, rel=1e-9)


def test_a_forward_pass_of_llama_8b_is_twice_what_a_token_passes() -> None:
    # 7.5047e9 parameters without the input table, and 4 x 32 heads x 128 x 1,000 x 32 layers of attention
    made = models.forward_flops(MODELS["llama-3.1-8b"], 10, 1000)
    assert made == pytest.approx(10 * (2 * 7.504658e9 + 4 * 32 * 128 * 1000 * 32), rel=1e-4)


def test_latent_attention_costs_more_operations_where_it_is_absorbed() -> None:
    # arXiv 2412.19437: 128 heads; plain 192 + 128 wide, absorbed 576 + 512
    model = MODELS["deepseek-v3"]
    plain, absorbed = (models.attention_flops(model, 1, 1, absorbed) for absorbed in (False, True))
    assert plain == 2 * 61 * 128 * (192 + 128)
    assert absorbed == 2 * 61 * 128 * (576 + 512)


def test_llama_405b_weighs_812_gigabytes_in_bf16() -> None:
    assert models.weight_bytes(MODELS["llama-3.1-405b"], "bf16") == pytest.approx(812e9, rel=0.001)


def test_a_batch_touches_the_expected_share_of_experts() -> None:
    model = MODELS["mixtral-8x7b"]
    experts = 32 * 8 * 3 * 4096 * 14336 * 2.0  # bytes of all experts
    one, two, many = models.read_bytes(model, [1, 2, 1000], "bf16")
    assert two - one == pytest.approx(experts * (0.75 - 0.75**2))
    assert many - one == pytest.approx(experts * 0.75)
    dense = MODELS["llama-3.1-8b"]
    assert models.read_bytes(dense, [1, 64], "fp8").tolist() == [
        7504658432.0,
        7504658432.0,
    ]  # 8.03 B less the input table


def test_an_unknown_precision_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="'fp6'"):
        models.weight_bytes(MODELS["llama-3.1-8b"], "fp6")


LLAMA = {"model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
         "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False,
         "max_position_embeddings": 131072, "torch_dtype": "bfloat16"}  # fmt: skip
DEEPSEEK = {"model_type": "deepseek_v3", "num_hidden_layers": 61, "hidden_size": 7168, "num_attention_heads": 128,
            "num_key_value_heads": 128, "intermediate_size": 18432, "vocab_size": 129280, "n_routed_experts": 256,
            "num_experts_per_tok": 8, "n_shared_experts": 1, "moe_intermediate_size": 2048, "first_k_dense_replace": 3,
            "moe_layer_freq": 1, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128,
            "v_head_dim": 128, "max_position_embeddings": 163840}  # fmt: skip
QWEN = {"model_type": "qwen3_moe", "num_hidden_layers": 48, "hidden_size": 2048, "num_attention_heads": 32, "head_dim": 128,
        "num_key_value_heads": 4, "intermediate_size": 6144, "vocab_size": 151936, "num_experts": 128,
        "num_experts_per_tok": 8, "moe_intermediate_size": 768, "decoder_sparse_step": 1, "mlp_only_layers": [],
        "max_position_embeddings": 40960}  # fmt: skip
MIXTRAL = {"model_type": "mixtral", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
           "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 32000, "num_local_experts": 8,
           "num_experts_per_tok": 2, "max_position_embeddings": 32768}  # fmt: skip
GPT_OSS = {"model_type": "gpt_oss", "num_hidden_layers": 36, "hidden_size": 2880, "num_attention_heads": 64, "head_dim": 64,
           "num_key_value_heads": 8, "intermediate_size": 2880, "vocab_size": 201088, "num_local_experts": 128,
           "num_experts_per_tok": 4, "experts_per_token": 4, "max_position_embeddings": 131072,
           "layer_types": ["sliding_attention", "full_attention"]}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "config"),
    [("llama-3.1-8b", LLAMA), ("deepseek-v3", DEEPSEEK), ("qwen3-30b-a3b", QWEN), ("mixtral-8x7b", MIXTRAL),
     ("gpt-oss-120b", GPT_OSS)],
)  # fmt: skip
def test_a_published_configuration_gives_the_catalogs_shape(name: str, config: dict[str, object]) -> None:
    read = models.hugging_face(json.dumps(config), f"folder/{name}/config.json")
    assert read.name == name
    about = {"name", "title", "source", "date", "note", "confidence", "published_parameters", "published_active"}
    assert read.model_dump(exclude=about) == MODELS[name].model_dump(exclude=about)


@pytest.mark.parametrize(
    ("config", "published"),
    [
        # gpt2: 124.4 M; gpt-neox-20b: 20.55 B (arXiv 2204.06745); gemma-7b: 8.54 B (arXiv 2403.08295: 7.75 + 0.79)
        ({"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "n_positions": 1024, "vocab_size": 50257},
         124.4e6),
        ({"model_type": "gpt_neox", "num_hidden_layers": 44, "hidden_size": 6144, "num_attention_heads": 64,
          "intermediate_size": 24576, "vocab_size": 50432, "tie_word_embeddings": False}, 20.55e9),
        ({"model_type": "gemma", "num_hidden_layers": 28, "hidden_size": 3072, "num_attention_heads": 16, "head_dim": 256,
          "num_key_value_heads": 16, "intermediate_size": 24576, "vocab_size": 256000}, 8.54e9),
    ],
)  # fmt: skip
def test_other_families_are_read_too(config: dict[str, object], published: float) -> None:
    read = models.hugging_face(json.dumps(config), "mine.json")
    assert read.name == "mine"
    assert models.parameters(read).total == pytest.approx(published, rel=0.01)


def test_a_nested_text_configuration_is_used() -> None:
    nested = {"model_type": "mllama", "text_config": LLAMA, "_name_or_path": "org/My-Model"}
    read = models.hugging_face(json.dumps(nested), "config.json")
    assert (read.name, read.layers) == ("my-model", 32)


def test_all_that_is_wrong_in_a_configuration_is_told_at_once_with_lines() -> None:
    wrong = {**LLAMA, "num_hiden_layers": 32, "hidden_size": 4095, "vocab_size": "many", "num_key_value_heads": 5}
    del wrong["num_hidden_layers"]
    with pytest.raises(InputError) as caught:
        models.hugging_face(json.dumps(wrong, indent=1), "config.json")
    told = {p.path: p for p in caught.value.problems}
    assert told["num_hiden_layers"].nearest == "num_hidden_layers"
    assert told["num_hiden_layers"].line > 1
    assert "do not divide" in told["num_attention_heads"].what
    assert "5 key heads" in told["num_key_value_heads"].what
    assert "whole number" in told["vocab_size"].what
    assert len(told) == 4


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"num_experts_per_tok": 300}, "cannot pass 300 of 256"),
        ({"num_experts_per_tok": None}, "has 256 experts"),
        ({"qk_rope_head_dim": None}, "attention is latent"),
        ({"moe_layer_freq": 2}, "only 1 is known"),
        ({"first_k_dense_replace": 62}, "62 of 61 layers"),
        ({"is_encoder_decoder": True}, "only decoders"),
        ({"layer_types": ["linear_attention"]}, "linear_attention"),
        ({"num_attention_heads": 0}, "whole number from 1"),
        ({"hidden_size": True}, "whole number from 1"),
        ({"hidden_size": 1e300}, "whole number from 1"),
    ],
)
def test_impossible_shapes_are_refused(change: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        models.hugging_face(json.dumps({**DEEPSEEK, **change}), "config.json")


@pytest.mark.parametrize("text", ["", "[1]", "{", "null", "[" * 100_000])
def test_what_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        models.hugging_face(text, "config.json")
