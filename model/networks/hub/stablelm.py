"""StableLM: a Llama without biases and with LayerNorm in place of RMSNorm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.hub.llama import Llama
from model.networks.hub.protocol import HubClass
from model.networks.hub.rope import rope_fields, rope_settings

if TYPE_CHECKING:
    from model.networks.decoder_config import DecoderConfig


class StableLm(HubClass):
    """StableLmForCausalLM; a decoder's tensors have its names. A head's width is always width / heads."""

    NAME: ClassVar[str] = "StableLmForCausalLM"
    MODEL_TYPE: ClassVar[str] = "stablelm"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {"norm": ("layer",), "head_width": (0,)}
    FIELDS: ClassVar[Mapping[str, str]] = {
        **{theirs: ours for theirs, ours in Llama.FIELDS.items() if ours not in ("norm_epsilon", "attention_bias", "feed_forward_bias")},
        "layer_norm_eps": "norm_epsilon",
        "num_key_value_heads": "kv_heads",
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {
        **{"hidden_act": "silu", "initializer_range": 0.02, "layer_norm_eps": 1e-5, "tie_word_embeddings": False},
        **{"use_qkv_bias": False, "qk_layernorm": False, "use_parallel_residual": False},
    }
    ALWAYS: ClassVar[Mapping[str, object]] = {"use_qkv_bias": False, "qk_layernorm": False, "use_parallel_residual": False}
    DROPOUTS: ClassVar[tuple[str, ...]] = ("hidden_dropout", "attention_dropout")

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        return {**rope_fields(config, partial_rotary_factor=1.0), "partial_rotary_factor": 1.0}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        return {"norm": "layer", **rope_settings(fields, where, partial_rotary_factor=1.0)}
