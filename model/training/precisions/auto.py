"""Products in the smaller type where it is faster."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Literal

from pydantic import Field

from model.hardware.number_types import bf16_products
from model.training.precisions.base import PrecisionBase, ProductType
from model.training.precisions.bf16 import Bf16Config
from model.training.precisions.fp32 import Fp32Config


class AutoConfig(PrecisionBase):
    """bf16 where the machine multiplies in it, else fp32. Resolved when a run is planned: what trains and what is keyed is the outcome."""

    PRODUCTS: ClassVar[ProductType] = "fp32"

    kind: Literal["auto"] = Field("auto", description="number type of matrix products")

    def resolved(self, offered: Collection[str] | None = None) -> PrecisionBase:
        """Return bf16 or fp32."""
        has = bool(bf16_products()) if offered is None else "bf16" in offered
        return Bf16Config() if has else Fp32Config()
