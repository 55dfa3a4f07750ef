"""The interface that generation needs from every network: its decoding form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, Self

import torch
from torch import Tensor, nn

from model.inputs.inputs import TokenEmbedding, embed_inputs, inputs_of
from model.layers.decoding.projection import Projection
from model.layers.decoding.state import KeptRow

if TYPE_CHECKING:
    from model.networks.network import Network


class DecodingState(Protocol):
    """What is kept of the tokens before, for each row that writes: keys and values, a window of them, or a recurrent state.

    cuts: whether a row can be shortened, because its entries for each token are independent.
    """

    cuts: bool

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row so far."""

    def add(self, rows: int) -> None:
        """Append empty rows."""

    def remove(self, row: int) -> None:
        """Remove a row; the last row takes its place."""

    def select(self, rows: Sequence[int]) -> None:
        """Replace the rows by copies of these, in this order; one may be chosen several times or never."""

    def cut(self, row: int, length: int) -> None:
        """Forget what a row holds beyond `length` tokens. Only where `cuts`."""

    def keep(self, row: int) -> KeptRow:
        """Return a copy of a row."""

    def restore(self, kept: KeptRow, length: int) -> None:
        """Append a row that begins with the first `length` tokens of a kept one: all of them, unless `cuts`."""


class DecodingNetwork(ABC):
    """A network's weights as they were when it was made, fused for writing; fp32, without gradients.

    Costs a second copy of the matrices while it lives, and a third where single tokens are read by compiled code. Logits equal the
    network's own to rounding.
    """

    @torch.no_grad()
    def __init__(self, network: Network, owner: nn.Module) -> None:
        """Note what is asked of the network: its config, the size of its vocabulary, its parameters (count) and where it computes.

        owner: the module that has the inputs.
        """
        self.config, self.vocab_size, self.context = network.config, network.vocab_size, network.config.context
        self.parameters = sum(parameter.numel() for parameter in network.parameters())
        self.device = next(network.parameters()).device
        (head_VD,) = network.read_weights()
        self.head = Projection(head_VD.detach().float(), None)
        self.table_VD = self._table(owner)

    @abstractmethod
    def new_state(self) -> DecodingState:
        """Return a state without rows."""

    @abstractmethod
    def advance(self, tokens_NT: Tensor, counts: Sequence[int], state: DecodingState, first: int) -> Tensor:
        """Read new tokens as `step` does; return x_MD after each of them, padding included, as `read` takes it."""

    @abstractmethod
    def normed(self, x_ND: Tensor) -> Tensor:
        """Return hidden vectors after the last norm, for those that `advance` returns."""

    @abstractmethod
    def read(self, x_ND: Tensor) -> Tensor:
        """Return logits_NV."""

    def prepared(self) -> Self:
        """Make now what writing would make when it first needs it, and return the network, so that the first reply waits for nothing."""
        return self

    @torch.inference_mode()
    def step(self, tokens_NT: Tensor, counts: Sequence[int], state: DecodingState, first: int = 0) -> Tensor:
        """Read new tokens of the last N rows of the state, those from `first` on; return logits_NV after the last token of each.

        tokens_NT: int64 on `device`. counts: how many of the T tokens each row has, 1 or more; what follows them is padding, any token.
        """
        return self.read(self.last(self.advance(tokens_NT, counts, state, first), counts, tokens_NT.shape[1]))

    @torch.inference_mode()
    def step_all(self, tokens_NT: Tensor, counts: Sequence[int], state: DecodingState, first: int = 0) -> Tensor:
        """Read new tokens as `step` does; return logits_NTV after each of them. Ignore those after padding."""
        return self.read(self.advance(tokens_NT, counts, state, first)).view(*tokens_NT.shape, -1)

    @torch.inference_mode()
    def hidden(self, tokens_NT: Tensor, counts: Sequence[int]) -> Tensor:
        """Read whole texts, `counts` tokens of each row; return x_NTD after the last norm. Those after padding mean nothing."""
        state = self.new_state()
        state.add(len(counts))
        return self.normed(self.advance(tokens_NT, counts, state, 0)).view(*tokens_NT.shape, -1)

    def _table(self, owner: nn.Module) -> Tensor:
        """Return the vector of each token: inputs that follow from the tokens become one table."""
        only, *others = inputs_of(owner)
        if isinstance(only, TokenEmbedding) and not others:
            return only.weight.detach().float()
        return embed_inputs(owner, {"tokens": torch.arange(self.vocab_size, device=self.device)[None]})[0].float()

    def last(self, x_MD: Tensor, counts: Sequence[int], time: int) -> Tensor:
        """Return x_ND of the last token of each row."""
        if time == 1:
            return x_MD
        return x_MD[torch.tensor([row * time + count - 1 for row, count in enumerate(counts)], device=x_MD.device)]
