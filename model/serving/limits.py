"""What a server gives to how many, and for how long. Cheap to import: pydantic only."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ServeLimits(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The limits of one server; each model has rows and a queue of its own."""

    rows: int = Field(16, ge=1, le=4096, description="replies that a model writes at once; count")
    waiting: int = Field(64, ge=0, le=100_000, description="replies that may wait for a row before others are turned away; count")
    max_tokens: int = Field(4096, ge=1, description="longest reply; tokens")
    choices: int = Field(8, ge=1, description="most replies to one request; count")
    body_bytes: int = Field(1 << 20, ge=1024, description="largest request; bytes")
    body_seconds: float = Field(20.0, gt=0, description="longest time that a request may take to arrive; seconds")
    queue_seconds: float = Field(30.0, gt=0, description="longest wait for a row; seconds")
    reply_seconds: float = Field(300.0, gt=0, description="longest time that a reply may be written; it then ends as it is; seconds")
    prefix_tokens: int = Field(
        65_536, ge=0, description="tokens of earlier texts that each model keeps, so that they are not read again; 0: none"
    )
    connections: int = Field(512, ge=1, description="open connections; count")
