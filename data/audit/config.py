"""Settings that may change the bytes of the audit. Cheap to import: pydantic only."""

from __future__ import annotations

from pydantic import BaseModel, Field

FORMAT = 2  # the format version of funnel.json
# What is known of a shard's documents without their texts, and the n-grams of those held out.
DESCRIBED, GRAMS = "described.parquet", "grams.parquet"


class GramConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The settings that may change the n-grams that are compared."""

    words: int


class AuditConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The measurement of leaks of held-out text into training text."""

    words: int = Field(13, ge=3, le=32, description="length of the n-grams that are compared; 13 as in the GPT-3 paper; words")
    worst: int = Field(50, ge=0, description="how many of the longest leaked passages are listed for each split; count")
    excerpt: int = Field(400, ge=20, description="a listed passage is quoted up to this length; characters")

    @property
    def comparing(self) -> GramConfig:
        """The settings of finding n-grams in the texts."""
        return GramConfig(words=self.words)
