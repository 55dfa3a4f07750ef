"""Each choice against an independent reference: transformers where it has the thing, else a few plain lines."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model.layers.attend import attend
from model.layers.attention_plan import View
from model.layers.biases import Alibi, RelativeBias, alibi_slopes, relative_buckets
from model.layers.feed_forward import FeedForward
from model.layers.vectors import SinusoidalPositions
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import ModelError, load_model, save_model
from tests.model.architecture.choices import LLAMA, OWN, VOCABULARY, entered, shape, spread, tokens

transformers = pytest.importorskip("transformers")


def assert_same(decoder: Decoder, theirs: nn.Module) -> None:
    """Equal logits over rows as long as the context."""
    batch = tokens(2, decoder.config.context)
    with torch.no_grad():
        ours, reference = decoder(batch), theirs.eval()(batch).logits
    assert ours.std() > 0.3, "logits this small would agree whatever is computed"
    torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-5)


def common(config: DecoderConfig, **more: Any) -> dict[str, Any]:
    """Fields that the Llama family of configurations shares."""
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": config.width,
        "intermediate_size": config.feed_forward,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_epsilon,
        "tie_word_embeddings": config.tied_embeddings,
        "attention_bias": config.attention_bias,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        **more,
    }


def filled(theirs: nn.Module, decoder: Decoder) -> nn.Module:
    """`theirs` with the decoder's tensors by the same names."""
    missing, unexpected = theirs.load_state_dict(decoder.state_dict(), strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}
    return theirs


@pytest.mark.parametrize("choice", LLAMA.values(), ids=LLAMA.keys())
def test_a_choice_that_is_a_llama_opens_in_transformers_with_the_same_logits(choice: dict[str, Any], tmp_path: Path) -> None:
    decoder = spread(shape(**choice))
    save_model(decoder, tmp_path)
    assert_same(decoder, transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32))


@pytest.mark.parametrize("choice", LLAMA.values(), ids=LLAMA.keys())
def test_a_llama_that_transformers_wrote_opens_here_with_the_same_logits(choice: dict[str, Any], tmp_path: Path) -> None:
    save_model(spread(shape(**choice)), tmp_path / "ours")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype=torch.float32)
    theirs.save_pretrained(tmp_path / "theirs")
    assert_same(load_model(tmp_path / "theirs"), theirs)


@pytest.mark.parametrize("name", ["latent", "sliding", "layer-norm"])
def test_what_is_no_llama_is_refused_by_transformers_rather_than_computed_wrong(name: str, tmp_path: Path) -> None:
    save_model(spread(shape(**OWN[name])), tmp_path)
    with pytest.raises(ValueError, match="folio"):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10.0, "factor": 2.0}}, "rope_type is 'dynamic'"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 10.0, "partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5"),
        ({"head_dim": 16}, "head_dim is 16"),
        ({"model_type": "mistral"}, "model_type is 'mistral'"),
    ],
)
def test_a_llama_field_that_is_not_computed_here_is_refused_with_its_value(fields: dict[str, Any], told: str, tmp_path: Path) -> None:
    save_model(spread(shape()), tmp_path, extra=fields)
    with pytest.raises(ModelError, match=told):
        load_model(tmp_path)


def test_learned_positions_layer_norm_gelu_and_biases_are_gpt2s() -> None:
    config = shape(
        positions="learned", norm="layer", activation="gelu", attention_bias=True, feed_forward_bias=True, kv_heads=4, feed_forward=128
    )
    decoder = spread(config)
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=32, activation_function="gelu", layer_norm_epsilon=1e-5
        )
    )
    ours = decoder.state_dict()
    with torch.no_grad():
        for name, parameter in theirs.transformer.named_parameters():
            layer, kind = f"model.layers.{name.split('.')[1]}.", name.rsplit(".", 1)[1]
            if "c_attn" in name:
                value = torch.cat([ours[f"{layer}self_attn.{one}_proj.{kind}"] for one in "qkv"])
            elif "wte" in name or "wpe" in name:
                value = ours[f"model.embed_{'tokens' if 'wte' in name else 'positions'}.weight"]
            else:
                places = {
                    "ln_1": f"{layer}input_layernorm",
                    "ln_2": f"{layer}post_attention_layernorm",
                    "attn.c_proj": f"{layer}self_attn.o_proj",
                    "mlp.c_fc": f"{layer}mlp.up_proj",
                    "mlp.c_proj": f"{layer}mlp.down_proj",
                    "ln_f": "model.norm",
                }
                value = ours[f"{next(place for part, place in places.items() if part in name)}.{kind}"]
            # GPT-2 keeps the matrices of its linear layers turned over.
            parameter.copy_(value.t() if ".c_" in name and kind == "weight" else value)
    assert_same(decoder, theirs)


