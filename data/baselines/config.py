"""Settings of the baselines. Cheap to import: pydantic only."""

from __future__ import annotations

from pydantic import BaseModel, Field

from data.shards.names import SplitNames


class BaselineConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Settings of the baselines."""

    order: int = Field(5, ge=2, le=8, description="length of the n-grams that are counted: the token and those before it; tokens")
    splits: SplitNames = Field(("val", "test"), min_length=1, description="splits that the baselines predict; names")
    most_tokens: int = Field(
        20_000_000,
        ge=1,
        description="training tokens counted at most, in whole rows spread evenly; each needs 120 bytes of memory; tokens",
    )
    zstd_level: int = Field(19, ge=1, le=22, description="effort of zstd; level")
    passages: int = Field(
        0,
        ge=0,
        description="passages of each split whose halves are to find each other by the tokens that they share, by BM25; as many as "
        "evaluate.base.passages, to compare with; 0: not measured; count",
    )
