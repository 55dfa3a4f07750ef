"""The interface of token mixers: one function reads whole packed rows, and new tokens onto what was kept of earlier ones.

Training, evaluation and generation call the same code, so a text read at once, in parts or token by token gives the same to rounding.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from model.layers.positions import positions_in_documents

State = tuple[Tensor, ...]  # of N rows, each [N, ...]: what a mixer keeps of the tokens before
Draw = Callable[[nn.Parameter, float, str], None]  # draws normal weights of a standard deviation, apart for each name


@dataclass(frozen=True)
class Places:
    """Where the tokens of some rows stand. Not a tuple, since ZeRO unpacks a block's tuples.

    documents_BT: the document of each token of packed rows; None: each row is one. counts_B: how many of a row's tokens count, 1 or more,
    the others being padding behind them; None: all. state: what was kept of the rows' earlier tokens, which belong to the same document;
    None: there are none. State and packed documents exclude each other.
    """

    documents_BT: Tensor | None = None
    counts_B: Tensor | None = None
    state: State | None = None

    @cached_property
    def positions_BT(self) -> Tensor | None:
        """Each token's position in its own document, int64; None where each row is one document."""
        return None if self.documents_BT is None else positions_in_documents(self.documents_BT)

    def segments(self, like_BTD: Tensor) -> Tensor:
        """Return the ordinal of each token's document in its row, int64 [B, T]."""
        if self.positions_BT is None:
            return torch.zeros(like_BTD.shape[:2], dtype=torch.int64, device=like_BTD.device)
        return (self.positions_BT == 0).cumsum(dim=1)

    def inside(self, like_BTD: Tensor) -> Tensor | None:
        """Return which tokens are no padding, bool [B, T]; None: all."""
        if self.counts_B is None:
            return None
        return torch.arange(like_BTD.shape[1], device=like_BTD.device) < self.counts_B[:, None]


class Mixer(nn.Module, ABC):
    """x_BTD -> y_BTD: each token's output depends on itself and on earlier tokens of its document."""

    ROUNDED = True  # whether autocast may round what it reads

    @abstractmethod
    def forward(self, x_BTD: Tensor, places: Places) -> tuple[Tensor, State]:
        """Return y_BTD and the state after the last token of each row that counts."""

    @abstractmethod
    def empty(self, rows: int, device: torch.device) -> State:
        """Return the state of rows without tokens."""

    @abstractmethod
    def draw_weights(self, draw: Draw, name: str) -> None:
        """Set those initial weights that are no plain matrix's. `name`: the module's own, the beginning of its parameters' names."""


@torch.no_grad()
def draw_decays(draw: Draw, log_rate_H: nn.Parameter, step_bias_H: nn.Parameter, name: str) -> None:
    """Set how fast heads forget, as Mamba-2 does: rates uniform in 1 to 16, steps log-uniform in 0.001 to 0.1 where tokens ask for 0."""
    for parameter, part in ((log_rate_H, "A_log"), (step_bias_H, "dt_bias")):
        draw(parameter, 1.0, f"{name}.{part}")
        parameter.copy_(torch.special.ndtr(parameter))
    log_rate_H.copy_((1 + 15 * log_rate_H).log())
    step_H = (math.log(0.001) + step_bias_H * (math.log(0.1) - math.log(0.001))).exp()
    step_bias_H.copy_(step_H + (-torch.expm1(-step_H)).log())  # softplus of it is the step


@dataclass(frozen=True)
class Chunks:
    """The tokens of rows in chunks of Q, C of them: who sees whom inside a chunk, and whom the state that enters it belongs to.

    Sums over the past are masked products, so that those of one document hold no number of another, not even one that cancels out.

    same_BCQS: whether token Q sees token S of its chunk. carried_BCQ: whether it is of the document that enters the chunk.
    leaving_BCQ: whether it is of the document that leaves it. passes_BC: whether one document both enters and leaves.
    """

    same_BCQS: Tensor
    carried_BCQ: Tensor
    leaving_BCQ: Tensor
    passes_BC: Tensor

    @classmethod
    def of(cls, segment_BT: Tensor, chunk: int) -> Chunks:
        """Divide rows whose length is a multiple of `chunk`."""
        segment_BCQ = segment_BT.view(len(segment_BT), -1, chunk)
        last_BC = segment_BCQ[:, :, -1]
        entering_BC = torch.cat((segment_BCQ[:, :1, 0], last_BC[:, :-1]), dim=1)
        earlier_QS = torch.ones(chunk, chunk, dtype=torch.bool, device=segment_BT.device).tril()
        same_BCQS = (segment_BCQ[..., :, None] == segment_BCQ[..., None, :]) & earlier_QS
        carried_BCQ, leaving_BCQ = segment_BCQ == entering_BC[..., None], segment_BCQ == last_BC[..., None]
        return cls(same_BCQS, carried_BCQ, leaving_BCQ, entering_BC == last_BC)

    def decays(self, log_decay_BCHQ: Tensor) -> Decays:
        """Return the products of each token's decays, given their logarithms, 0 or less."""
        same_BC1QS = self.same_BCQS[:, :, None]
        sum_BCHQ = (same_BC1QS.to(log_decay_BCHQ.dtype) @ log_decay_BCHQ[..., None]).squeeze(-1)
        between_BCHQS = (sum_BCHQ[..., :, None] - sum_BCHQ[..., None, :]).masked_fill(~same_BC1QS, float("-inf")).exp()
        since_BCHQ = torch.where(self.carried_BCQ[:, :, None], sum_BCHQ.exp(), 0.0)
        whole_BCH = torch.where(self.passes_BC[:, :, None], sum_BCHQ[..., -1].exp(), 0.0)
        return Decays(between_BCHQS, since_BCHQ, between_BCHQS[..., -1, :], whole_BCH)


@dataclass(frozen=True)
class Decays:
    """The decay of the state; 0 for another document's.

    between_BCHQS: at token Q of what S wrote. since_BCHQ: at token Q of the state that entered the chunk. until_BCHQ: at the chunk's end of
    what token Q wrote. whole_BCH: at its end of the state that entered.
    """

    between_BCHQS: Tensor
    since_BCHQ: Tensor
    until_BCHQ: Tensor
    whole_BCH: Tensor


def in_chunks(x_BTX: Tensor, chunk: int) -> Tensor:
    """Return x_BCQX, with zeros behind its tokens where the last chunk is not full."""
    missing = -x_BTX.shape[1] % chunk
    if missing:
        x_BTX = torch.cat((x_BTX, x_BTX.new_zeros(len(x_BTX), missing, *x_BTX.shape[2:])), dim=1)
    return x_BTX.reshape(len(x_BTX), -1, chunk, *x_BTX.shape[2:])


def segments_in_chunks(segment_BT: Tensor, chunk: int) -> Tensor:
    """Return segment_BT with its last one repeated up to the end of its last chunk."""
    return torch.cat((segment_BT, segment_BT[:, -1:].expand(-1, -segment_BT.shape[1] % chunk)), dim=1)
