"""Rotary positions as the configs of transformers spell them: kind, base and scaling in `rope_parameters`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model.networks.hub.protocol import require_one_of

if TYPE_CHECKING:
    from model.networks.decoder_config import DecoderConfig

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


def rope_fields(config: DecoderConfig, **more: Any) -> dict[str, Any]:
    """Return the fields of rotary positions, as transformers 5 and 4 read them; `more` goes into `rope_parameters`."""
    kind = "default" if config.rope_scaling == "none" else config.rope_scaling
    rope: dict[str, Any] = {"rope_type": kind, "rope_theta": config.rope_theta}
    for theirs, ours in SCALINGS[kind].items():
        rope[theirs] = getattr(config, ours) or config.context
    rope |= more
    scaling = None if config.rope_scaling == "none" else rope
    return {"rope_theta": config.rope_theta, "rope_parameters": rope, "rope_scaling": scaling}


def rope_settings(fields: Mapping[str, Any], where: object, **more: object) -> dict[str, Any]:
    """Return the settings of rotary positions; ModelError for unsupported ones. `more`: further fields allowed, with their values."""
    rope = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    require_one_of(where, "rope_type", kind, tuple(SCALINGS))
    for name in sorted(rope.keys() - {"rope_type", "type", "rope_theta", *SCALINGS[kind]}):
        require_one_of(where, name, rope[name], (more.get(name),))
    scaling = {ours: rope[theirs] for theirs, ours in SCALINGS[kind].items() if rope.get(theirs) is not None}
    if scaling.get("rope_original_context") == fields["max_position_embeddings"]:
        scaling["rope_original_context"] = 0
    theta = rope.get("rope_theta", fields.get("rope_theta", 10_000.0))
    return {"rope_theta": theta, "rope_scaling": "none" if kind == "default" else kind, **scaling}
