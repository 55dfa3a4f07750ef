"""StarCoder2: LayerNorm before each sublayer, rotary positions, grouped queries, a feed-forward of two matrices, biases, a window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.hub.biases import bias_fields, bias_settings, with_zeros, without_zeros
from model.networks.hub.llama import Llama
from model.networks.hub.protocol import BOTH, PLAIN, PLAIN_NAMES, HubClass
from model.networks.hub.renaming import renamed
from model.networks.hub.rope import rope_fields, rope_settings
from model.networks.hub.window import window_fields, window_settings

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.decoder_config import DecoderConfig

NAMES = {".mlp.up_proj.": ".mlp.c_fc.", ".mlp.down_proj.": ".mlp.c_proj."}


class Starcoder2(HubClass):
    """Starcoder2ForCausalLM; all projections have biases or none has."""

    NAME: ClassVar[str] = "Starcoder2ForCausalLM"
    MODEL_TYPE: ClassVar[str] = "starcoder2"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "norm": ("layer",),
        "activation": PLAIN,
        "pattern": ("full", "sliding"),
        "attention_bias": BOTH,
        "feed_forward_bias": BOTH,
    }
    FIELDS: ClassVar[Mapping[str, str]] = {
        **{theirs: ours for theirs, ours in Llama.FIELDS.items() if ours not in ("norm_epsilon", "attention_bias", "feed_forward_bias")},
        "norm_epsilon": "norm_epsilon",
        "num_key_value_heads": "kv_heads",
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {
        **{"hidden_act": "gelu_pytorch_tanh", "initializer_range": 0.018042, "norm_epsilon": 1e-5, "use_bias": True},
        "tie_word_embeddings": True,
    }
    ACTIVATIONS: ClassVar[Mapping[str, str]] = PLAIN_NAMES
    DROPOUTS: ClassVar[tuple[str, ...]] = ("residual_dropout", "embedding_dropout", "attention_dropout")

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        fields = {**rope_fields(config), **window_fields(config), **bias_fields(config), "head_dim": config.head_dim}
        return {**fields, "use_bias": config.attention_bias or config.feed_forward_bias}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        window = window_settings(fields.get("sliding_window"), fields["max_position_embeddings"])
        biases = bias_settings(fields, fields["use_bias"])
        return {**rope_settings(fields, where), **window, **biases, "norm": "layer", "head_width": fields.get("head_dim") or 0}

    def to_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        biased = config.attention_bias or config.feed_forward_bias
        return renamed(with_zeros(tensors, config) if biased else tensors, NAMES)

    def from_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        return without_zeros(renamed(tensors, {theirs: ours for ours, theirs in NAMES.items()}), config)
