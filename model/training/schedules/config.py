"""Every shape of the learning rate. A kind is its own file and its name here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from model.training.schedules.constant import ConstantConfig
from model.training.schedules.cosine import CosineConfig
from model.training.schedules.inverse_sqrt import InverseSqrtConfig
from model.training.schedules.linear import LinearConfig
from model.training.schedules.wsd import WsdConfig

ScheduleConfig = Annotated[CosineConfig | LinearConfig | WsdConfig | InverseSqrtConfig | ConstantConfig, Field(discriminator="kind")]
