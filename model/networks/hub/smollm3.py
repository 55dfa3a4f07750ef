"""SmolLM3: a Llama whose layers may leave rotary positions out, and may see a window alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.hub.llama import Llama
from model.networks.hub.protocol import BOTH, require_one_of
from model.networks.hub.window import layer_fields, layer_settings

if TYPE_CHECKING:
    from model.networks.decoder_config import DecoderConfig


class SmolLM3(Llama):
    """SmolLM3ForCausalLM; a decoder's tensors have its names."""

    NAME: ClassVar[str] = "SmolLM3ForCausalLM"
    MODEL_TYPE: ClassVar[str] = "smollm3"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "attention_bias": BOTH,
        "feed_forward_bias": BOTH,
        "positions": ("rope", "none"),
        "pattern": ("full", "sliding"),
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {**Llama.DEFAULTS, "tie_word_embeddings": True}
    DIVIDES: ClassVar[bool] = False

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        rotated = [int(config.positions == "rope")] * config.layers
        return {**super().more_fields(config), **layer_fields(config), "no_rope_layers": rotated}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        layers = fields["num_hidden_layers"]
        rotated = fields["no_rope_layers"]
        require_one_of(where, "no_rope_layers", rotated, ([1] * layers, [0] * layers))
        positions = "rope" if rotated[0] else "none"
        return {**super().more_settings(fields, where), **layer_settings(fields, where), "positions": positions}
