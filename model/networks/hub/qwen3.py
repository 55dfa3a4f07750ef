"""Qwen3: a Llama with RMSNorm on each head's query and key, and a window if wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.hub.llama import Llama
from model.networks.hub.protocol import BOTH
from model.networks.hub.window import layer_fields, layer_settings

if TYPE_CHECKING:
    from model.networks.decoder_config import DecoderConfig


class Qwen3(Llama):
    """Qwen3ForCausalLM; a decoder's tensors have its names."""

    NAME: ClassVar[str] = "Qwen3ForCausalLM"
    MODEL_TYPE: ClassVar[str] = "qwen3"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {"qk_norm": (True,), "attention_bias": BOTH, "pattern": ("full", "sliding")}
    FIELDS: ClassVar[Mapping[str, str]] = {theirs: ours for theirs, ours in Llama.FIELDS.items() if theirs != "mlp_bias"}
    DEFAULTS: ClassVar[Mapping[str, object]] = {**Llama.DEFAULTS, "head_dim": 128, "use_sliding_window": False}
    DIVIDES: ClassVar[bool] = False

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        return {**super().more_fields(config), **layer_fields(config)}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        return {**super().more_settings(fields, where), **layer_settings(fields, where), "qk_norm": True}
