"""The shape of a recurrent network: everything that decides how many parameters it has and what it computes from them.

Cheap to import (no torch), so a recipe can be read at start-up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from model.networks.base import Ability, NetworkBase
from model.networks.layout import Layout

if TYPE_CHECKING:
    from model.networks.recurrent import Recurrent


class RecurrentConfig(NetworkBase, frozen=True, extra="forbid"):
    """A language model of gated recurrent units: its state has a fixed size, so a new token costs the same however long the text is."""

    SUPPORTS: ClassVar[frozenset[Ability]] = frozenset({"causal", "generation", "packed", "recompute"})

    kind: Literal["recurrent"] = Field("recurrent", description="which network: gated recurrent units (GRU)")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share dropped in training, of embeddings and of what each layer adds; none in dpo and grpo"
    )
    norm_epsilon: float = Field(1e-5, gt=0, description="added to the mean square before its root; dimensionless")
    tied_embeddings: bool = Field(True, description="compute logits with the token embeddings instead of a second matrix")
    initial_std: float = Field(0.02, gt=0, description="standard deviation of initial embeddings and head; layers start as wide as torch's")

    @property
    def masks_documents(self) -> bool:
        """Documents of packed rows are sequences of their own."""
        return False

    def layout_problems(self, layout: Layout) -> Iterator[str]:
        """Also refuse recomputation under ZeRO 3: it gathers other weights on a worker whose rows hold a single document."""
        yield from super().layout_problems(layout)
        if layout.recompute != "none" and layout.zero_stage == 3 and layout.workers > 1:
            yield (
                f"{layout.shape}kind={self.kind} with recompute={layout.recompute} and {layout.spread}zero_stage=3 on "
                f"{layout.spread}workers={layout.workers}: they would exchange different weights; set recompute=none, or zero_stage=2"
            )

    def resized(self, width: int, layers: int) -> Self:
        """Return the network of another size; it has no inner sizes."""
        return type(self)(**{**self.model_dump(), "width": width, "layers": layers})

    def build(self, vocab_size: int, *, seed: int = 0) -> Recurrent:
        """Return a network of this shape with initial weights drawn from the seed."""
        from model.networks.recurrent import Recurrent

        return Recurrent(self, vocab_size, seed=seed)
