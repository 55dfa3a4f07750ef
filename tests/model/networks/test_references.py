"""Each choice of a decoder against an independent reference: transformers where it has it, else a few lines of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model.networks.decoder import Decoder
from model.networks.decoder_config import DecoderConfig
from model.networks.directory import ModelError, load_model, save_model
from tests.model.networks.decoders import LLAMA, OWN, VOCABULARY, first_block_inputs, small_config, spread_decoder, tokens

transformers = pytest.importorskip("transformers")


def assert_same(decoder: Decoder, theirs: nn.Module) -> None:
    """Assert equal logits on rows as long as the context."""
    batch = tokens(2, decoder.config.context)
    with torch.no_grad():
        ours, reference = decoder.logits({"tokens": batch}), theirs.eval()(batch).logits
    assert ours.std() > 0.3, "logits this small would agree whatever is computed"
    torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-5)


def common(config: DecoderConfig, **more: Any) -> dict[str, Any]:
    """Return the fields that configs of the Llama family share."""
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


def with_weights_of(theirs: nn.Module, decoder: Decoder) -> nn.Module:
    """Load the decoder's tensors into `theirs` by the same names."""
    missing, unexpected = theirs.load_state_dict(decoder.state_dict(), strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}
    return theirs


@pytest.mark.parametrize("choice", LLAMA.values(), ids=LLAMA.keys())
def test_a_llama_loads_in_transformers_with_the_same_logits(choice: dict[str, Any], tmp_path: Path) -> None:
    decoder = spread_decoder(small_config(**choice))
    save_model(decoder, tmp_path)
    assert_same(decoder, transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32))


@pytest.mark.parametrize("choice", LLAMA.values(), ids=LLAMA.keys())
def test_a_llama_saved_by_transformers_loads_here_with_the_same_logits(choice: dict[str, Any], tmp_path: Path) -> None:
    save_model(spread_decoder(small_config(**choice)), tmp_path / "ours")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype=torch.float32)
    theirs.save_pretrained(tmp_path / "theirs")
    assert_same(load_model(tmp_path / "theirs"), theirs)


@pytest.mark.parametrize("name", ["latent", "sliding", "layer-norm"])
def test_transformers_refuses_a_decoder_that_is_not_a_llama(name: str, tmp_path: Path) -> None:
    save_model(spread_decoder(small_config(**OWN[name])), tmp_path)
    with pytest.raises(ValueError, match="folio"):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10.0, "factor": 2.0}}, "rope_type is 'dynamic'"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 10.0, "partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5"),
        ({"head_dim": 16}, "head_dim is 16"),
        ({"model_type": "mistral"}, "model_type is 'mistral'"),
    ],
)
def test_an_unsupported_llama_field_is_refused_with_its_value(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    save_model(spread_decoder(small_config()), tmp_path, extra=fields)
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path)


def test_learned_positions_layer_norm_gelu_and_biases_match_gpt2() -> None:
    config = small_config(
        positions="learned", norm="layer", activation="gelu", attention_bias=True, feed_forward_bias=True, kv_heads=4, feed_forward=128
    )
    decoder = spread_decoder(config)
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
            # GPT-2 keeps the matrices of its linear layers transposed.
            parameter.copy_(value.t() if ".c_" in name and kind == "weight" else value)
    assert_same(decoder, theirs)


def test_norms_of_queries_and_keys_match_qwen3() -> None:
    decoder = spread_decoder(small_config(qk_norm=True))
    theirs = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**common(decoder.config, head_dim=8)))
    assert_same(decoder, with_weights_of(theirs, decoder))


def test_the_sliding_window_matches_mistral() -> None:
    decoder = spread_decoder(small_config(pattern="sliding", window=5))
    theirs = transformers.MistralForCausalLM(
        transformers.MistralConfig(**{**common(decoder.config, sliding_window=5, head_dim=8, attn_implementation="eager")})
    )
    assert_same(decoder, with_weights_of(theirs, decoder))


@pytest.mark.parametrize("scaling", ["none", "yarn"])
@pytest.mark.parametrize("latent_query", [0, 24])
def test_latent_attention_matches_deepseek_v3(latent_query: int, scaling: str) -> None:
    scaled = {"rope_scaling": "yarn", "rope_theta": 50.0, "rope_original_context": 24} if scaling == "yarn" else {}
    decoder = spread_decoder(
        small_config(**OWN["latent"], latent_query_width=latent_query, attention_bias=True, norm_epsilon=1e-6, **scaled)
    )
    config = decoder.config
    theirs = transformers.DeepseekV3ForCausalLM(
        transformers.DeepseekV3Config(
            **{
                **common(config),
                "num_key_value_heads": 4,
                "kv_lora_rank": config.latent_width,
                "q_lora_rank": latent_query or None,
                "qk_rope_head_dim": config.latent_rope_width,
                "qk_nope_head_dim": config.head_width,
                "v_head_dim": config.head_width,
                "first_k_dense_replace": config.layers,
                "rope_interleave": False,
                "num_mtp_layers": 0,
                **({"rope_parameters": {"rope_type": "yarn", "rope_theta": 50.0, "factor": 8.0,
                                        "original_max_position_embeddings": 24}} if scaled else {}),
            }
        )
    )  # fmt: skip
    assert_same(decoder, with_weights_of(theirs, decoder))


def test_capped_logits_are_the_cap_times_the_tanh_of_logit_over_cap() -> None:
    free, capped = spread_decoder(small_config()), spread_decoder(small_config(logit_soft_cap=2.0))
    with torch.no_grad():
        torch.testing.assert_close(capped.logits({"tokens": tokens(1, 9)}), 2.0 * torch.tanh(free.logits({"tokens": tokens(1, 9)}) / 2.0))


@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_post_norm_normalizes_the_stream_after_each_addition_and_nothing_at_the_end(kind: str) -> None:
    decoder = spread_decoder(small_config(norm=kind, norm_place="post", positions="none"))
    row, trunk = tokens(1, 10), decoder.model
    with torch.no_grad():
        _, shared = first_block_inputs(decoder, row)
        x = trunk.embed_tokens(row)
        for block in trunk.layers:
            x = normed(kind, x + block.self_attn(x, None, shared.plan), block.input_layernorm)
            x = normed(kind, x + block.mlp(x), block.post_attention_layernorm)
        torch.testing.assert_close(decoder.logits({"tokens": row}), x @ trunk.embed_tokens.weight.t(), atol=1e-5, rtol=1e-5)


def normed(kind: str, x: Tensor, norm: Any) -> Tensor:
    """Compute RMSNorm or LayerNorm by its formula."""
    centred = x - x.mean(-1, keepdim=True) if kind == "layer" else x
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight
    return scaled + norm.bias if kind == "layer" else scaled
