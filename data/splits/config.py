"""Settings that may change the bytes that the split writes. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from data.documents.sharding import SLICE

ASSIGNED = f"assigned/{SLICE}"  # where a shard's slice of the assignment is, by its number
TRAIN_SIZE = "train_size.json"  # how many bytes of text a shard's train.parquet has: {"bytes": 0}
LARGE_CLUSTERS = "large_clusters.json"  # the clusters that make a held-out split larger than it should be


class LargeCluster(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A cluster of near-duplicates that is larger than the split that should hold out `asked` documents, and has `found` of `total`."""

    split: str
    cluster: str
    documents: int
    asked: float
    found: int
    total: int
    mode: str

    @property
    def warning(self) -> str:
        """The words for a split that is larger than asked, with the way out."""
        key = f"split.{self.split}_documents" if self.mode == "counts" else f"split.{self.split}"
        return (
            f"{self.split} has {self.found:,} of {self.total:,} documents ({self.found / self.total:.1%}), where {key} asks for "
            f"{self.asked:,.10g} ({self.asked / self.total:.1%}): {self.documents:,} near-duplicates of document {self.cluster} are one "
            "cluster, which is never divided between splits. Leave some of them out of the sources, deduplicate more strongly (a lower "
            f"dedup.near.threshold), raise {key}, or set another split.seed, which places every document anew"
        )


class DivideConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The settings that may change the splits of a shard, once it is decided where each document goes. `held_out`: those beside train."""

    train: float = 1.0
    val: float = 0.0
    held_out: tuple[str, ...] = ()


class SplitConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The split of the corpus into train, validation and test, and how much of train a machine may have written."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "train": ("mode=fractions", "mode=passages"),
        "val": ("mode=fractions", "mode=passages"),
        "test": ("mode=fractions", "mode=passages"),
        "val_documents": ("mode=counts",),
        "test_documents": ("mode=counts",),
        "stratify": ("mode=fractions", "mode=counts"),
        "seed": ("mode=fractions", "mode=counts"),
    }

    mode: Literal["fractions", "counts", "passages", "all_train"] = Field(
        "fractions",
        description="fractions or counts: hold out shares or numbers of documents; passages (for a few long texts): hold out the last "
        "passages of each; all_train (for a few short ones): train on all, with copies of train as val and test",
    )
    train: float = Field(0.9, gt=0, le=1, description="share of the documents, or of each document, for training; fraction")
    val: float = Field(0.05, ge=0, lt=1, description="share for validation; at least one document or passage if above 0; fraction")
    test: float = Field(0.05, ge=0, lt=1, description="share for test; at least one document or passage if above 0; fraction")
    val_documents: int = Field(0, ge=0, description="size of validation; documents")
    test_documents: int = Field(0, ge=0, description="size of test; documents")
    stratify: Literal["none", "source"] = Field(
        "none",
        description="source: split each source by itself, so that every split has the same mix of sources; none: split all together",
    )
    seed: int = Field(0, ge=0, description="seed of the hash that orders the documents")
    synthetic_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="largest share of train that a machine may have written; the rest is dropped in the order of a hash; fraction of "
        "characters",
    )

    @model_validator(mode="after")
    def _parts_are_whole(self) -> SplitConfig:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"split.train + split.val + split.test is {total:g}; the three shares must add up to 1")
        if self.mode == "counts" and not self.val_documents + self.test_documents:
            raise ValueError("split.mode=counts holds nothing out; set split.val_documents or split.test_documents, or mode: fractions")
        if self.mode == "passages" and not self.held_out:
            raise ValueError("split.mode=passages holds nothing out; set split.val or split.test, or mode: all_train")
        return self

    @property
    def dividing(self) -> DivideConfig:
        """The settings of dividing a shard: only documents that are cut need more than the decision about them."""
        if self.mode != "passages":
            return DivideConfig()
        return DivideConfig(train=self.train, val=self.val, held_out=tuple(sorted(self.held_out)))

    @property
    def held_out(self) -> dict[str, float]:
        """The sizes of validation and test, as fractions or in documents; empty splits are left out."""
        wanted = {"test": (self.test, self.test_documents), "val": (self.val, self.val_documents)}
        chosen = {part: float(pair[self.mode == "counts"]) for part, pair in wanted.items()}
        return {} if self.mode == "all_train" else {part: size for part, size in chosen.items() if size}
