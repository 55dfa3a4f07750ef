"""A decoder's shape: everything that decides how many parameters it has and what it computes from them.

Cheap to import (no torch), so a recipe can be read at start-up. A shape that cannot be built is refused here, with the
field that is wrong, before anything runs. `hub_form` says which class of transformers computes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from model.layers.config import BlockConfig
from model.networks.base import Ability, NetworkBase
from model.networks.decoder_layout import decoder_layout_problems
from model.networks.layout import Layout

if TYPE_CHECKING:
    from model.networks.decoder import Decoder
    from model.networks.hub.protocol import HubForm


class DecoderConfig(BlockConfig, NetworkBase, frozen=True, extra="forbid"):
    """A decoder-only Transformer; by default pre-norm, rotary positions, RMSNorm, SwiGLU, grouped-query attention."""

    SUPPORTS: ClassVar[frozenset[Ability]] = frozenset({"causal", "generation", "packed", "recompute", "tensor", "pipeline"})

    SIZES: ClassVar[tuple[str, ...]] = ("width", "layers", "heads", "kv_heads", "feed_forward")

    kind: Literal["decoder"] = Field("decoder", description="which network: a decoder-only Transformer")
    logit_soft_cap: float = Field(0.0, ge=0, description="logits become cap x tanh(logit / cap), as in Gemma 2; 0: off")
    tied_embeddings: bool = Field(True, description="compute logits with the token embeddings instead of a second matrix")
    initial_std: float = Field(0.02, gt=0, description="standard deviation of initial weights; residual outputs get less")
    zero_outputs: bool = Field(
        False,
        description="start with zeros in the matrices whose outputs are added to the residual stream, so blocks start as identity",
    )

    def build(self, vocab_size: int, *, seed: int = 0) -> Decoder:
        """Return a decoder of this shape with initial weights drawn from the seed."""
        from model.networks.decoder import Decoder

        return Decoder(self, vocab_size, seed=seed)

    @property
    def whole_batch(self) -> bool:
        """Batch norm's statistics cover all rows of a step."""
        return self.norm == "batch"

    @classmethod
    def width_step(cls, width: int) -> int:
        """Return a step of whole heads, of which two or four share a key and value head."""
        return _head_width(width) * (2 if width < 768 else 4)

    def resized(self, width: int, layers: int) -> Self:
        """Return the decoder of another size; everything else stays the same.

        Head width is 32 to 128; two to four query heads share a key and value head; feed-forward is 8/3 of the width (Shazeer 2020), so
        that its three matrices cost as much as two of four times the width.
        """
        heads = width // _head_width(width)
        wanted = heads // 4 if heads >= 8 else heads // 2
        shared = max(number for number in range(1, max(1, wanted) + 1) if heads % number == 0)
        inner = max(64, round(width * 8 / 3 / 64) * 64)
        sizes = {"width": width, "layers": layers, "heads": heads, "kv_heads": shared, "feed_forward": inner, "head_width": 0}
        return type(self)(**{**self.model_dump(), **sizes})

    def layout_problems(self, layout: Layout) -> Iterator[str]:
        """Yield also what norm, heads, positions and biases do not allow."""
        yield from super().layout_problems(layout)
        yield from decoder_layout_problems(self, layout)

    def prefix_refusal(self) -> str:
        """Refuse a prefix where keys are latent, where a pattern would hide it, or where a table or bias gives positions."""
        takes = {"attention": ("grouped",), "positions": ("rope", "none"), "pattern": ("full",)}
        wrong = [
            f"{name}={value} (only {' or '.join(known)})" for name, known in takes.items() if (value := getattr(self, name)) not in known
        ]
        return f"nothing can stand before a document with {', '.join(wrong)}" if wrong else ""

    def hub_refusal(self) -> str:
        from model.networks.hub.registry import refusal

        return refusal(self)

    def hub_form(self) -> HubForm | None:
        from model.networks.hub.registry import form_of

        return form_of(self)


def _head_width(width: int) -> int:
    return 32 if width < 512 else 64 if width < 2048 else 128
