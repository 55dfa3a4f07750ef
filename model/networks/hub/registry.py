"""Choose the transformers class that computes a decoder: the first that fits. Nothing else asks which it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.networks.hub.gpt2 import GPT2, Opt, Starcoder2
from model.networks.hub.llama import (
    Arcee,
    DeepseekV3,
    Glm4Moe,
    Llama,
    Mistral,
    Mixtral,
    Qwen3,
    Qwen3Moe,
    SmolLM3,
    StableLm,
    VaultGemma,
)
from model.networks.hub.protocol import HubClass, HubForm

if TYPE_CHECKING:
    from model.networks.config import DecoderConfig

CLASSES: tuple[HubClass, ...] = (
    Llama(), Qwen3(), Mistral(), SmolLM3(), Arcee(), StableLm(), Starcoder2(), GPT2(), Opt(), DeepseekV3(), VaultGemma(),
    Mixtral(), Qwen3Moe(), Glm4Moe(),
)  # fmt: skip
BY_MODEL_TYPE: dict[str, HubClass] = {one.MODEL_TYPE: one for one in CLASSES}


def form_of(config: DecoderConfig) -> HubForm | None:
    """Return the decoder in the form of the class of transformers that computes it, None if there is none."""
    return None if config.reads_prompts else next((HubForm(one, config) for one in CLASSES if not one.differences(config)), None)


def refusal(config: DecoderConfig) -> str:
    """Return which settings keep the nearest classes from computing this decoder; empty if one computes it."""
    if config.reads_prompts:
        return "each reads prompts causally, not as prompt=bidirectional does"
    lacking = {one.NAME: one.differences(config) for one in CLASSES}
    fewest = min(len(differences) for differences in lacking.values())
    if not fewest:
        return ""
    return "; ".join(f"{name} lacks {', '.join(each)}" for name, each in lacking.items() if len(each) == fewest)
