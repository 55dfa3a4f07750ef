"""The configuration of the examples."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field

from data.universe.config import UniverseExamples


class CorpusExamples(BaseModel, frozen=True, extra="forbid"):
    """Examples made from the books themselves: continue, which book, who says it, who speaks next."""

    OF_UNIVERSE: ClassVar[bool] = False

    kind: Literal["corpus"] = Field("corpus", description="names this kind of examples")
    seed: int = Field(0, ge=0, description="seed of which passages are used and held out, and of every choice of words")
    max_words: int = Field(48, ge=6, description="longest passage and answer together, without the question's own words; words")
    passages_per_book: int = Field(120, ge=1, description="most passages from one book; count")
    max_passages: int = Field(4000, ge=2, description="most passages in all; count")
    heldout_fraction: float = Field(0.2, ge=0, le=0.5, description="share of the passages that only questions_heldout asks about; fraction")
    validation_fraction: float = Field(0.1, ge=0, le=0.5, description="share of the other passages kept for validation; fraction")
    questions: int = Field(200, ge=0, description="most questions in each of questions_seen and questions_heldout; count")


ExamplesConfig = Annotated[UniverseExamples | CorpusExamples, Field(discriminator="kind")]
"""Where the examples come from, by `kind`."""
