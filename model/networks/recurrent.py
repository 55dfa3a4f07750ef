"""A language model of gated recurrent units (Cho et al., 2014), with the equations of `torch.nn.GRU`.

Each layer is x + GRU(norm(x)) on the residual stream, and a norm precedes the output: so
gradients reach every layer, and the same learning rate serves any number of layers.

Guarantee: each document of a packed row is a separate sequence that starts from a state of zeros, so changing one leaves the others'
outputs bit-equal. Cost: about 6 floating point operations a parameter and token to train, 2 to evaluate, in as many steps one after the
other as the longest document has tokens. Generation keeps one vector for each layer and row, regardless of the text's length.

Gated recurrent units as they write: one hidden vector for each layer and row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence
from torch.utils.checkpoint import checkpoint

from model.inputs.inputs import TokenEmbedding, add_inputs, embed_inputs
from model.layers.decoding.projection import split_norm, whole_norm
from model.layers.decoding.state import KeptRow
from model.layers.linear import head_product
from model.layers.mixers.recurrence import DocumentSequences
from model.layers.norms import RMSNorm
from model.networks.config import RecurrentConfig
from model.networks.decoding import DecodingNetwork, DecodingState
from model.networks.network import Inputs, Network, Role, draw_normal


class RecurrentBlock(nn.Module):
    """x_BTD + GRU(norm(x_BTD))."""

    def __init__(self, config: RecurrentConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.dropout = layer, config.dropout
        # Not rounded under autocast: the recurrence adds up what it is given over all tokens of a document.
        self.input_layernorm = RMSNorm(config.width, config.norm_epsilon, rounded=False)
        self.gru = nn.GRU(config.width, config.width, batch_first=True)

    def forward(self, x_BTD: Tensor, sequences: DocumentSequences | None = None) -> Tensor:
        y_BTD: Tensor = self.input_layernorm(x_BTD)
        if sequences is not None:
            packed, _ = self.gru(PackedSequence(y_BTD.flatten(0, 1)[sequences.order_N], sequences.counts_P))
            y_BTD = packed.data[sequences.place_N].view_as(x_BTD)
        else:
            y_BTD, _ = self.gru(y_BTD)
        return x_BTD + (functional.dropout(y_BTD, self.dropout) if self.dropout and self.training else y_BTD)


class Recurrent(Network):
    """Gated recurrent units over `vocab_size` tokens, initialized from `seed`."""

    embed_tokens: TokenEmbedding

    def __init__(self, config: RecurrentConfig, vocab_size: int, *, seed: int = 0) -> None:
        super().__init__(config, vocab_size)
        self.config: RecurrentConfig = config
        add_inputs(self, config.all_inputs, vocab_size, config.width)
        self.layers = nn.ModuleList(RecurrentBlock(config, layer) for layer in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_epsilon)
        self.lm_head = None if config.tied_embeddings else nn.Linear(config.width, vocab_size, bias=False)
        self._initialize(seed)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return x_BTD after the last norm.

        `tokens` int64 [B, T], and the columns of other inputs (see `model.inputs`). `documents` [B, T]: the document of each token of
        packed rows, a sequence of its own; without it (faster) each row is one document. `positions` are not read: order is that of the
        recurrence.
        """
        documents_BT = inputs.get("documents")
        x_BTD = embed_inputs(self, inputs)
        if self.config.dropout and self.training:
            x_BTD = functional.dropout(x_BTD, self.config.dropout)
        sequences = None if documents_BT is None else DocumentSequences.of(documents_BT)
        for block in self.layers:
            if self.recompute and self.training:
                x_BTD = checkpoint(block, x_BTD, sequences, use_reentrant=False)
            else:
                x_BTD = block(x_BTD, sequences)
        out_BTD: Tensor = self.norm(x_BTD)
        return out_BTD

    def read(self, x_ND: Tensor) -> Tensor:
        (weight_VD,) = self.read_weights()
        return head_product(x_ND, weight_VD)

    def read_weights(self) -> tuple[Tensor, ...]:
        return ((self.embed_tokens if self.lm_head is None else self.lm_head).weight,)

    def blocks(self) -> nn.ModuleList:
        return self.layers

    def decoding(self) -> DecodingNetwork:
        return DecodingRecurrent(self)

    def roles(self) -> dict[str, Role]:
        """The three gates' weights, stacked as torch has them, are one matrix for the input and one for the state."""
        inside = {id(parameter) for parameter in self.layers.parameters() if parameter.dim() == 2}
        return super().roles() | {name: "matrix" for name, parameter in self.named_parameters() if id(parameter) in inside}

    def tied_names(self) -> tuple[str, ...]:
        return ("lm_head.weight",) if self.lm_head is None else ()

    def _initialize(self, seed: int) -> None:
        """Draw normal weights, in the layers with the spread of torch's uniform ones, 1 / sqrt(3 width); set gains to 1, biases to 0."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                nn.init.constant_(parameter, 0.0 if "bias" in name else 1.0)
            else:
                std = 1 / math.sqrt(3 * self.config.width) if name.startswith("layers.") else self.config.initial_std
                draw_normal(parameter, std, seed, name)


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
        x_NTD = self.embed(tokens_NT)
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
