"""The decoder's shape: everything that decides how many parameters it has and what it computes from them.

Cheap to import (no torch), so that a recipe can name it at start-up. A shape that cannot be built is refused here,
with the field that is wrong, not by a kernel an hour later.
"""

from __future__ import annotations

from pydantic import BaseModel, Field, model_validator


class DecoderConfig(BaseModel, frozen=True, extra="forbid"):
    """A Llama-compatible decoder: pre-norm, rotary positions, RMSNorm, SwiGLU, grouped-query attention."""

    width: int = Field(128, ge=8, description="size of the residual stream; numbers")
    layers: int = Field(4, ge=1, description="blocks of attention and feed-forward; count")
    heads: int = Field(4, ge=1, description="query heads; count, divides width into even parts")
    kv_heads: int = Field(2, ge=1, description="key and value heads, shared by groups of query heads; count, divides heads")
    feed_forward: int = Field(344, ge=8, description="inner size of SwiGLU, near 8/3 of the width; numbers")
    context: int = Field(128, ge=2, description="longest sequence it is trained on; tokens")
    rope_theta: float = Field(10_000.0, gt=1, description="base of the rotary wavelengths; larger for longer contexts")
    norm_epsilon: float = Field(1e-5, gt=0, description="added to the mean square before its root; dimensionless")
    tied_embeddings: bool = Field(True, description="read logits off the token embeddings instead of a second matrix")
    initial_std: float = Field(0.02, gt=0, description="standard deviation of initial weights; residual outputs get less")

    @property
    def head_width(self) -> int:
        """Numbers in one head's query, key or value."""
        return self.width // self.heads

    @model_validator(mode="after")
    def _shapes_fit(self) -> DecoderConfig:
        if self.width % self.heads or self.head_width % 2:
            raise ValueError(
                f"width={self.width} over heads={self.heads}: rotary positions need an even whole number in each head; "
                f"choose a width that is a multiple of {2 * self.heads}"
            )
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads={self.kv_heads} does not divide heads={self.heads}; choose a divisor")
        return self

    def parameters(self, vocab_size: int) -> int:
        """Number of weights of a decoder of this shape over `vocab_size` tokens, embeddings included."""
        attention = self.width * self.head_width * 2 * (self.heads + self.kv_heads)
        block = attention + 3 * self.width * self.feed_forward + 2 * self.width
        return vocab_size * self.width * (1 if self.tied_embeddings else 2) + self.layers * block + self.width
