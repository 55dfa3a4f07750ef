"""Choose the transformers class that computes a network: the first that fits. Nothing else asks which it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model.networks.hub.encoders import T5, EuroBert
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
    from model.networks.base import NetworkBase

CLASSES: tuple[HubClass[Any], ...] = (
    Llama(), Qwen3(), Mistral(), SmolLM3(), Arcee(), StableLm(), Starcoder2(), GPT2(), Opt(), DeepseekV3(), VaultGemma(),
    Mixtral(), Qwen3Moe(), Glm4Moe(), EuroBert(), T5(),
)  # fmt: skip
BY_MODEL_TYPE: dict[str, HubClass[Any]] = {one.MODEL_TYPE: one for one in CLASSES}


def classes_of(config: NetworkBase) -> tuple[HubClass[Any], ...]:
    """Return the classes of transformers for networks of this kind."""
    return tuple(one for one in CLASSES if f"{type(config).__module__}:{type(config).__qualname__}" == one.CONFIG)


def form_of(config: NetworkBase) -> HubForm | None:
    """Return the network in the form of the class of transformers that computes it, None if there is none."""
    known = () if config.reads_prompts else classes_of(config)
    return next((HubForm(one, config) for one in known if not one.differences(config)), None)


def refusal(config: NetworkBase) -> str:
    """Return which settings keep the nearest classes from computing this network; empty if one computes it."""
    if config.reads_prompts:
        return "each reads prompts causally, not as prompt=bidirectional does"
    lacking = {one.NAME: one.differences(config) for one in classes_of(config)}
    if not lacking:
        return f"none computes kind={config.kind}"
    fewest = min(len(differences) for differences in lacking.values())
    if not fewest:
        return ""
    return "; ".join(f"{name} lacks {', '.join(each)}" for name, each in lacking.items() if len(each) == fewest)
