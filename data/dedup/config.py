"""What may change the bytes that deduplication writes. Cheap to import: pydantic only."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

SQL = Path(__file__).parent


class PageRule(BaseModel, frozen=True, extra="forbid"):
    """A page that a book carries twice: a long run of words that came before in the same book."""

    enabled: bool = Field(True, description="look for repeated pages")
    min_words: int = Field(100, ge=20, description="shortest run called a page, and least distance between the copies; words")
    max_apart: int = Field(1000, ge=0, description="most that may stand between the two copies; farther ones are the author's own; words")
    window: int = Field(8, ge=2, le=32, description="consecutive equal words that count as one match; words")
    gap: int = Field(24, ge=0, description="longest stretch without a match inside a run, for scanning errors; words")
    similarity: float = Field(0.5, gt=0, le=1, description="least share of a run's windows that match; fraction")


class ParagraphRule(BaseModel, frozen=True, extra="forbid"):
    """A long paragraph that came before; refrains and dialogue are shorter and stay."""

    enabled: bool = Field(True, description="look for repeated paragraphs")
    min_characters: int = Field(200, ge=1, description="shorter paragraphs are never removed; characters")
    scope: Literal["document", "corpus"] = Field("corpus", description="copies are sought in the same document, or everywhere")


class NearRule(BaseModel, frozen=True, extra="forbid"):
    """Near-duplicate documents: MinHash proposes, the true Jaccard similarity decides.

    A pair of similarity s is proposed with probability 1 - (1 - s**rows)**bands: 0.99 at 0.6 and above 0.999 at 0.7 by default.
    """

    enabled: bool = Field(True, description="look for near-duplicate documents")
    shingle: int = Field(5, ge=1, le=16, description="length of a shingle; words")
    bands: int = Field(32, ge=1, le=256, description="bands of the signature: more find less similar pairs; count")
    rows: int = Field(4, ge=1, le=32, description="values in a band: more propose fewer false pairs; count")
    threshold: float = Field(0.7, gt=0, le=1, description="least true Jaccard similarity of two shingle sets; fraction")
    action: Literal["remove", "cluster"] = Field(
        "remove", description="keep the best copy only, or keep all and name their cluster, so that no split runs through it"
    )
    bucket: int = Field(64, ge=2, description="largest bucket of which all pairs are compared; larger ones compare neighbours; documents")
    seed: int = Field(0, ge=0, description="seed of the hash functions")


class DedupConfig(BaseModel, frozen=True, extra="forbid"):
    """Rules of deduplication, applied in the order page, exact, near, paragraph."""

    page: PageRule = Field(PageRule(), description="repeated pages inside a book")
    exact: bool = Field(True, description="remove documents equal in their words (case, punctuation and spaces aside)")
    near: NearRule = Field(NearRule(), description="near-duplicate documents")
    paragraph: ParagraphRule = Field(ParagraphRule(), description="long repeated paragraphs")
