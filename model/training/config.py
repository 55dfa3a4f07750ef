"""Every kind of training by the place where a recipe takes it: as pretraining, or as a step of tuning.

A kind is a config in `kinds/` and its name here. Cheap to import (pydantic alone).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from model.training.kinds.preferences import DpoConfig, KtoConfig, OrpoConfig, RewardModelConfig, SimpoConfig
from model.training.kinds.pretraining import ContrastiveConfig, MaskedConfig, PrefixConfig, PretrainConfig, SpansConfig
from model.training.kinds.sampled import GrpoConfig, PpoConfig
from model.training.kinds.sft import SftConfig
from model.training.resources import TrainResources
from model.training.train_config import TrainConfig, TuningConfig

PretrainStep = Annotated[PretrainConfig | PrefixConfig | MaskedConfig | SpansConfig | ContrastiveConfig, Field(discriminator="kind")]
Preferences = DpoConfig | KtoConfig | OrpoConfig | SimpoConfig | RewardModelConfig
TuningStep = Annotated[SftConfig | Preferences | GrpoConfig | PpoConfig, Field(discriminator="kind")]
ObjectiveConfig = Annotated[PretrainStep | TuningStep, Field(discriminator="kind")]

__all__ = [
    "ContrastiveConfig",
    "DpoConfig",
    "GrpoConfig",
    "KtoConfig",
    "MaskedConfig",
    "ObjectiveConfig",
    "OrpoConfig",
    "PpoConfig",
    "PrefixConfig",
    "PretrainConfig",
    "PretrainStep",
    "RewardModelConfig",
    "SftConfig",
    "SimpoConfig",
    "SpansConfig",
    "TrainConfig",
    "TrainResources",
    "TuningConfig",
    "TuningStep",
]
