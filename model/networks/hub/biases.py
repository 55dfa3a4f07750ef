"""Biases for classes that have them all or none: those that a decoder lacks are stored as zeros, and must be zeros when read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from model.networks.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.decoder_config import DecoderConfig

ATTENTION, FEED_FORWARD = ("q_proj", "k_proj", "v_proj", "o_proj"), ("up_proj", "down_proj")


def missing_biases(config: DecoderConfig) -> tuple[str, ...]:
    """Return the projections of a block that this decoder gives no bias and its neighbours have one."""
    attention = () if config.attention_bias else ATTENTION
    return (*attention, *(() if config.feed_forward_bias else FEED_FORWARD))


def with_zeros(tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
    """Return a decoder's tensors with a zero bias added to each projection that has none."""
    filled, names = dict(tensors), missing_biases(config)
    for name, weight in tensors.items():
        owner, _, kind = name.rpartition(".")
        if kind == "weight" and owner.endswith(names):
            filled[f"{owner}.bias"] = weight.new_zeros(weight.shape[0])
    return filled


def without_zeros(tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
    """Return tensors without the biases that a decoder has no place for; ModelError if one is not zero."""
    names = missing_biases(config)
    extra = {name for name in tensors if name.endswith(".bias") and name.removesuffix(".bias").endswith(names)}
    if learned := next((name for name in sorted(extra) if bool(tensors[name].any())), ""):
        raise ModelError(f"{learned} is not zero, and config.json says that there aren't such biases; correct config.json")
    return {name: tensor for name, tensor in tensors.items() if name not in extra}


def bias_fields(config: DecoderConfig) -> dict[str, bool]:
    """Return which biases are a decoder's own, in fields of ours that transformers passes over."""
    return {"attention_bias": config.attention_bias, "feed_forward_bias": config.feed_forward_bias}


def bias_settings(fields: Mapping[str, object], present: bool) -> dict[str, bool]:
    """Return which biases a decoder has of those that a file holds (`present`): all, unless fields of ours say otherwise."""
    names = ("attention_bias", "feed_forward_bias")
    return {name: present and bool(fields.get(name, True)) for name in names}
