"""Matrix products in bf16, and in fp8 for the blocks' linear layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.training.precisions.base import PrecisionBase, ProductType

if TYPE_CHECKING:
    from model.networks.network import Network


class Fp8Config(PrecisionBase):
    """bf16 with the blocks' linear layers in eight bits, on cards that support it."""

    PRODUCTS: ClassVar[ProductType] = "bf16"
    EIGHT_BITS: ClassVar[bool] = True
    SUPPORTS: ClassVar[frozenset[str]] = frozenset()

    kind: Literal["fp8"] = Field("fp8", description="number type of matrix products")

    def prepare(self, network: Network) -> None:
        """Replace the blocks' linear layers; raise JobError if this machine has no eight-bit products."""
        from model.training.float8 import require_float8, use_float8

        require_float8()
        use_float8(network)
