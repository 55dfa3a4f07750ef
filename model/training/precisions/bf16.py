"""Products in bf16."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from model.training.precisions.base import PrecisionBase, ProductType


class Bf16Config(PrecisionBase):
    """Matrix products in bf16, under autocast."""

    PRODUCTS: ClassVar[ProductType] = "bf16"

    kind: Literal["bf16"] = Field("bf16", description="number type of matrix products")
