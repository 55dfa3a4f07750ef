"""Gated recurrent units as they write: one hidden vector for each layer and row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from model.layers.decoding.kept import KeptRow
from model.layers.decoding.norms import split_norm, whole_norm
from model.networks.decoding import DecodingNetwork, DecodingState

if TYPE_CHECKING:
    from model.networks.recurrent import Recurrent, RecurrentBlock


class RecurrentState:
    """The last hidden vector of each layer and row."""

    cuts = False

    def __init__(self, layers: int, width: int, device: torch.device) -> None:
        self.lengths: list[int] = []
        self.hidden_LND = torch.zeros((layers, 0, width), device=device)

    @torch.inference_mode()
    def add(self, rows: int) -> None:
        """Append empty rows."""
        self.lengths += [0] * rows
        layers, _, width = self.hidden_LND.shape
        self.hidden_LND = torch.cat((self.hidden_LND, self.hidden_LND.new_zeros(layers, rows, width)), dim=1)

    @torch.inference_mode()
    def remove(self, row: int) -> None:
        """Remove a row; the last row takes its place."""
        self.lengths[row] = self.lengths[-1]
        del self.lengths[-1]
        self.hidden_LND[:, row] = self.hidden_LND[:, -1]
        self.hidden_LND = self.hidden_LND[:, :-1]

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Replace the rows by copies of these, in this order."""
        self.lengths = [self.lengths[row] for row in rows]
        self.hidden_LND = self.hidden_LND[:, torch.tensor(rows, device=self.hidden_LND.device)]

    def cut(self, row: int, length: int) -> None:
        """Refuse: a hidden vector holds all tokens at once."""
        raise ValueError(f"a recurrent state of {self.lengths[row]} tokens can't be cut to {length}: it holds all of them at once")

    @torch.inference_mode()
    def keep(self, row: int) -> KeptRow:
        """Return a copy of a row."""
        return KeptRow(self.lengths[row], (self.hidden_LND[:, row].clone(),))

    @torch.inference_mode()
    def restore(self, kept: KeptRow, length: int) -> None:
        """Append a kept row with all of its tokens."""
        if length != kept.length:
            raise ValueError(f"a recurrent state of {kept.length} tokens can't be cut to {length}: it holds all of them at once")
        self.lengths.append(length)
        self.hidden_LND = torch.cat((self.hidden_LND, kept.tensors[0][:, None]), dim=1)


class _Layer:
    """One layer; the gain of its norm is folded into the matrix that reads it."""

    def __init__(self, block: RecurrentBlock) -> None:
        self.scale, after = split_norm(block.input_layernorm)
        weight_GD, self.state_GD, self.bias_G, self.state_bias_G = (weight.detach().float() for weight in block.gru.parameters())
        self.weight_GD = weight_GD if after.gain_D is None else weight_GD * after.gain_D
        self.parameters = [self.weight_GD, self.state_GD, self.bias_G, self.state_bias_G]

    def one(self, x_ND: Tensor, hidden_ND: Tensor) -> Tensor:
        """Return the next hidden vectors."""
        return torch.gru_cell(self.scale(x_ND), hidden_ND, self.weight_GD, self.state_GD, self.bias_G, self.state_bias_G)

    def all(self, x_NTD: Tensor, hidden_ND: Tensor) -> Tensor:
        """Return the hidden vectors after each token."""
        out_NTD, _ = torch.gru(self.scale(x_NTD), hidden_ND[None].contiguous(), self.parameters, True, 1, 0.0, False, False, True)
        return out_NTD


class DecodingRecurrent(DecodingNetwork):
    """See `DecodingNetwork`."""

    @torch.no_grad()
    def __init__(self, network: Recurrent) -> None:
        super().__init__(network, network)
        self.layers = [_Layer(block) for block in network.layers]  # type: ignore[arg-type]
        self.norm = whole_norm(network.norm)

    def new_state(self) -> RecurrentState:
        return RecurrentState(len(self.layers), self.table_VD.shape[1], self.device)

    def advance(self, tokens_NT: Tensor, counts: Sequence[int], state: DecodingState, first: int) -> Tensor:
        assert isinstance(state, RecurrentState)
        time = tokens_NT.shape[1]
        x_NTD = functional.embedding(tokens_NT, self.table_VD)
        last_N11 = torch.tensor(counts, device=self.device)[:, None, None] - 1 if time > 1 else None
        for layer, hidden_ND in zip(self.layers, state.hidden_LND, strict=True):
            before_ND = hidden_ND[first:]
            if last_N11 is None:
                after_NTD = layer.one(x_NTD[:, 0], before_ND)[:, None]
                hidden_ND[first:] = after_NTD[:, 0]
            else:
                after_NTD = layer.all(x_NTD, before_ND)
                hidden_ND[first:] = after_NTD.gather(1, last_N11.expand(-1, 1, after_NTD.shape[2]))[:, 0]
            x_NTD = x_NTD + after_NTD
        for row, count in enumerate(counts, start=first):
            state.lengths[row] += count
        return x_NTD.flatten(0, 1)

    def normed(self, x_ND: Tensor) -> Tensor:
        return self.norm(x_ND)

    def read(self, x_ND: Tensor) -> Tensor:
        return self.head(self.norm(x_ND))
