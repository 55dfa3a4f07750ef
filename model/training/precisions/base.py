"""The interface of a precision's config; no other file asks which kind it is. Cheap to import: no torch."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from model.networks.network import Network

ProductType = Literal["fp32", "bf16", "fp16"]


class PrecisionBase(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The number type of matrix products; weights, gradients, their reduction and the optimizer are fp32 in all. A kind adds `kind`.

    `PRODUCTS`: the type that autocast gives matrix products.
    `EIGHT_BITS`: the blocks' linear layers compute in eight bits besides.
    `SUPPORTS`: of tensor and pipeline parallelism, those that it works with.
    """

    PRODUCTS: ClassVar[ProductType]
    EIGHT_BITS: ClassVar[bool] = False
    SUPPORTS: ClassVar[frozenset[str]] = frozenset({"tensor", "pipeline"})

    kind: str = Field(description="number type of matrix products")

    @property
    def loss_scaling(self) -> tuple[float, int] | None:
        """The initial factor on the loss, and the good updates after which it doubles; None: the loss is not scaled."""
        return None

    def resolved(self, offered: Collection[str] | None = None) -> PrecisionBase:
        """Return the kind that training computes in on a device with the `offered` number types; None: on this machine."""
        return self

    def prepare(self, network: Network) -> None:
        """Change the layers of a network that compute in other ways than autocast; raise JobError if this machine can't."""
