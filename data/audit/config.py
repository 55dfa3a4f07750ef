"""What may change the bytes of the audit. Cheap to import: pydantic only."""

from __future__ import annotations

from pydantic import BaseModel, Field

FORMAT = 2
"""Of funnel.json."""


class AuditConfig(BaseModel, frozen=True, extra="forbid"):
    """How the leak of held-out text into training text is measured."""

    words: int = Field(13, ge=3, le=32, description="length of an n-gram; 13 as in the GPT-3 report; words")
    worst: int = Field(50, ge=0, description="longest leaked passages listed for each split; count")
    excerpt: int = Field(400, ge=20, description="most characters of a passage that are quoted; characters")
