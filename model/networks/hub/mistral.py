"""Mistral: a Llama without biases, with sliding-window attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.hub.llama import Llama
from model.networks.hub.window import window_fields, window_settings

if TYPE_CHECKING:
    from model.networks.decoder_config import DecoderConfig


class Mistral(Llama):
    """MistralForCausalLM; a decoder's tensors have its names."""

    NAME: ClassVar[str] = "MistralForCausalLM"
    MODEL_TYPE: ClassVar[str] = "mistral"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {"pattern": ("full", "sliding")}
    FIELDS: ClassVar[Mapping[str, str]] = {theirs: ours for theirs, ours in Llama.FIELDS.items() if not theirs.endswith("_bias")}
    DIVIDES: ClassVar[bool] = False

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        return {**super().more_fields(config), **window_fields(config)}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        window = window_settings(fields.get("sliding_window"), fields["max_position_embeddings"])
        return {**super().more_settings(fields, where), **window}
