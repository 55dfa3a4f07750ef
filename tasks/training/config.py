"""The configs of the training stages: everything that decides a model besides its data."""

from __future__ import annotations

from pydantic import BaseModel, Field

from model.networks.config import NetworkConfig
from model.training.config import DpoConfig, PretrainConfig, SftConfig


class Pretraining(BaseModel, frozen=True, extra="forbid"):
    """Everything that decides a pretrained model besides its tokens."""

    model: NetworkConfig
    train: PretrainConfig
    seed: int = Field(description="of initial weights and sample order")


class Tuning(BaseModel, frozen=True, extra="forbid"):
    """Everything that decides a tuned model besides its tokens and the model it starts from."""

    train: SftConfig | DpoConfig
    seed: int = Field(description="of sample order")
