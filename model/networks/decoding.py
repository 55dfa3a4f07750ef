"""The interface that generation needs from every network: its decoding form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import deepcopy
from threading import Lock
from typing import TYPE_CHECKING, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from data.shards.pictures import PATCHES, PLACES, Picture, cut_patches
from model.inputs.inputs import TokenEmbedding, embed_inputs, inputs_of
from model.layers.decoding.projection import Projection
from model.layers.decoding.state import KeptRow

if TYPE_CHECKING:
    from model.networks.network import Network


class DecodingState(Protocol):
    """The cache of decoding, for each row that writes: keys and values, a window of them, or a recurrent state.

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


class PatchVectors:
    """The vectors of a vocabulary and, behind them, those of the patches of pictures that were seen last.

    A picture's tokens are never given to another one, so what is kept of earlier prompts is not mistaken for it. Memory: a vector for each
    of at most MOST patches. Beyond that the pictures seen first are forgotten; prompts with their tokens raise ValueError.
    """

    MOST = 1 << 16

    def __init__(self, table_VD: Tensor) -> None:
        self._vocabulary, self._lock = len(table_VD), Lock()
        self._held = (table_VD, 0)  # the vectors, and how many tokens behind the vocabulary have none any more
        self._tokens: dict[str, list[int]] = {}

    def tokens(self, name: str, vectors: Callable[[], Tensor]) -> list[int]:
        """Return the tokens of the picture called `name`; `vectors`: makes those of its patches, [P, D]."""
        with self._lock:
            if name not in self._tokens:
                (table_XD, forgotten), made_PD = self._held, vectors()
                start = len(table_XD) + forgotten
                self._tokens[name] = list(range(start, start + len(made_PD)))
                kept_XD = torch.cat((table_XD[self._vocabulary :], made_PD))
                while len(kept_XD) > max(self.MOST, len(made_PD)):
                    gone = len(self._tokens.pop(next(iter(self._tokens))))
                    kept_XD, forgotten = kept_XD[gone:], forgotten + gone
                self._held = torch.cat((table_XD[: self._vocabulary], kept_XD)), forgotten
            return self._tokens[name]

    def __call__(self, tokens_NT: Tensor) -> Tensor:
        """Return the vector of each token."""
        table_XD, forgotten = self._held
        if forgotten:
            behind_NT = tokens_NT >= self._vocabulary
            if bool((behind_NT & (tokens_NT < self._vocabulary + forgotten)).any()):
                raise ValueError("the prompt has a picture that was forgotten for newer ones; ask again with the picture")
            tokens_NT = torch.where(behind_NT, tokens_NT - forgotten, tokens_NT)
        return functional.embedding(tokens_NT, table_XD)


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
        # Models that read pictures keep a copy of their inputs, which later training does not change.
        self._inputs = nn.ModuleList(deepcopy(list(inputs_of(owner)))) if self.config.patches else None
        self._seen = PatchVectors(self.table_VD)

    @torch.no_grad()
    def see(self, picture: Picture, padding: int) -> list[int]:
        """Return tokens that stand for the patches of a picture, or a sound, in prompts; the same tokens whenever it is seen again.

        padding: the token that rows have where a patch is. Raise ValueError for a model that reads no such thing.
        """
        reads = self.config.patches
        if reads is None or self._inputs is None:
            raise ValueError("this model reads no pictures and no sounds: its network has no input of kind pictures or sounds")

        def vectors() -> Tensor:
            assert self._inputs is not None
            patches = torch.from_numpy(cut_patches(picture, reads)).float().to(self.device)[None]
            places = torch.arange(1, reads.patches + 1, device=self.device)[None]
            columns = {"tokens": torch.full_like(places, padding), PATCHES: patches, PLACES: places}
            return embed_inputs(self._inputs, columns)[0].float()

        return self._seen.tokens(f"{picture.name} {padding}", vectors)

    def unseen(self) -> tuple[int, ...]:
        """Return the tokens that are likely only by a rest that smoothing leaves to all; none for networks that are trained."""
        return ()

    def embed(self, tokens_NT: Tensor) -> Tensor:
        """Return x_NTD, the vector of each token: of the vocabulary, or of a patch that was seen."""
        return self._seen(tokens_NT)

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
