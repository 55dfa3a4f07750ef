"""The input that every network over a vocabulary has. Cheap to import (no torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.inputs.base import InputBase

if TYPE_CHECKING:
    from model.inputs.tokens import TokenEmbedding


class TokensConfig(InputBase, frozen=True, extra="forbid"):
    """A learned vector for each token of the vocabulary."""

    VOCABULARY: ClassVar[bool] = True

    kind: Literal["tokens"] = Field("tokens", description="which input: the tokens")

    @property
    def module(self) -> str:
        return "embed_tokens"

    def build(self, vocab_size: int, width: int) -> TokenEmbedding:
        from model.inputs.tokens import TokenEmbedding

        return TokenEmbedding(vocab_size, width)
