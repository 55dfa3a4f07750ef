"""The settings of deduplication. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, JsonValue, model_validator

NOT_IDENTITY: dict[str, JsonValue] = {"identity": False}
Criterion = Literal["source", "title", "known_words", "longest"]


class PageRule(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A repeated page: a long run of words that occurs earlier in the same book."""

    enabled: bool = Field(True, description="look for repeated pages")
    min_words: int = Field(100, ge=20, description="shortest run that counts as a page, and least distance between copies; words")
    max_apart: int = Field(1000, ge=0, description="most words between two copies; farther ones are the author's own; words")
    window: int = Field(8, ge=2, le=32, description="consecutive equal words that make one match; words")
    gap: int = Field(24, ge=0, description="longest stretch without a match inside a run, to allow for scanning errors; words")
    similarity: float = Field(0.5, gt=0, le=1, description="least share of a run's windows that match; fraction")


class UnitRule(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Units of one kind (paragraphs or lines) with equal words: the first stays and its copies are removed."""

    enabled: bool = Field(description="look for repeated units of this kind")
    min_characters: int = Field(ge=1, description="shorter ones are never removed; characters")
    documents: int = Field(
        ge=1,
        description="remove copies if at least so many documents hold the unit (near copies kept on purpose count as one); 1: also "
        "copies within one document; count",
    )
    scope: Literal["document", "corpus"] = Field("corpus", description="where copies are searched for: in the same document, or in all")

    @model_validator(mode="after")
    def _documents_are_counted(self) -> UnitRule:
        default = type(self).model_fields["documents"].default
        if self.scope == "document" and self.documents != default:
            raise ValueError(
                f"documents={self.documents} does nothing while scope=document; change scope, or set documents to its default, {default}"
            )
        return self


class ParagraphRule(UnitRule, frozen=True, extra="forbid"):
    """A long paragraph that occurs earlier; refrains and dialogue are shorter and stay."""

    enabled: bool = Field(True, description="look for repeated paragraphs")
    min_characters: int = Field(200, ge=1, description="shorter paragraphs are never removed; characters")
    documents: int = Field(
        1,
        ge=1,
        description="remove copies if at least so many documents hold the paragraph (near copies kept on purpose count as one); 1: also "
        "copies within one document; count",
    )


class LineRule(UnitRule, frozen=True, extra="forbid"):
    """A line that many documents hold: a license, a menu, a publisher's address."""

    enabled: bool = Field(False, description="look for repeated lines")
    min_characters: int = Field(30, ge=1, description="shorter lines are never removed; characters")
    documents: int = Field(
        3,
        ge=1,
        description="remove copies if at least so many documents hold the line (near copies kept on purpose count as one); 1: also "
        "copies within one document, such as refrains; count",
    )


class SubstringRule(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Passages that occur earlier word for word, wherever they begin and end (ExactSubstr; Lee et al. 2022, arXiv:2107.06499)."""

    enabled: bool = Field(False, description="look for repeated passages")
    min_words: int = Field(50, ge=10, description="shortest passage that is removed; all of this length or longer are found; words")
    inside: bool = Field(True, description="also remove passages that a document repeats of itself, if the copies don't overlap")


class NearRule(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Near-duplicate documents: MinHash proposes, the true Jaccard similarity decides.

    A pair of similarity s is proposed with probability 1 - (1 - s**rows)**bands: 0.99 at 0.6 and above 0.999 at 0.7 by default.
    """

    enabled: bool = Field(True, description="look for near-duplicate documents")
    shingle: int = Field(5, ge=1, le=16, description="length of a shingle; words")
    spelling: Literal["exact", "folded"] = Field(
        "exact",
        description="folded: words are equal if their consonants are, so that editions in old and new spelling are found (haue, have; doe, "
        "do); exact: if all letters are",
    )
    bands: int = Field(32, ge=1, le=256, description="bands of the signature; more find less similar pairs; count")
    rows: int = Field(4, ge=1, le=32, description="values in a band; more propose fewer false pairs; count")
    threshold: float = Field(0.7, gt=0, le=1, description="least true Jaccard similarity of two shingle sets; fraction")
    action: Literal["remove", "cluster"] = Field(
        "remove", description="remove: keep only the best copy; cluster: keep all, in one cluster that the split doesn't divide"
    )
    bucket: int = Field(64, ge=2, description="largest bucket whose pairs are all compared; larger ones compare neighbours; documents")
    seed: int = Field(0, ge=0, description="seed of the hash functions")


class MediaRule(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Captioned pictures, or sounds with what is said, that are nearly the same: their documents are one cluster, and all stay.

    A fingerprint of 256 bits outlives another size, format, loudness or rate, not a crop. Pages with pictures are compared by their words.
    """

    enabled: bool = Field(True, description="look for pictures and sounds that are alike, so that the split doesn't divide them")
    distance: int = Field(12, ge=0, le=63, description="most bits in which two fingerprints of 256 differ; more find worse copies; bits")
    bucket: int = Field(64, ge=2, description="largest bucket whose pairs are all compared; larger ones compare neighbours; documents")


class DedupConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The rules of deduplication, applied in the order page, exact, near, paragraph, line, substring."""

    page: PageRule = Field(PageRule(), description="repeated pages inside a book")
    exact: bool = Field(True, description="remove documents with equal words (case, punctuation and spaces aside)")
    near: NearRule = Field(NearRule(), description="near-duplicate documents")
    media: MediaRule = Field(MediaRule(), description="pictures and sounds that are alike, under other words")
    keep: tuple[Criterion, ...] = Field(
        ("longest",),
        min_length=1,
        description="which copy of a document stays: a person's before a machine's; then by the first of these criteria in which copies "
        "differ; then the smallest id. source: the order of `prefer_sources`. title: its text doesn't contradict its title. known_words: "
        "its words are in more documents of the corpus, as those of modern spelling are. longest: most characters",
    )
    prefer_sources: tuple[str, ...] = Field((), description="sources for `keep: source`, the best first; all others come after; names")
    paragraph: ParagraphRule = Field(ParagraphRule(), description="long repeated paragraphs")
    line: LineRule = Field(LineRule(), description="lines that many documents hold")
    substring: SubstringRule = Field(SubstringRule(), description="passages repeated word for word")
    partitions: int = Field(
        1,
        ge=1,
        le=1024,
        json_schema_extra=NOT_IDENTITY,
        description="tasks among which whatever compares documents is divided; 1: one task does all. Changes no byte of the result; count",
    )

    @model_validator(mode="after")
    def _copies_can_be_ranked(self) -> DedupConfig:
        if ("source" in self.keep) != bool(self.prefer_sources):
            raise ValueError(
                f"keep={list(self.keep)} and prefer_sources={list(self.prefer_sources)} need each other: put source into keep and sources "
                "into prefer_sources, or neither"
            )
        default = type(self).model_fields["keep"].default
        if self.keep != default and not (self.exact or self.near.enabled):
            raise ValueError(
                f"keep={list(self.keep)} does nothing while exact=false and near.enabled=false; enable one, or set keep to its default, "
                f"{list(default)}"
            )
        if len(set(self.keep)) < len(self.keep):
            raise ValueError(f"keep={list(self.keep)} names a criterion twice; remove one")
        return self


Unit = Literal["paragraph", "line", "substring"]
_UNITS: dict[Unit, UnitRule | SubstringRule] = {"paragraph": ParagraphRule(), "line": LineRule(), "substring": SubstringRule()}


def rules_of(rules: DedupConfig, unit: Unit | None = None) -> DedupConfig:
    """Return the rules that compare documents, with that of one unit. Those of other units are reset, so changing one reruns no step that
    ignores it."""
    return rules.model_copy(update={"media": MediaRule()} | {name: rule for name, rule in _UNITS.items() if name != unit})


class PartitionedConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A step that looks at documents, at pairs of them or at clusters."""

    rules: DedupConfig
    shards: int = Field(ge=1)
    partitions: int = Field(ge=1)


class UnitConfig(PartitionedConfig, frozen=True, extra="forbid"):
    """A step that looks at repeated units of one kind."""

    unit: Unit
