"""Tokens as vectors: a learned one for each token of the vocabulary."""

from __future__ import annotations

from torch import Tensor, nn

from model.inputs.protocol import Columns, Input


class TokenEmbedding(nn.Embedding, Input):
    """The column `tokens`, int64 [B, T]."""

    def embed(self, columns: Columns) -> Tensor:
        x_BTD: Tensor = self(columns["tokens"])
        return x_BTD
