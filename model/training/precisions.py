"""Number types of matrix products: a config tagged by `kind` each, which says what it needs. Cheap to import: no torch."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, Field

from model.hardware.devices import bf16_products

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


class Bf16Config(PrecisionBase):
    """Matrix products in bf16, under autocast."""

    PRODUCTS: ClassVar[ProductType] = "bf16"

    kind: Literal["bf16"] = Field("bf16", description="number type of matrix products")


class Fp32Config(PrecisionBase):
    """Everything in fp32."""

    PRODUCTS: ClassVar[ProductType] = "fp32"

    kind: Literal["fp32"] = Field("fp32", description="number type of matrix products")


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


class Fp8Config(PrecisionBase):
    """bf16 with the blocks' linear layers in eight bits, on cards that support it."""

    PRODUCTS: ClassVar[ProductType] = "bf16"
    EIGHT_BITS: ClassVar[bool] = True
    SUPPORTS: ClassVar[frozenset[str]] = frozenset()

    kind: Literal["fp8"] = Field("fp8", description="number type of matrix products")

    def prepare(self, network: Network) -> None:
        """Replace the blocks' linear layers; raise JobError if this machine has no eight-bit products."""
        from model.training.precision import require_float8, use_float8

        require_float8()
        use_float8(network)


class AutoConfig(PrecisionBase):
    """bf16 where the machine multiplies in it, else fp32. Resolved when a run is planned: what trains and what is keyed is the outcome."""

    PRODUCTS: ClassVar[ProductType] = "fp32"

    kind: Literal["auto"] = Field("auto", description="number type of matrix products")

    def resolved(self, offered: Collection[str] | None = None) -> PrecisionBase:
        """Return bf16 or fp32."""
        has = bool(bf16_products()) if offered is None else "bf16" in offered
        return Bf16Config() if has else Fp32Config()


PrecisionConfig = Annotated[Fp32Config | Bf16Config | Fp16Config | Fp8Config | AutoConfig, Field(discriminator="kind")]
