"""How the next token is chosen. Cheap to import: pydantic alone."""

from __future__ import annotations

from pydantic import BaseModel, Field


class SamplingConfig(BaseModel, frozen=True, extra="forbid"):
    """How text is drawn from a model. The filters apply in this order: temperature, top_k, top_p."""

    temperature: float = Field(
        0.0, ge=0, le=100, allow_inf_nan=False, description="divides the logits; 0 takes the likeliest token (greedy)"
    )
    top_k: int | None = Field(None, ge=1, description="draw among the k likeliest tokens only; tokens; null: all")
    top_p: float | None = Field(
        None, gt=0, le=1, description="draw among the fewest likeliest tokens of at least this probability; null: all"
    )
    max_new_tokens: int = Field(256, ge=1, description="most tokens of one reply; tokens")
