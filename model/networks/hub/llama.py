"""Llama: RMSNorm before each sublayer, rotary positions, a gated feed-forward, grouped queries, biases or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.hub.protocol import BOTH, HubClass
from model.networks.hub.rope import rope_fields, rope_settings

if TYPE_CHECKING:
    from model.networks.decoder_config import DecoderConfig


class Llama(HubClass):
    """LlamaForCausalLM; its kin inherit what they share with it. A decoder's tensors have its names."""

    NAME: ClassVar[str] = "LlamaForCausalLM"
    MODEL_TYPE: ClassVar[str] = "llama"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {"attention_bias": BOTH, "feed_forward_bias": BOTH}
    FIELDS: ClassVar[Mapping[str, str]] = {
        "hidden_size": "width",
        "intermediate_size": "feed_forward",
        "num_hidden_layers": "layers",
        "num_attention_heads": "heads",
        "max_position_embeddings": "context",
        "rms_norm_eps": "norm_epsilon",
        "initializer_range": "initial_std",
        "attention_bias": "attention_bias",
        "mlp_bias": "feed_forward_bias",
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
    }
    DIVIDES: ClassVar[bool] = True  # whether the class requires a width divisible by the number of heads, even if it sets their width

    def more_differences(self, config: DecoderConfig) -> Iterator[str]:
        if self.DIVIDES and config.width % config.heads:
            yield f"width={config.width} with heads={config.heads}"

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        return {"num_key_value_heads": config.kv_heads, "head_dim": config.head_dim, **rope_fields(config)}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        return {
            "kv_heads": fields.get("num_key_value_heads") or fields["num_attention_heads"],
            "head_width": fields.get("head_dim") or 0,
            **rope_settings(fields, where),
        }
