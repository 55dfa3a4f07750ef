"""Addresses that speak as OpenAI's do, and what a teacher is asked at one. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator


class Address(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A model behind an address that speaks as OpenAI's does."""

    kind: Literal["endpoint"] = Field("endpoint", description="who is asked: a model behind an OpenAI-compatible address")
    url: str = Field(description="address that /chat/completions follows, such as http://127.0.0.1:8000/v1")
    model: str = Field(min_length=1, description="name of the model there")
    temperature: float = Field(0.0, ge=0, le=2, description="sent with each request; the address decides what it does with it")
    key_variable: str = Field(
        "", json_schema_extra={"identity": False}, description="environment variable that holds the key for the address; empty: no key"
    )
    at_once: int = Field(4, ge=1, le=256, json_schema_extra={"identity": False}, description="requests under way at once; count")
    timeout_seconds: float = Field(120, gt=0, json_schema_extra={"identity": False}, description="longest wait for an answer; seconds")
    tries: int = Field(
        5, ge=1, le=20, json_schema_extra={"identity": False}, description="times a request is sent before the run stops; count"
    )

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} isn't an address such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError(
                "the address holds a user, a password or a query; put the key into an environment variable and name it in key_variable"
            )
        return url.rstrip("/")


TAUGHT = "taught.jsonl"


class Teaching(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """What a teacher is asked about passages: questions with answers, then each question again, with the passage and without it."""

    teacher: Address = Field(description="the model that writes questions and answers")
    passages: int = Field(200, ge=1, description="most passages that are asked about, drawn by the seed; count")
    questions: int = Field(3, ge=1, le=20, description="questions that are asked for about each passage; count")
    max_new_tokens: int = Field(400, ge=1, description="longest reply of the teacher; tokens")
    max_calls: int | None = Field(
        None, ge=3, description="requests after which asking ends in good order, each question's checks included; null: no limit; count"
    )
    max_tokens: int | None = Field(
        None, ge=1, description="tokens read and written, as the address counts them, after which no more passages are asked about; null: "
        "no limit; tokens"
    )  # fmt: skip
    seed: int = Field(0, ge=0, description="seed of the passages, of the order in which they are asked about, and sent with each request")
