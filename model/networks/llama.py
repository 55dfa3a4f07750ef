"""Convert between a decoder's config and the fields of Hugging Face's LlamaConfig.

`decoder_config(llama_config(c)) == c` for every c without `hub_differences`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.networks.decoder_config import DecoderConfig
from model.networks.errors import ModelError

ACTIVATIONS = {"silu": "swiglu", "gelu": "geglu"}
SCALINGS: dict[str, dict[str, str]] = {
    "default": {},
    "linear": {"factor": "rope_factor"},
    "llama3": {
        "factor": "rope_factor",
        "original_max_position_embeddings": "rope_original_context",
        "low_freq_factor": "rope_low_frequency",
        "high_freq_factor": "rope_high_frequency",
    },
    "yarn": {
        "factor": "rope_factor",
        "original_max_position_embeddings": "rope_original_context",
        "beta_fast": "rope_beta_fast",
        "beta_slow": "rope_beta_slow",
    },
}
# LlamaConfig has no field for dropout of embeddings and sublayers' outputs; the last two are GPT-2's, which Llama ignores.
DROPOUTS = ("attention_dropout", "resid_pdrop", "embd_pdrop")


def llama_config(config: DecoderConfig, vocab_size: int) -> dict[str, Any]:
    """Return the LlamaConfig fields of this decoder; raise ModelError if Llama cannot express it."""
    if differences := config.hub_differences():
        raise ModelError(f"not expressible as a Hugging Face Llama, which does not compute {', '.join(differences)}")
    rope = {"rope_type": "default" if config.rope_scaling == "none" else config.rope_scaling, "rope_theta": config.rope_theta}
    for theirs, ours in SCALINGS[str(rope["rope_type"])].items():
        rope[theirs] = getattr(config, ours) or config.context
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab_size,
        "hidden_size": config.width,
        "intermediate_size": config.feed_forward,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_width,
        "max_position_embeddings": config.context,
        "rope_theta": config.rope_theta,
        "rope_parameters": rope,
        "rms_norm_eps": config.norm_epsilon,
        "tie_word_embeddings": config.tied_embeddings,
        "initializer_range": config.initial_std,
        "hidden_act": next(theirs for theirs, ours in ACTIVATIONS.items() if ours == config.activation),
        "attention_bias": config.attention_bias,
        "mlp_bias": config.feed_forward_bias,
        "rope_scaling": None if config.rope_scaling == "none" else rope,
        **({name: config.dropout for name in DROPOUTS} if config.dropout else {}),
        "torch_dtype": "float32",
    }


def decoder_config(fields: Mapping[str, Any], where: object) -> DecoderConfig:
    """Return the decoder that a LlamaConfig's fields describe; raise ModelError, naming `where`, for a field it does not compute."""
    head_width = fields["hidden_size"] // fields["num_attention_heads"]
    rope = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    _require_one_of(where, "head_dim", fields.get("head_dim") or head_width, (head_width,))
    _require_one_of(where, "hidden_act", fields.get("hidden_act", "silu"), tuple(ACTIVATIONS))
    _require_one_of(where, "rope_type", kind, tuple(SCALINGS))
    known = {"rope_type", "type", "rope_theta", *SCALINGS[kind]}
    for name in sorted(rope.keys() - known):
        _require_one_of(where, name, rope[name], (None,))
    context = fields["max_position_embeddings"]
    scaling = {ours: rope[theirs] for theirs, ours in SCALINGS[kind].items() if rope.get(theirs) is not None}
    if scaling.get("rope_original_context") == context:
        scaling["rope_original_context"] = 0
    return DecoderConfig(
        width=fields["hidden_size"],
        layers=fields["num_hidden_layers"],
        heads=fields["num_attention_heads"],
        kv_heads=fields.get("num_key_value_heads") or fields["num_attention_heads"],
        feed_forward=fields["intermediate_size"],
        context=context,
        rope_theta=rope.get("rope_theta", fields.get("rope_theta", 10_000.0)),
        rope_scaling="none" if kind == "default" else kind,
        **scaling,
        norm_epsilon=fields["rms_norm_eps"],
        activation=ACTIVATIONS[fields.get("hidden_act", "silu")],
        attention_bias=fields.get("attention_bias", False),
        feed_forward_bias=fields.get("mlp_bias", False),
        dropout=fields.get("resid_pdrop", 0.0),
        tied_embeddings=fields["tie_word_embeddings"],
        initial_std=fields.get("initializer_range", 0.02),
    )


def _require_one_of(where: object, name: str, value: object, supported: tuple[object, ...]) -> None:
    if value not in supported:
        raise ModelError(f"{where}: {name} is {value!r}; this decoder computes only {' or '.join(repr(one) for one in supported)}")
