"""Products in fp16, whose smallest numbers need a scaled loss."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from model.training.precisions.base import PrecisionBase, ProductType


class Fp16Config(PrecisionBase):
    """Matrix products in fp16, under autocast, with a dynamic loss scale (Micikevicius et al., 2018)."""

    PRODUCTS: ClassVar[ProductType] = "fp16"
    SUPPORTS: ClassVar[frozenset[str]] = frozenset({"tensor"})

    kind: Literal["fp16"] = Field("fp16", description="number type of matrix products")
    loss_scale: float = Field(65536.0, ge=1, description="initial loss scale; halved on overflow")
    loss_scale_window: int = Field(1000, ge=1, description="updates without overflow after which the loss scale doubles")

    @property
    def loss_scaling(self) -> tuple[float, int]:
        """The initial loss scale, and the good updates after which it doubles."""
        return self.loss_scale, self.loss_scale_window
