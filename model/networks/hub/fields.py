"""Shared by the configs of transformers: names of tensors, rotary positions, and a sliding window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model.layers.config import BiasBalance, ExpertsConfig, LossBalance, PositionsConfig
from model.networks.base import ModelError
from model.networks.hub.protocol import require_one_of

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.config import DecoderConfig


def renamed(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the tensors with the first part of their names that `names` has replaced."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        old = next((part for part in names if part in name), "")
        found[name.replace(old, names[old]) if old else name] = tensor
    return found


def block_names(layers: int, ours: str, theirs: str, parts: Mapping[str, str]) -> dict[str, str]:
    """Return the class's names of the `parts` of each block, whose own names begin with `ours` or `theirs` and the block's number."""
    numbered = [(f"{ours}{layer}.", f"{theirs}{layer}.") for layer in range(layers)]
    return {mine + part: its + other for mine, its in numbered for part, other in parts.items()}


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


def rope_fields(config: PositionsConfig, **more: Any) -> dict[str, Any]:
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
    if not isinstance(rope, Mapping):
        raise ModelError(f"{where}: rope_parameters or rope_scaling is {rope!r}, not an object; fetch the model again")
    kind = rope.get("rope_type", rope.get("type", "default"))
    require_one_of(where, "rope_type", kind, tuple(SCALINGS))
    for name in sorted(rope.keys() - {"rope_type", "type", "rope_theta", *SCALINGS[kind]}):
        require_one_of(where, name, rope[name], (more.get(name),))
    scaling = {ours: rope[theirs] for theirs, ours in SCALINGS[kind].items() if rope.get(theirs) is not None}
    if scaling.get("rope_original_context") == fields["max_position_embeddings"]:
        scaling["rope_original_context"] = 0
    theta = rope.get("rope_theta", fields.get("rope_theta", 10_000.0))
    return {"rope_theta": theta, "rope_scaling": "none" if kind == "default" else kind, **scaling}


# Fields of ours, which transformers passes over: how experts are trained changes nothing that they compute.
TRAINED = {"router_z_loss_coef": "router_loss", "expert_capacity_factor": "capacity"}
BALANCE_WEIGHT, BIAS_RATE = "router_aux_loss_coef", "expert_bias_rate"


def expert_fields(experts: ExpertsConfig, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a mixture of experts; `names`: a class's own, with ours of the same meaning."""
    balance = experts.balance
    fields = {theirs: getattr(experts, ours) for theirs, ours in {**names, **TRAINED}.items()}
    if isinstance(balance, BiasBalance):
        return fields | {BIAS_RATE: balance.rate}
    return fields | {BALANCE_WEIGHT: balance.weight if isinstance(balance, LossBalance) else 0.0}


def expert_settings(fields: Mapping[str, Any], names: Mapping[str, str], score: str) -> dict[str, Any]:
    """Return the settings of a mixture of experts; a class that scores by `sigmoid` balances by biases."""
    balance: dict[str, Any] = {"kind": "none"}
    if score == "sigmoid":
        balance = {"kind": "bias", **({"rate": fields[BIAS_RATE]} if BIAS_RATE in fields else {})}
    elif weight := fields.get(BALANCE_WEIGHT):
        balance = {"kind": "loss", "weight": weight}
    settings = {ours: fields[theirs] for theirs, ours in names.items()}
    settings |= {ours: fields[theirs] for theirs, ours in TRAINED.items() if theirs in fields}
    return {**settings, "score": score, "balance": balance}


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
