"""Settings of quantization. Cheap to import: pydantic only."""

from __future__ import annotations

from pydantic import BaseModel, Field


class QuantizeConfig(BaseModel, frozen=True, extra="forbid"):
    """INT8 weight-only, symmetric, one scale an output channel."""

    embeddings: bool = Field(True, description="quantize token and position embeddings and head as well, a scale a token; yes or no")
