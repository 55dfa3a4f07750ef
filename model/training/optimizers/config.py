"""Every kind of optimizer. A kind is its own file in `kinds/` and its name here. Cheap to import: no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from model.training.optimizers.kinds.adafactor import AdafactorConfig
from model.training.optimizers.kinds.adam import AdamConfig
from model.training.optimizers.kinds.adamw import AdamWConfig
from model.training.optimizers.kinds.lion import LionConfig
from model.training.optimizers.kinds.momentum import MomentumConfig
from model.training.optimizers.kinds.muon import MuonConfig
from model.training.optimizers.kinds.sgd import SgdConfig
from model.training.optimizers.kinds.sophia import SophiaConfig

OptimizerConfig = Annotated[
    AdamWConfig | AdamConfig | SgdConfig | MomentumConfig | AdafactorConfig | LionConfig | SophiaConfig | MuonConfig,
    Field(discriminator="kind"),
]
