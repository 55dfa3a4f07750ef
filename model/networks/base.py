"""The base class of every network's config. Cheap to import (no torch)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from data.shards.model_folder import ModelError as ModelError
from model.inputs.config import ReadsInputs

if TYPE_CHECKING:
    from model.networks.hub.protocol import HubForm
    from model.networks.network import Network


AHEAD = "model.multi_token."  # of the names of all parameters of heads that predict further ahead than the next token


@dataclass(frozen=True)
class Layout:
    """The settings that a network can refuse. `section`, `shape` and `spread` prefix the keys of training, network and layout."""

    workers: int
    tensor: int
    pipeline: int
    micro_batch: int
    global_batch: int
    batch_warmup_steps: int
    recompute: str
    zero_stage: int = 0
    section: str = ""
    shape: str = ""
    spread: str = ""


# causal: a token sees itself and earlier ones, so next tokens can be predicted. bidirectional: it sees all of its document.
# infilling: it reads a text with gaps, each marked by a sentinel, and writes what they hide.
# generation: it keeps a state and continues texts. packed: the documents of a row do not see each other.
# gradients: steps of training change its weights, and its hidden vectors mean something; without, it is counted.
# recompute, tensor, pipeline: how its training may be laid out.
Ability = Literal["causal", "bidirectional", "infilling", "generation", "packed", "gradients", "recompute", "tensor", "pipeline"]


class NetworkBase(ReadsInputs, frozen=True, extra="forbid"):
    """The sizes and inputs that every network has, and what it can do.

    `BUILT_BY`: its class, called with (config, vocab_size, seed=), as `module:name`, so that a config loads no torch.
    """

    BUILT_BY: ClassVar[str]
    SUPPORTS: ClassVar[frozenset[Ability]] = frozenset()
    INITIAL: ClassVar[frozenset[str]] = frozenset({"initial_std", "zero_outputs"})  # the keys that only fresh weights follow
    SIZES: ClassVar[tuple[str, ...]] = ("width", "layers")  # the keys that `resized` sets

    kind: str
    width: int = Field(128, ge=8, le=2**20, description="size of the residual stream; numbers")
    layers: int = Field(4, ge=1, le=1_000, description="blocks; count")
    context: int = Field(128, ge=2, le=2**31 - 1, description="longest sequence it is trained on; tokens")
    initial_std: float = Field(0.02, gt=0, description="standard deviation of initial weights")

    def build(self, vocab_size: int, *, seed: int = 0) -> Network:
        """Return a network over `vocab_size` tokens with initial weights drawn from the seed."""
        network: Network = resolve_name(self.BUILT_BY)(self, vocab_size, seed=seed)
        return network

    @property
    def whole_batch(self) -> bool:
        """Whether a step's rows must be computed at once, because statistics of the whole batch enter the forward pass."""
        return False

    @property
    def mixes_experts(self) -> bool:
        """Whether a token is computed with some of its weights only, which a router chooses."""
        return False

    @property
    def counted(self) -> bool:
        """Whether its numbers are counted in one pass over the rows, so that nothing can train it, or go on from it."""
        return "gradients" not in self.SUPPORTS

    @property
    def heads_ahead(self) -> int:
        """How many heads predict further ahead than the next token."""
        return 0

    @property
    def alone(self) -> Self:
        """The same network without heads that predict further ahead."""
        return self

    @property
    def reads_prompts(self) -> bool:
        """Whether a prompt's tokens see all of it, which makes it one whole: none of it can be reused for a longer prompt."""
        return False

    @property
    def attended(self) -> int:
        """The most tokens that one token attends to, itself included."""
        return self.context

    @property
    def masks_documents(self) -> bool:
        """Whether a mask, which takes memory, separates the documents of packed rows."""
        return True

    @property
    def shallow(self) -> Self:
        """The same network with the fewest blocks that determine the sizes of any number: two, where all are alike.

        Its last `period` blocks stand for the others, since the first may keep what all of them share.
        """
        return self.model_copy(update={"layers": min(self.layers, 2 * self.period + self.layers % self.period)})

    @property
    def period(self) -> int:
        """The period after which blocks repeat: 1 where all are alike."""
        return 1

    @property
    def stacks(self) -> int:
        """How many stacks of `layers` blocks it has: 1; with an encoder before the decoder 2, whose blocks alternate in `blocks()`."""
        return 1

    def written(self, length: int) -> int:
        """Return how many tokens it usually writes about a row of so many; 0: it writes none apart from those that it reads."""
        return 0

    @property
    def without_dropout(self) -> Self:
        """The same network, which drops nothing in training."""
        return self.model_copy(update={"dropout": 0.0}) if "dropout" in type(self).model_fields else self

    @classmethod
    def width_step(cls, width: int) -> int:
        """Return what widths near `width` must be multiples of, for `resized`."""
        return 32

    def resized(self, width: int, layers: int) -> Self:
        """Return the network at another size, all but `SIZES` unchanged; ValueError for a kind without a rule for its inner sizes."""
        raise ValueError(
            f"kind={self.kind} has no rule for its inner sizes, so no size can be proposed; choose the keys of model: yourself"
        )

    def differences(self, theirs: NetworkBase) -> Iterator[tuple[str, Any, Any]]:
        """Yield each field in which another network differs: name, value here, value there.

        What only fresh weights follow does not matter to a model that has its own, so it never differs.
        """
        for name, ours in self:
            if name not in self.INITIAL and (value := getattr(theirs, name, None)) != ours:
                yield name, ours, value

    def layout_problems(self, layout: Layout) -> Iterator[str]:
        """Yield why this network can't be trained in a layout; each problem names the keys, their values and what to do."""
        kind, pipeline = f"{layout.shape}kind={self.kind}", f"{layout.spread}pipeline={layout.pipeline}"
        if layout.recompute != "none" and "recompute" not in self.SUPPORTS:
            yield f"{kind} with recompute={layout.recompute} is not offered; set recompute=none"
        if layout.tensor > 1 and "tensor" not in self.SUPPORTS:
            yield f"{kind} with {layout.spread}tensor={layout.tensor}: its matrices can't be cut; use tensor=1"
        if layout.pipeline > 1 and "pipeline" not in self.SUPPORTS:
            yield f"{kind} with {pipeline}: it can't be divided into stages; use pipeline=1"
        elif layout.pipeline > max(1, self.layers):
            yield f"{layout.shape}layers={self.layers} with {pipeline}: each stage needs at least one block; use fewer stages"
        if layout.pipeline > 1 and self.inputs:
            yield f"{layout.shape}inputs with {pipeline}: stages are sent tokens alone; use pipeline=1, or no other inputs"

    def require_generation(self) -> None:
        """Raise ValueError unless a network of this config continues texts."""
        if "generation" not in self.SUPPORTS:
            raise ValueError(f"a network of kind={self.kind} writes no text: it can be neither asked nor talked to")

    def prefix_refusal(self) -> str:
        """Return why its documents can't have a learned prefix, naming the settings; empty if they can."""
        return f"blocks of kind={self.kind} attend to nothing before a document"

    def hub_refusal(self) -> str:
        """Return why no class of transformers computes this network, naming each setting; empty: one does, with the same logits."""
        from model.networks.hub.registry import refusal

        return refusal(self)

    def hub_form(self) -> HubForm | None:
        """Return the network in the form of the class of transformers that computes it; None where `hub_refusal` says why."""
        from model.networks.hub.registry import form_of

        return form_of(self)
