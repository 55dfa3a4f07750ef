"""Each choice of a decoder against an independent reference: transformers where it has it, else a few lines of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model.layers.block import Block
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import load_model, save_model
from model.networks.network import Network
from tests.model.networks.decoders import LLAMA, OWN, VOCABULARY, first_block_inputs, small_config, spread_decoder, tokens

transformers = pytest.importorskip("transformers")


def assert_same(network: Network, theirs: nn.Module) -> None:
    """Assert equal logits on rows as long as the context."""
    batch = tokens(2, network.config.context)
    with torch.no_grad():
        ours, reference = network.logits({"tokens": batch}), theirs.eval()(batch).logits
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


@pytest.mark.parametrize("scaling", ["none", "yarn"])
@pytest.mark.parametrize("latent_query", [0, 24])
def test_latent_attention_matches_deepseek_v3(latent_query: int, scaling: str) -> None:
    scaled = {"rope_scaling": "yarn", "rope_theta": 50.0, "rope_original_context": 24} if scaling == "yarn" else {}
    decoder = spread_decoder(
        small_config(**OWN["latent"], latent_query_width=latent_query, attention_bias=True, norm_epsilon=1e-6, **scaled)
    )
    config = decoder.config
    assert isinstance(config, DecoderConfig)
    theirs = transformers.DeepseekV3ForCausalLM(
        transformers.DeepseekV3Config(
            **{
                **common(config),
                "num_key_value_heads": 4,
                "kv_lora_rank": config.latent_width,
                "q_lora_rank": latent_query or None,
                "qk_rope_head_dim": config.latent_rope_width,
                "qk_nope_head_dim": config.head_dim,
                "v_head_dim": config.head_dim,
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
            assert isinstance(block, Block)
            x = normed(kind, x + block.self_attn(x, None, shared.plan), block.input_layernorm)
            x = normed(kind, x + block.mlp(x), block.post_attention_layernorm)
        torch.testing.assert_close(decoder.logits({"tokens": row}), x @ trunk.embed_tokens.weight.t(), atol=1e-5, rtol=1e-5)


def normed(kind: str, x: Tensor, norm: Any) -> Tensor:
    """Compute RMSNorm or LayerNorm by its formula."""
    centred = x - x.mean(-1, keepdim=True) if kind == "layer" else x
    scaled: Tensor = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight
    return scaled + norm.bias if kind == "layer" else scaled
