"""Products in fp32."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from model.training.precisions.base import PrecisionBase, ProductType


class Fp32Config(PrecisionBase):
    """Everything in fp32."""

    PRODUCTS: ClassVar[ProductType] = "fp32"

    kind: Literal["fp32"] = Field("fp32", description="number type of matrix products")
