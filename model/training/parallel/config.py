"""How training is spread over processes and where its numbers live. Cheap to import; none of it is identity."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ParallelConfig(BaseModel, frozen=True, extra="forbid"):
    """Data parallel workers, and what DeepSpeed's ZeRO spreads over them."""

    workers: int = Field(1, ge=1, description="processes that share each batch; must divide it")
    zero_stage: int = Field(1, ge=0, le=3, description="what DeepSpeed spreads over workers: 1 optimizer, 2 gradients, 3 weights")