def test_norms_of_queries_and_keys_are_qwen3s() -> None:
    decoder = spread(shape(qk_norm=True))
    theirs = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**common(decoder.config, head_dim=8)))
    assert_same(decoder, filled(theirs, decoder))


def test_the_sliding_window_is_mistrals() -> None:
    decoder = spread(shape(pattern="sliding", window=5))
    theirs = transformers.MistralForCausalLM(
        transformers.MistralConfig(**{**common(decoder.config, sliding_window=5, head_dim=8, attn_implementation="eager")})
    )
    assert_same(decoder, filled(theirs, decoder))


@pytest.mark.parametrize("scaling", ["none", "yarn"])
@pytest.mark.parametrize("asking", [0, 24])
def test_latent_attention_is_deepseek_v3s(asking: int, scaling: str) -> None:
    stretched = {"rope_scaling": "yarn", "rope_theta": 50.0, "rope_original_context": 24} if scaling == "yarn" else {}
    decoder = spread(shape(**OWN["latent"], latent_query_width=asking, attention_bias=True, norm_epsilon=1e-6, **stretched))
    config = decoder.config
    theirs = transformers.DeepseekV3ForCausalLM(
        transformers.DeepseekV3Config(
            **{
                **common(config),
                "num_key_value_heads": 4,
                "kv_lora_rank": config.latent_width,
                "q_lora_rank": asking or None,
                "qk_rope_head_dim": config.latent_rope_width,
                "qk_nope_head_dim": config.head_width,
                "v_head_dim": config.head_width,
                "first_k_dense_replace": config.layers,
                "rope_interleave": False,
                "num_mtp_layers": 0,
                **({"rope_parameters": {"rope_type": "yarn", "rope_theta": 50.0, "factor": 8.0,
                                        "original_max_position_embeddings": 24}} if stretched else {}),
            }
        )
    )  # fmt: skip
    assert_same(decoder, filled(theirs, decoder))


def test_the_soft_cap_on_scores_is_gemma2s() -> None:
    from transformers.models.gemma2.modeling_gemma2 import eager_attention_forward

    config = shape(attention_soft_cap=1.5)
    q, k, v = (normal(2, heads, 12, 8, seed) for seed, heads in enumerate((4, 2, 2)))
    sight = View(config, torch.zeros(2, 12, 32), 0, None, None, training=False).sight(None, cached=False)
    mask = torch.full((12, 12), float("-inf")).triu(1)[None, None]
    module = SimpleNamespace(num_key_value_groups=2, training=False, head_dim=8)
    theirs, _ = eager_attention_forward(module, q, k, v, mask, scaling=8**-0.5, softcap=1.5)
    torch.testing.assert_close(attend(q, k, v, sight).transpose(1, 2), theirs, atol=1e-6, rtol=1e-5)


def test_capped_logits_are_the_cap_times_the_tanh_of_logit_over_cap() -> None:
    free, capped = spread(shape()), spread(shape(logit_soft_cap=2.0))
    with torch.no_grad():
        torch.testing.assert_close(capped(tokens(1, 9)), 2.0 * torch.tanh(free(tokens(1, 9)) / 2.0))


def test_relative_buckets_are_t5s() -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    for buckets, farthest in ((32, 128), (8, 20)):
        theirs = T5Attention._relative_position_bucket(-torch.arange(200), False, buckets, farthest)
        assert torch.equal(relative_buckets(200, buckets, farthest), theirs)


@pytest.mark.parametrize("heads", [2, 6, 8, 12])
def test_alibis_slopes_are_blooms(heads: int) -> None:
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    theirs = build_alibi_tensor(torch.ones(1, 2), heads, torch.float32).view(heads, 2)[:, 1]
    torch.testing.assert_close(torch.tensor(alibi_slopes(heads)), theirs)


