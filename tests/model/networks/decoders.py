"""Small decoders for every choice of layers, whose logits are far enough apart to compare."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from model.layers.attention_plan import AttentionInputs
from model.layers.block import BlockInputs
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from tests.model.networks.spread import spread

VOCABULARY = 61
SMALL = DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, feed_forward=48, context=32, initial_std=0.2)
LATENT = {"attention": "latent", "latent_width": 16, "latent_rope_width": 8, "kv_heads": 2}
# Choices that Hugging Face's Llama computes too; OWN holds the others.
LLAMA: dict[str, dict[str, Any]] = {
    "multi-head": {"kv_heads": 4},
    "multi-query": {"kv_heads": 1},
    "free-output": {"tied_embeddings": False},
    "geglu": {"activation": "geglu"},
    "attention-bias": {"attention_bias": True},
    "feed-forward-bias": {"feed_forward_bias": True},
    "dropout": {"dropout": 0.25},
    "rope-linear": {"rope_scaling": "linear", "rope_factor": 4.0},
    "rope-llama3": {"rope_scaling": "llama3", "rope_theta": 50.0, "rope_original_context": 16},
    "rope-yarn": {"rope_scaling": "yarn", "rope_theta": 50.0, "rope_original_context": 24, "rope_beta_fast": 4.0, "rope_beta_slow": 0.5},
}
OWN: dict[str, dict[str, Any]] = {
    "learned": {"positions": "learned"},
    "sinusoidal": {"positions": "sinusoidal"},
    "alibi": {"positions": "alibi"},
    "relative": {"positions": "relative", "relative_buckets": 8, "relative_distance": 20},
    "no-positions": {"positions": "none"},
    "layer-norm": {"norm": "layer"},
    "batch-norm": {"norm": "batch"},
    "post-norm": {"norm_place": "post", "norm": "layer"},
    "relu": {"activation": "relu"},
    "gelu": {"activation": "gelu", "feed_forward_bias": True},
    "silu": {"activation": "silu"},
    "relu2": {"activation": "relu2"},
    "gelu-tanh": {"activation": "gelu_tanh"},
    "latent": LATENT,
    "latent-query": {**LATENT, "latent_query_width": 24, "attention_bias": True},
    "latent-alibi-capped": {**LATENT, "positions": "alibi", "attention_soft_cap": 2.0},
    "sliding": {"pattern": "sliding", "window": 5},
    "block-sparse": {"pattern": "block_sparse", "block": 3, "local_blocks": 1, "global_blocks": 1},
    "sliding-alibi": {"pattern": "sliding", "window": 6, "positions": "alibi"},
    "block-sparse-learned": {"pattern": "block_sparse", "block": 4, "local_blocks": 0, "global_blocks": 1, "positions": "learned"},
    "qk-norm": {"qk_norm": True},
    "score-cap": {"attention_soft_cap": 1.5},
    "logit-cap": {"logit_soft_cap": 2.0},
    "experts": {"experts": {"count": 4, "active": 2, "shared": 1}},
    "experts-softmax-post-norm": {
        "experts": {"count": 5, "active": 3, "score": "softmax", "normalize": False, "balance": {"kind": "loss"}},
        **{"norm_place": "post", "activation": "gelu", "feed_forward_bias": True},
    },
    "capped-relative-sliding": {"attention_soft_cap": 2.0, "positions": "relative", "pattern": "sliding", "window": 7},
}
EVERY = LLAMA | OWN


def small_config(**changes: Any) -> DecoderConfig:
    """Return SMALL with these fields changed, validated."""
    return DecoderConfig.model_validate({**SMALL.model_dump(), **changes})


def spread_decoder(config: DecoderConfig, seed: int = 3) -> Decoder:
    """Return a decoder in evaluation mode whose gains, biases and running statistics differ from their initial values."""
    return spread(Decoder(config, VOCABULARY, seed=seed), seed)


def first_block_inputs(decoder: Decoder, row: Tensor) -> tuple[Tensor, BlockInputs]:
    """Return the first block's input for rows of one document each, and what all blocks share."""
    x_BTD = decoder.model.embed_tokens(row)
    inputs = AttentionInputs(decoder.config, x_BTD, None, None, training=decoder.training)
    return decoder.model.embed(x_BTD, inputs), decoder.model.block_inputs(x_BTD, inputs)


def tokens(rows: int, time: int, seed: int = 1) -> Tensor:
    return torch.randint(0, VOCABULARY, (rows, time), generator=torch.Generator().manual_seed(seed))
