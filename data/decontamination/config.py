"""Settings that may change the bytes that decontamination writes. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field, JsonValue, model_validator

from data.documents.sharding import SLICE

# Paths are left out of the key, which holds the names and contents of the files they match instead.
NOT_IDENTITY: dict[str, JsonValue] = {"identity": False}
PASSAGES = f"passages/{SLICE}"  # where a shard's passages are, by its number
SUFFIXES = (".jsonl", ".csv", ".parquet", ".txt")


class EvaluationSet(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """An evaluation set: questions, passages or answers that models will be evaluated on."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="name of the set in metrics and lists")
    paths: tuple[str, ...] = Field(
        min_length=1,
        json_schema_extra=NOT_IDENTITY,
        description="files or globs (** crosses folders), relative to the recipe's root: each row of .jsonl, .csv and .parquet is an item, "
        "and each paragraph of .txt",
    )
    fields: tuple[str, ...] = Field((), description="fields of an item to search for, each by itself; empty: every field that holds text")


class SearchConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The settings that may change the matches in a shard."""

    against: tuple[EvaluationSet, ...]
    words: int
    least_words: int


class ContaminationConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The settings that may change which matches are passages, and how many shards they are for."""

    common: int
    shards: int


class CutConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The settings that may change the text that is left around passages."""

    action: Literal["cut", "drop"]
    window: int
    max_pieces: int
    min_characters: int


class DecontaminateConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The removal of evaluation sets' text from the corpus; the defaults are GPT-3's (Brown et al. 2020, appendix C)."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "words": ("against",),
        "least_words": ("against",),
        "common": ("against",),
        "action": ("against",),
        "window": ("against and action=cut",),
        "max_pieces": ("against and action=cut",),
        "min_characters": ("against and action=cut",),
    }

    against: tuple[EvaluationSet, ...] = Field(
        (), description="evaluation sets whose text is removed from the corpus; empty: skip the stage"
    )
    words: int = Field(13, ge=3, le=32, description="length of the n-grams that are searched for; words")
    least_words: int = Field(
        8, ge=1, description="an item's text shorter than `words` is searched for as a whole if it has at least this many; words"
    )
    common: int = Field(10, ge=1, description="an n-gram in more documents than this is ignored as a common phrase; documents")
    action: Literal["cut", "drop"] = Field("cut", description="cut: cut the passages out; drop: remove every document that contains one")
    window: int = Field(200, ge=0, description="how much is also cut before and after each passage; characters")
    max_pieces: int = Field(10, ge=1, description="a document that cuts divide into more pieces is dropped; pieces")
    min_characters: int = Field(200, ge=0, description="a shorter piece between cuts is dropped; characters")

    @property
    def searching(self) -> SearchConfig:
        """The settings of the search."""
        return SearchConfig(against=self.against, words=self.words, least_words=self.least_words)

    def deciding(self, shards: int) -> ContaminationConfig:
        """Return what the decision about all shards uses."""
        return ContaminationConfig(common=self.common, shards=shards)

    @property
    def cutting(self) -> CutConfig:
        """The settings of cutting."""
        return CutConfig(action=self.action, window=self.window, max_pieces=self.max_pieces, min_characters=self.min_characters)

    @model_validator(mode="after")
    def _sets_differ(self) -> DecontaminateConfig:
        names = [evaluation.name for evaluation in self.against]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"decontaminate.against: two sets are named {twice!r}; give each its own name")
        if self.least_words > self.words:
            raise ValueError(f"decontaminate.least_words={self.least_words} is more than decontaminate.words={self.words}; lower it")
        return self
