"""Settings of sampling. Cheap to import: pydantic only."""

from __future__ import annotations

from pydantic import BaseModel, Field


class SamplingConfig(BaseModel, frozen=True, extra="forbid"):
    """How the next token is chosen: temperature, then top_k, then top_p."""

    temperature: float = Field(
        0.0, ge=0, le=100, allow_inf_nan=False, description="divides the logits; 0 takes the likeliest token (greedy)"
    )
    top_k: int | None = Field(None, ge=1, description="draw among the k likeliest tokens only; tokens; null: all")
    top_p: float | None = Field(
        None, gt=0, le=1, description="draw among the fewest likeliest tokens of at least this probability; null: all"
    )
    max_new_tokens: int = Field(256, ge=1, description="longest reply; tokens")
