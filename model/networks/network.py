"""The base class of every network: the interface for the trainer, planner, generation and export."""

from __future__ import annotations

import hashlib
import math
import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from model.inputs.inputs import inputs_of
from model.networks.decoding import DecodingNetwork

if TYPE_CHECKING:
    from model.layers.experts import Routing
    from model.networks.base import NetworkBase
    from model.networks.decoder import Trunk


@dataclass(frozen=True)
class StageParts:
    """The stages of a network before, between and after its blocks, and the modules that own its weights.

    table: of the tokens' vectors, for `embed`, which returns the first block's input x_BTD.
    run: x_BTD through some consecutive blocks, given the columns that all stages are sent.
    norm: x_BTD after the last block. head: owns the output matrix; None: logits are read with the table.
    """

    table: nn.Embedding
    embed: Callable[[Mapping[str, Tensor]], Tensor]
    run: Callable[[Iterable[nn.Module], Tensor, Mapping[str, Tensor]], Tensor]
    norm: nn.Module
    head: nn.Module | None


@dataclass(frozen=True)
class CutPlan:
    """Patterns of parameter names, matched from their beginning: cut along their outputs (dim 0), or along their inputs (dim 1).

    `summed`: whole on every worker, but each computes with its own part of the heads alone, so that gradients are parts, to be summed.
    A parameter that matches none is whole and has the same gradient on every worker.
    """

    outputs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    summed: tuple[str, ...] = ()

    def along(self, name: str) -> int | None:
        """Return the dimension along which the parameter of this name is cut; None if it stays whole."""
        for dim, patterns in enumerate((self.outputs, self.inputs)):
            if any(re.match(pattern, name) for pattern in patterns):
                return dim
        return None


# The columns of a batch by name: `tokens` [B, T] int64; `documents` [B, T], the document of each token of packed rows; `positions` [B, T].
Inputs = Mapping[str, Tensor]
# matrix: of a linear layer inside a block, which Muon orthogonalizes and fp8 multiplies. embedding: a lookup table, tied or not, or any
# other matrix of an input.
# head: an output matrix of its own. vector: gains, biases, tables of position biases, and whatever else decays with none of these.
Role = Literal["matrix", "embedding", "head", "vector"]


class Network(nn.Module):
    """A model over `vocab_size` tokens: inputs to hidden vectors, hidden vectors to logits."""

    config: NetworkBase
    expert_counts: Tensor | None = None  # `Routing.counts` of the last pass of an objective that notes them

    def __init__(self, config: NetworkBase, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self._recompute = False
        self.compiled = False

    @abstractmethod
    def forward(self, inputs: Inputs) -> Tensor:
        """Return hidden vectors x_BTD, one for each token."""

    @abstractmethod
    def read(self, x_ND: Tensor) -> Tensor:
        """Return logits_NV over the vocabulary for hidden vectors."""

    def ahead(self, inputs: Inputs) -> list[Tensor]:
        """Return x_BTD of the next token, as `forward` does, and of each of `config.heads_ahead` tokens after it."""
        return [self(inputs)]

    def logits(self, inputs: Inputs) -> Tensor:
        """Return logits_BTV: `read` of `forward`."""
        return self.read(self(inputs))

    @abstractmethod
    def blocks(self) -> nn.ModuleList:
        """Return the repeated blocks, first to last."""

    def decoding(self) -> DecodingNetwork:
        """Return the network's decoding form with its current weights. Raise ValueError if it does not generate text."""
        self.config.require_generation()
        raise NotImplementedError(f"{type(self).__name__} has no form that writes")

    def noting(self, counted_BT: Tensor) -> AbstractContextManager[Routing]:
        """Inside, a forward pass of rows with these tokens that count notes whom its experts chose. Only where `config.experts`."""
        raise NotImplementedError(f"{type(self).__name__} has no experts")

    def prefix_owner(self) -> Trunk:
        """Return the module to whose `prefix` every block attends. Only where `config.prefix_refusal` is empty."""
        raise NotImplementedError(self.config.prefix_refusal())

    def roles(self) -> dict[str, Role]:
        """Return the role of each parameter by its name: by default from the modules that own them."""
        inside = {id(weight) for module in self.blocks().modules() if isinstance(module, nn.Linear) for weight in (module.weight,)}
        tables = {id(module.weight) for module in self.modules() if isinstance(module, nn.Embedding)}
        tables |= {id(weight) for module in inputs_of(self) for weight in module.parameters() if weight.dim() > 1}
        heads = {id(module.weight) for module in self.modules() if isinstance(module, nn.Linear)} - inside
        named: dict[str, Role] = {}
        for name, parameter in self.named_parameters():
            known = id(parameter)
            named[name] = "matrix" if known in inside else "embedding" if known in tables else "head" if known in heads else "vector"
        return named

    def read_weights(self) -> tuple[Tensor, ...]:
        """Return the weights that `read` uses outside the module that owns them, which ZeRO 3 must know."""
        return ()

    def tied_names(self) -> tuple[str, ...]:
        """Return the names under which files from elsewhere may hold a second copy of a tied weight."""
        return ()

    def cut_plan(self) -> CutPlan:
        """Return how tensor parallelism cuts the weights; by default nothing is cut."""
        return CutPlan()

    def divide_heads(self, parts: int) -> None:
        """Compute with one part of the heads, after the matrices were cut into `parts`."""
        raise NotImplementedError(f"{type(self).__name__} has no heads to divide; use tensor=1")

    def stage_parts(self) -> StageParts:
        """Return the parts that a pipeline divides the network into."""
        raise NotImplementedError(f"{type(self).__name__} can't be divided into stages; use pipeline=1")

    def compile_parts(self) -> None:
        """Compile the blocks, all with one graph where they are alike, and what objectives make of logits.

        A graph of the whole network would take as many times longer to compile as there are blocks.
        """
        for block in self.blocks():
            block.compile()
        self.compiled = True

    @property
    def recompute(self) -> bool:
        """Whether training keeps only each block's input and recomputes the block in the backward pass: less memory, more time.

        Gradients are bit-equal either way, dropout included. Setting it raises ValueError where that would not hold.
        """
        return self._recompute

    @recompute.setter
    def recompute(self, on: bool) -> None:
        self._recompute = on


def draw_normal(parameter: nn.Parameter, std: float, seed: int, name: str) -> None:
    """Draw a parameter's weights from the seed and its name, so adding a layer or a tensor changes no other."""
    if parameter.is_meta:
        return
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
    with torch.no_grad():
        parameter.copy_(torch.empty(parameter.shape).normal_(0.0, std, generator=generator))


def initialize(network: Network, seed: int, *, zero_outputs: bool) -> None:
    """Draw a Transformer's normal weights; set gains to 1 and biases to 0.

    Weights whose output is added to the residual stream are scaled down by sqrt(2 layers), as in GPT-2: so many outputs add up there,
    and the scale keeps the stream's variance from growing with depth. With `zero_outputs` they are zero, so each block starts as identity.
    """
    config = network.config
    for name, parameter in network.named_parameters():
        if parameter.dim() == 1:
            nn.init.constant_(parameter, 0.0 if name.endswith(".bias") else 1.0)
            continue
        residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        if residual and zero_outputs:
            nn.init.zeros_(parameter)
            continue
        std = config.initial_std / math.sqrt(2 * config.layers) if residual else config.initial_std
        draw_normal(parameter, std, seed, name)
