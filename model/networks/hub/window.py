"""A sliding window in all layers, as the configs of transformers spell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model.networks.hub.protocol import require_one_of

if TYPE_CHECKING:
    from model.networks.decoder_config import DecoderConfig

SLIDING, FULL = "sliding_attention", "full_attention"


def window_fields(config: DecoderConfig) -> dict[str, Any]:
    """Return `sliding_window` alone, for classes whose layers are all alike."""
    return {"sliding_window": config.window if config.pattern == "sliding" else None}


def window_settings(window: int | None, context: int) -> dict[str, Any]:
    """Return pattern and window; a window that hides nothing of the context is none."""
    return {"pattern": "sliding", "window": window} if window is not None and window < context else {"pattern": "full"}


def layer_fields(config: DecoderConfig) -> dict[str, Any]:
    """Return the window, and each layer's kind, for classes whose layers may differ."""
    sliding = config.pattern == "sliding"
    return {**window_fields(config), "use_sliding_window": sliding, "layer_types": [SLIDING if sliding else FULL] * config.layers}


def layer_settings(fields: Mapping[str, Any], where: object) -> dict[str, Any]:
    """Return pattern and window of `layer_types`; ModelError where layers differ from each other."""
    layers, context = fields["num_hidden_layers"], fields["max_position_embeddings"]
    window = fields.get("sliding_window") if fields.get("use_sliding_window", True) else None
    kinds = fields.get("layer_types") or [FULL] * layers
    require_one_of(where, "layer_types", kinds, ([FULL] * layers, [SLIDING] * layers))
    return window_settings(window if kinds[0] == SLIDING else None, context)
