"""What may be chosen about the universe. Cheap to import: pydantic alone."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field


class UniverseSource(BaseModel, frozen=True, extra="forbid"):
    """A generated corpus: one consistent world, told in small books and then made dirty on purpose."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "ocr_rate": ("dirty",),
        "hyphen_rate": ("dirty",),
        "lines_per_page": ("dirty",),
    }

    kind: Literal["universe"] = Field("universe", description="names this kind of source")
    seed: int = Field(7, description="decides the world, the prose and every fault", ge=0)
    books: int = Field(100, description="distinct books; copies and editions come on top", ge=4, le=400)
    exact_copies: int = Field(6, description="files that repeat the bytes of another book", ge=0, le=40)
    near_editions: int = Field(6, description="files that tell a book again with a few words changed", ge=0, le=40)
    dirty: bool = Field(True, description="false: write the clean text, without a single fault")
    ocr_rate: float = Field(0.01, description="share of words misread, in a book that was read by machine", ge=0, le=0.2)
    hyphen_rate: float = Field(0.5, description="share of line ends where a long word is broken, if one can be", ge=0, le=1)
    lines_per_page: int = Field(34, description="lines on a printed page, give or take two", ge=8, le=200)
    licence: str = Field(
        "generated, free of rights",
        json_schema_extra={"identity": False},
        description="under what terms the texts may be used, for the model card; text",
    )

    @property
    def label(self) -> str:
        """The name documents of this source carry."""
        return "universe"


class UniverseExamples(BaseModel, frozen=True, extra="forbid"):
    """Questions, instructions and preferences about the world, written from its truth."""

    kind: Literal["universe"] = Field("universe", description="names this kind of examples")
    seed: int = Field(7, description="decides which facts are held out, and every choice of words", ge=0)
    seen_fraction: float = Field(0.5, description="share of each entity's facts that examples may use", gt=0, lt=1)
    minimum_books: int = Field(5, description="a fact told in fewer books is asked in questions_rare only", ge=1)
    wordings: int = Field(5, description="ways to ask each seen fact, the last kept for validation", ge=2, le=6)
    preference_pairs: int = Field(2, description="pairs of a good and a bad answer for each seen fact", ge=1, le=4)
    validation_fraction: float = Field(0.1, description="share of preference pairs kept for validation", ge=0, lt=1)
    small_talk: bool = Field(True, description="greetings, who are you, and honest ignorance of strangers")
