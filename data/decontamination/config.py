"""What may change the bytes that decontamination writes. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field, JsonValue, model_validator

# The files found through the paths are observed instead, by name and content.
NOT_IDENTITY: dict[str, JsonValue] = {"identity": False}
SUFFIXES = (".jsonl", ".csv", ".parquet", ".txt")


class EvaluationSet(BaseModel, frozen=True, extra="forbid"):
    """Questions, passages or answers by which models will be judged."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="what the set is called in metrics and lists")
    paths: tuple[str, ...] = Field(
        min_length=1,
        json_schema_extra=NOT_IDENTITY,
        description="files or globs (** crosses folders), relative to the recipe's root: .jsonl, .csv and .parquet hold an item a row, "
        ".txt an item a paragraph",
    )
    fields: tuple[str, ...] = Field((), description="fields of an item that count, each by itself; none: every field that holds text")


class DecontaminateConfig(BaseModel, frozen=True, extra="forbid"):
    """What of given evaluation sets stands in the corpus, and how it leaves; the defaults are GPT-3's (Brown et al. 2020, appendix C)."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "words": ("against",),
        "least_words": ("against",),
        "common": ("against",),
        "action": ("against",),
        "window": ("against and action=cut",),
        "max_pieces": ("against and action=cut",),
        "min_characters": ("against and action=cut",),
    }

    against: tuple[EvaluationSet, ...] = Field((), description="evaluation sets whose text must not be learnt; none: this step is left out")
    words: int = Field(13, ge=3, le=32, description="length of the n-grams that are looked for; words")
    least_words: int = Field(
        8, ge=1, description="a shorter text of an item than `words` is looked for as a whole if it has at least this many; words"
    )
    common: int = Field(10, ge=1, description="an n-gram in more documents than this is a common phrase and is ignored; documents")
    action: Literal["cut", "drop"] = Field("cut", description="cut the passages out, or drop every document that holds one")
    window: int = Field(200, ge=0, description="cut as much before and after each passage, too; characters")
    max_pieces: int = Field(10, ge=1, description="a document that falls into more pieces is dropped; pieces")
    min_characters: int = Field(200, ge=0, description="a shorter piece is dropped; characters")

    @model_validator(mode="after")
    def _sets_differ(self) -> DecontaminateConfig:
        names = [given.name for given in self.against]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"decontaminate.against: two sets are called {twice!r}; give each a name of its own")
        if self.least_words > self.words:
            raise ValueError(f"decontaminate.least_words={self.least_words} is more than decontaminate.words={self.words}; give it less")
        return self
