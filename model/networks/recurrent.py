"""A language model of gated recurrent units (Cho et al., 2014), with the equations of `torch.nn.GRU`.

Each layer is x + GRU(norm(x)) on the residual stream, and a norm precedes the output: so
gradients reach every layer, and the same learning rate serves any number of layers.

Guarantee: each document of a packed row is a separate sequence that starts from a state of zeros, so changing one leaves the others'
outputs bit-equal. Cost: about 6 floating point operations a parameter and token to train, 2 to evaluate, in as many steps one after the
other as the longest document has tokens. Generation keeps one vector for each layer and row, regardless of the text's length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence
from torch.utils.checkpoint import checkpoint

from model.inputs.protocol import add_inputs, embed_inputs
from model.inputs.tokens import TokenEmbedding
from model.layers.head import head_product
from model.layers.norms import RMSNorm
from model.layers.positions.documents import positions_in_documents
from model.networks.decoding import DecodingNetwork
from model.networks.network import Inputs, Network, Role, draw_normal
from model.networks.recurrent_config import RecurrentConfig


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
        from model.networks.recurrent_decoding import DecodingRecurrent

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