def test_sinusoids_are_those_of_the_paper() -> None:
    x_BTD = normal(1, 1, 9, 32, 1)[0]
    added = SinusoidalPositions(shape()).add(x_BTD, torch.arange(9)[None], 9)
    for place in range(9):
        for pair in range(16):
            angle = place / 10_000 ** (2 * pair / 32)
            expected = x_BTD[0, place, 2 * pair : 2 * pair + 2] * math.sqrt(32) + torch.tensor([math.sin(angle), math.cos(angle)])
            torch.testing.assert_close(added[0, place, 2 * pair : 2 * pair + 2], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_post_norm_normalizes_the_stream_after_each_addition_and_nothing_at_the_end(kind: str) -> None:
    decoder = spread(shape(norm=kind, norm_place="post", positions="none"))
    row, trunk = tokens(1, 10), decoder.model
    with torch.no_grad():
        _, frame = entered(decoder, row)
        x = trunk.embed_tokens(row)
        for block in trunk.layers:
            x = normed(kind, x + block.self_attn(x, None, frame.sight), block.input_layernorm)
            x = normed(kind, x + block.mlp(x), block.post_attention_layernorm)
        torch.testing.assert_close(decoder(row), x @ trunk.embed_tokens.weight.t(), atol=1e-5, rtol=1e-5)


def normed(kind: str, x: Tensor, norm: Any) -> Tensor:
    """Root mean square norm, or LayerNorm, by its formula."""
    centred = x - x.mean(-1, keepdim=True) if kind == "layer" else x
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight
    return scaled + norm.bias if kind == "layer" else scaled


@pytest.mark.parametrize("activation", ["swiglu", "geglu", "relu", "gelu", "silu"])
def test_the_feed_forward_is_its_formula(activation: str) -> None:
    layer, x = FeedForward(shape(activation=activation, feed_forward_bias=True)), normal(1, 1, 5, 32, 2)[0]
    with torch.no_grad():
        up = x @ layer.up_proj.weight.t() + layer.up_proj.bias
        entered = up if layer.gate_proj is None else x @ layer.gate_proj.weight.t() + layer.gate_proj.bias
        formulas = {
            "silu": lambda x: x / (1 + torch.exp(-x)),
            "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
            "relu": lambda x: x.clamp(min=0),
        }
        bent = formulas[{"swiglu": "silu", "geglu": "gelu"}.get(activation, activation)](entered)
        inner = bent if layer.gate_proj is None else bent * up
        torch.testing.assert_close(layer(x), inner @ layer.down_proj.weight.t() + layer.down_proj.bias, atol=1e-6, rtol=1e-5)
    assert (layer.gate_proj is None) == (activation in ("relu", "gelu", "silu"))


PATTERNS: dict[str, dict[str, Any]] = {
    "full": {},
    "sliding": {"pattern": "sliding", "window": 4},
    "block-sparse": {"pattern": "block_sparse", "block": 3, "local_blocks": 1, "global_blocks": 1},
    "own-block-alone": {"pattern": "block_sparse", "block": 3, "local_blocks": 0, "global_blocks": 0},
}


@pytest.mark.parametrize("documents", [[0] * 20, [0] * 3 + [1] * 17], ids=["alone", "packed"])
@pytest.mark.parametrize("positions", ["none", "alibi", "relative"])
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
def test_attention_is_the_softmax_over_what_each_token_may_see_pair_by_pair(
    pattern: dict[str, Any], positions: str, documents: list[int]
) -> None:
    config = shape(**pattern, positions=positions, relative_buckets=8, relative_distance=10)
    q, k, v = (normal(1, heads, 20, 8, seed) for seed, heads in enumerate((4, 2, 2)))
    bias = {"none": None, "alibi": Alibi(config), "relative": RelativeBias(config)}[positions]
    table_HP = torch.zeros(4, 20) if bias is None else bias.table(20, q.device).detach()
    given = None if len(set(documents)) == 1 else torch.tensor([documents])
    out = attend(q, k, v, View(config, torch.zeros(1, 20, 32), 0, None, given, training=False).sight(bias, cached=False))
    for head in range(4):
        for query in range(20):
            first = documents.index(documents[query])
            seen = [key for key in range(first, query + 1) if visible(config, query - first, key - first)]
            scores = torch.stack([q[0, head, query] @ k[0, head // 2, key] / 8**0.5 + table_HP[head, query - key] for key in seen])
            torch.testing.assert_close(out[0, head, query], scores.softmax(0) @ v[0, head // 2, seen], atol=1e-5, rtol=1e-5)


def visible(config: DecoderConfig, query: int, key: int) -> bool:
    if config.pattern == "sliding":
        return key in range(query - config.window + 1, query + 1)
    if config.pattern == "block_sparse":
        own, other = query // config.block, key // config.block
        return other in (own, *range(own - config.local_blocks, own), *range(config.global_blocks))
    return True


def normal(rows: int, heads: int, time: int, width: int, seed: int) -> Tensor:
    return torch.randn(rows, heads, time, width, generator=torch.Generator().manual_seed(seed))
