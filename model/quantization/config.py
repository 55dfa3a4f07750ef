"""Settings of quantization. Cheap to import: pydantic only."""

from __future__ import annotations

from pydantic import BaseModel, Field


class QuantizeConfig(BaseModel, frozen=True, extra="forbid"):
    """INT8, weights only, symmetric, with one scale for each output channel."""

    embeddings: bool = Field(
        True, description="also quantize token and position embeddings and the head, with one scale for each token; yes or no"
    )
