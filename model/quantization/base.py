"""What the configs of all kinds of quantization have in common. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

if TYPE_CHECKING:
    from model.networks.base import NetworkBase


class VariantBase(BaseModel, frozen=True, extra="forbid"):
    """The settings of one quantized form. By default a kind needs the model's directory alone, and takes every network."""

    CALIBRATES: ClassVar[bool] = False
    TOKENIZES: ClassVar[bool] = False
    LIBRARIES: ClassVar[dict[str, str]] = {}

    def refusal(self, network: NetworkBase, tokenizer: str) -> str:
        """Return why there is no such form of a network whose tokenizer is of this kind, and the way out; empty if there is one."""
        return ""
