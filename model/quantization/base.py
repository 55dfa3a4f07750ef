"""What the configs of all kinds of quantization have in common. Cheap to import: pydantic only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field

from model.names import NOT_IDENTITY

if TYPE_CHECKING:
    from model.networks.base import NetworkBase


class VariantBase(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The settings of one quantized form. By default a kind needs the model's directory alone, and takes every network."""

    CALIBRATES: ClassVar[bool] = False
    TOKENIZES: ClassVar[bool] = False
    LIBRARIES: ClassVar[dict[str, str]] = {}

    most_bits_per_byte: float = Field(
        1.1, ge=1, json_schema_extra=NOT_IDENTITY, description="most bits per byte that it is released with; multiple of the model's"
    )
    most_kl: float = Field(
        0.5, ge=0, json_schema_extra=NOT_IDENTITY, description="largest divergence from the model that it is released with; nats a token"
    )
    overrule: str | None = Field(
        None,
        min_length=8,
        json_schema_extra=NOT_IDENTITY,
        description="release it although one of these fails, for this reason, which the card tells; text",
    )

    def refusal(self, network: NetworkBase, tokenizer: str) -> str:
        """Return why a network with this kind of tokenizer can't take this form, and the way out; empty if it can."""
        return ""

    def tokenizer_refusal(self, tokenizer: Path) -> str:
        """Return why this form can't have the tokenizer in a tokenizer.json; empty if it can."""
        return ""
