"""What may change the bytes that the split writes. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator


class SplitConfig(BaseModel, frozen=True, extra="forbid"):
    """Shares of the documents in train, validation and test."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "train": ("mode=books",),
        "val": ("mode=books",),
        "test": ("mode=books",),
        "seed": ("mode=books",),
    }

    train: float = Field(0.9, gt=0, le=1, description="share of the documents to learn from; fraction")
    val: float = Field(0.05, ge=0, lt=1, description="share to choose by; at least one document if above 0; fraction")
    test: float = Field(0.05, ge=0, lt=1, description="share to judge by, once; at least one document if above 0; fraction")
    seed: int = Field(0, ge=0, description="seed of the hash that orders the clusters")
    mode: Literal["books", "all_train"] = Field(
        "books", description="split by book, or (for a handful of texts) train on all and let val and test be copies of train"
    )

    @model_validator(mode="after")
    def _shares_are_whole(self) -> SplitConfig:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"split.train + split.val + split.test is {total:g}; the three shares must add up to 1")
        return self
