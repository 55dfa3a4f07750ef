"""Settings of a release and of its model card. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from model.opening.source import UNSTATED

if TYPE_CHECKING:
    from model.networks.hub.protocol import HubForm

MADE_FROM = "It knows what {name} knew and what it has read here, and is often wrong about both."


class ExportConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The release directory."""

    format: Literal["huggingface", "folio"] = Field(
        "huggingface",
        description="huggingface: transformers opens it, for a model that a class of it computes; folio: only folio does, for any other",
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="type of the exported weights; bfloat16 halves the file and rounds the logits"
    )
    max_new_tokens: int = Field(256, ge=1, description="default length of a reply in generation_config.json; tokens")
    sentence_transformers: bool = Field(
        False,
        description="also write what sentence-transformers needs to make the vectors of texts that folio makes of this model, as for "
        "pretrain.kind=contrastive; it cuts what is longer than the context off",
    )


def sentences_refusal(form: HubForm | None) -> str:
    """Return why sentence-transformers can't make the vectors of a network in this form, None: in no class of transformers; "": it can."""
    if form is None:
        return "no class of transformers computes it"
    return f"a {form.hub.NAME} has two stacks and no vectors of texts" if "seq2seq" in form.hub.OPENED_BY.lower() else ""


class CardConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Facts of the model card that only the model's maker knows."""

    name: str = Field("", description="name of the model; empty: the recipe's name; text")
    summary: str = Field("", description="what it is, in a sentence or two; empty: the recipe's description; text")
    language: tuple[str, ...] = Field(("en",), description="languages of its text; ISO 639-1 codes")
    licence: str = Field("other", description="licence of the model; SPDX identifier in lower case, or other")
    intended_use: tuple[str, ...] = Field(
        ("Seeing what a small model learns from these texts.",), min_length=1, description="what it is for; sentences"
    )
    limits: tuple[str, ...] = Field(
        ("It knows nothing but the texts it has read, and is often wrong about them.",),
        min_length=1,
        description="what it cannot do or must not be used for; sentences",
    )

    def completed(self, recipe: str, description: str) -> CardConfig:
        """Return the card with an empty name and summary taken from the recipe."""
        summary = self.summary or description or f"A language model trained by the recipe {recipe}."
        return self.model_copy(update={"name": self.name or recipe, "summary": summary})

    def under(self, name: str, licence: str) -> CardConfig:
        """Return the card with the terms and limits that follow from the open model that this one was made from.

        What the recipe says itself stays.
        """
        fields = type(self).model_fields
        terms = {"licence": licence} if licence != UNSTATED and self.licence == fields["licence"].default else {}
        limits = {"limits": (MADE_FROM.format(name=name),)} if self.limits == fields["limits"].default else {}
        return self.model_copy(update=terms | limits)
