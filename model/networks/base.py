"""What the config of every network says, whatever its kind. Cheap to import (no torch)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from model.inputs.config import ReadsInputs

if TYPE_CHECKING:
    from model.networks.network import Network

# causal: a token sees itself and earlier ones, so next tokens can be predicted. bidirectional: it sees all of its document.
# generation: it keeps a state and continues texts. packed: the documents of a row do not see each other.
# recompute, tensor, pipeline: how its training may be laid out.
Ability = Literal["causal", "bidirectional", "generation", "packed", "recompute", "tensor", "pipeline"]


class NetworkBase(ReadsInputs, frozen=True, extra="forbid"):
    """The sizes and inputs that every network has, and what it can do."""

    SUPPORTS: ClassVar[frozenset[Ability]] = frozenset()

    kind: str
    width: int = Field(128, ge=8, description="size of the residual stream; numbers")
    layers: int = Field(4, ge=1, description="blocks; count")
    context: int = Field(128, ge=2, description="longest sequence it is trained on; tokens")
    initial_std: float = Field(0.02, gt=0, description="standard deviation of initial weights")

    @abstractmethod
    def build(self, vocab_size: int, *, seed: int = 0) -> Network:
        """Return a network over `vocab_size` tokens with initial weights drawn from the seed."""

    @property
    def whole_batch(self) -> bool:
        """Whether a step's rows must be computed at once, because statistics of the whole batch enter the forward pass."""
        return False

    def hub_differences(self) -> tuple[str, ...]:
        """Return each setting, as key=value, that no class of transformers computes; empty: it opens there with the same logits."""
        return (f"kind={self.kind}",)

    def hub_config(self, vocab_size: int) -> dict[str, Any]:
        """Return config.json as transformers reads it; ModelError where `hub_differences` names any."""
        from model.networks.errors import ModelError

        raise ModelError(f"no class of transformers computes {', '.join(self.hub_differences())}")
