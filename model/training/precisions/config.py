"""Every number type of matrix products. A kind is its own file and its name here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from model.training.precisions.auto import AutoConfig
from model.training.precisions.bf16 import Bf16Config
from model.training.precisions.fp8 import Fp8Config
from model.training.precisions.fp16 import Fp16Config
from model.training.precisions.fp32 import Fp32Config

PrecisionConfig = Annotated[Fp32Config | Bf16Config | Fp16Config | Fp8Config | AutoConfig, Field(discriminator="kind")]
