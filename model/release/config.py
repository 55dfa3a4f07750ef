"""Settings of a release and of its model card. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class ExportConfig(BaseModel, frozen=True, extra="forbid"):
    """The released directory."""

    format: Literal["huggingface", "folio"] = Field(
        "huggingface", description="who can open it: transformers as a Llama, or folio alone, for a model that is no Llama"
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="type of the exported weights; bfloat16 halves the file and rounds the logits"
    )
    max_new_tokens: int = Field(256, ge=1, description="default length of a reply in generation_config.json; tokens")


class CardConfig(BaseModel, frozen=True, extra="forbid"):
    """What the model card says that only its maker knows."""

    name: str = Field(min_length=1, description="name of the model; text")
    summary: str = Field(min_length=1, description="what it is, in a sentence or two; text")
    language: tuple[str, ...] = Field(("en",), description="languages of its text; ISO 639-1 codes")
    licence: str = Field("other", description="licence of the model; SPDX identifier in lower case, or other")
    intended_use: tuple[str, ...] = Field(min_length=1, description="what it is for; sentences")
    limits: tuple[str, ...] = Field(min_length=1, description="what it cannot do or must not be used for; sentences")
