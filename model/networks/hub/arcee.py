"""Arcee: a Llama whose feed-forward has two matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from model.networks.hub.llama import Llama
from model.networks.hub.protocol import BOTH, PLAIN, PLAIN_NAMES


class Arcee(Llama):
    """ArceeForCausalLM; a decoder's tensors have its names."""

    NAME: ClassVar[str] = "ArceeForCausalLM"
    MODEL_TYPE: ClassVar[str] = "arcee"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {"activation": PLAIN, "attention_bias": BOTH, "feed_forward_bias": BOTH}
    ACTIVATIONS: ClassVar[Mapping[str, str]] = PLAIN_NAMES
    DEFAULTS: ClassVar[Mapping[str, object]] = {**Llama.DEFAULTS, "hidden_act": "relu2"}
