"""The shape of a bidirectional encoder: everything that decides how many parameters it has and what it computes from them.

Cheap to import (no torch), so a recipe can be read at start-up. A shape that cannot be built is refused here, with the field
that is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from model.layers.config import BlockConfig
from model.networks.base import Ability, NetworkBase

if TYPE_CHECKING:
    from model.networks.encoder import Encoder


class EncoderConfig(NetworkBase, frozen=True, extra="forbid"):
    """A bidirectional Transformer encoder: every token sees all of its document, so it fills gaps and cannot continue a text."""

    SUPPORTS: ClassVar[frozenset[Ability]] = frozenset({"bidirectional", "packed", "recompute"})

    SIZES: ClassVar[tuple[str, ...]] = ("width", "layers", "heads", "feed_forward")

    kind: Literal["encoder"] = Field("encoder", description="which network: a bidirectional Transformer encoder")
    heads: int = Field(4, ge=1, description="attention heads; count, divides width into even parts")
    feed_forward: int = Field(
        344, ge=8, description="inner size of the feed-forward; near 8/3 of the width if gated, else 4 times; numbers"
    )
    positions: Literal["rope", "learned", "sinusoidal"] = Field(
        "rope", description="how the order of tokens enters: rotated queries and keys (rope), or an added vector (learned, sinusoidal)"
    )
    norm: Literal["rms", "layer"] = Field("rms", description="of the residual stream: RMSNorm or LayerNorm")
    norm_epsilon: float = Field(1e-5, gt=0, description="added to the mean square before its root; dimensionless")
    activation: Literal["swiglu", "geglu", "relu", "relu2", "gelu", "silu"] = Field(
        "swiglu",
        description="of the feed-forward; swiglu and geglu gate (three matrices), the others have two; relu2 is ReLU squared, GELU exact",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share dropped in training, of embeddings, sublayers' outputs and attention's probabilities"
    )
    tied_embeddings: bool = Field(True, description="compute logits with the token embeddings instead of a second matrix")
    initial_std: float = Field(0.02, gt=0, description="standard deviation of initial weights; residual outputs get less")
    zero_outputs: bool = Field(
        False,
        description="start with zeros in the matrices whose outputs are added to the residual stream, so blocks start as identity",
    )

    @property
    def layer_config(self) -> BlockConfig:
        """The settings of the layers: pre-norm blocks of multi-head attention and a feed-forward."""
        shared = set(BlockConfig.model_fields).intersection(type(self).model_fields)
        return BlockConfig(kv_heads=self.heads, **{name: getattr(self, name) for name in shared})

    @model_validator(mode="after")
    def _nothing_shows_what_is_hidden(self) -> EncoderConfig:
        if self.inputs:
            kinds = ", ".join(config.kind for config in self.inputs)
            raise ValueError(
                f"inputs={kinds} with kind=encoder: a column beside the tokens would show what the mask hides; leave inputs out"
            )
        return self

    @model_validator(mode="after")
    def _layers_can_be_built(self) -> EncoderConfig:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width={self.width} over heads={self.heads}: each head needs an even number of channels; choose a multiple of "
                f"{2 * self.heads}"
            )
        return self

    @classmethod
    def width_step(cls, width: int) -> int:
        """Return the widest head with which every width has whole heads of an even number of channels."""
        return 64

    def resized(self, width: int, layers: int) -> Self:
        """Return the encoder of another size, with heads of 32 to 64 and a feed-forward of 8/3 of the width."""
        heads = max(1, width // (32 if width < 512 else 64))
        sizes = {"width": width, "layers": layers, "heads": heads, "feed_forward": max(64, round(width * 8 / 3 / 64) * 64)}
        return type(self)(**{**self.model_dump(), **sizes})

    def build(self, vocab_size: int, *, seed: int = 0) -> Encoder:
        """Return an encoder of this shape with initial weights drawn from the seed."""
        from model.networks.encoder import Encoder

        return Encoder(self, vocab_size, seed=seed)
