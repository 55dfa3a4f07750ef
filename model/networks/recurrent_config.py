"""The shape of a recurrent network: everything that decides how many parameters it has and what it computes from them.

Cheap to import (no torch), so that a recipe can be read at start-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.networks.base import Ability, NetworkBase

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

    def resized(self, width: int, layers: int) -> RecurrentConfig:
        """Return the network of another size; it has no inner sizes."""
        return RecurrentConfig(**{**self.model_dump(), "width": width, "layers": layers})

    def build(self, vocab_size: int, *, seed: int = 0) -> Recurrent:
        """Return a network of this shape with initial weights drawn from the seed."""
        from model.networks.recurrent import Recurrent

        return Recurrent(self, vocab_size, seed=seed)
