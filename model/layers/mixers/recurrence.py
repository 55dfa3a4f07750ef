"""Recurrences of torch as mixers: Elman's (1990), LSTM (Hochreiter and Schmidhuber, 1997), gated units (Cho et al., 2014).

Tokens are computed one after the other, so training takes as many steps as the longest document has tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from model.layers.mixers.mixer import Draw, Mixer, Places, State
from model.layers.positions import positions_in_documents

if TYPE_CHECKING:
    from model.layers.mixers.config import RecurrenceMixer

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


@dataclass(frozen=True)
class DocumentSequences:
    """The documents of packed rows as torch's packed sequences: first tokens of all documents, longest first, then second tokens, ...

    order_N: the place of each of those tokens among the N of all rows; place_N: its inverse; counts_P: documents that have a token at
    each position, on the CPU. Not a tuple, since ZeRO unpacks a block's tuples.
    """

    order_N: Tensor
    place_N: Tensor
    counts_P: Tensor

    @classmethod
    def of(cls, documents_BT: Tensor) -> DocumentSequences:
        """Return the sequences of packed rows; a document that reaches the end of its row ends there."""
        position_N = positions_in_documents(documents_BT).flatten()
        document_N = (position_N == 0).cumsum(0) - 1
        longest_first = document_N.bincount().argsort(descending=True, stable=True)
        order_N = (position_N * len(longest_first) + longest_first.argsort()[document_N]).argsort()
        return cls(order_N, order_N.argsort(), position_N.bincount().cpu())


class Recurrence(Mixer):
    """out(cell(x)). Its state is one vector, of an LSTM two."""

    ROUNDED = False  # the recurrence adds up what it is given over all tokens of a document

    def __init__(self, config: RecurrenceMixer, width: int) -> None:
        super().__init__()
        self.width, self.states = width, 2 if config.kind == "lstm" else 1
        self.cell = CELLS[config.kind](width, width, batch_first=True)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x_BTD: Tensor, places: Places) -> tuple[Tensor, State]:
        x_BTD = x_BTD.float()
        if places.documents_BT is not None:
            sequences = DocumentSequences.of(places.documents_BT)
            packed, _ = self.cell(PackedSequence(x_BTD.flatten(0, 1)[sequences.order_N], sequences.counts_P))
            return self.o_proj(packed.data[sequences.place_N].view_as(x_BTD)), ()
        hidden = None if places.state is None else tuple(part_BD[None].contiguous() for part_BD in places.state)
        given = hidden if hidden is None or self.states == 2 else hidden[0]
        if places.counts_B is None:
            y_BTD, after = self.cell(x_BTD, given)
        else:
            rows = pack_padded_sequence(x_BTD, places.counts_B.cpu(), batch_first=True, enforce_sorted=False)
            packed, after = self.cell(rows, given)
            y_BTD, _ = pad_packed_sequence(packed, batch_first=True, total_length=x_BTD.shape[1])
        return self.o_proj(y_BTD), tuple(part_1BD[0] for part_1BD in (after if self.states == 2 else (after,)))

    def empty(self, rows: int, device: torch.device) -> State:
        return tuple(torch.zeros(rows, self.width, device=device) for _ in range(self.states))

    @torch.no_grad()
    def draw_weights(self, draw: Draw, name: str) -> None:
        """Matrices as wide as torch's uniform ones, 1 / sqrt(3 width); biases 0."""
        for part, parameter in self.cell.named_parameters():
            if parameter.dim() == 1:
                nn.init.zeros_(parameter)
            else:
                draw(parameter, 1 / math.sqrt(3 * self.width), f"{name}.cell.{part}")
