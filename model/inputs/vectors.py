"""A column of float vectors, projected to the network's width and learned from end to end.

If the column follows from the tokens (`from_tokens`), the module keeps the table of every token's vector: it is taken from the training
shards once, saved with the weights, not learned, and replaces the column where rows lack it, as in generation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from data.shards.schema import ShardError
from model.inputs.protocol import Columns, Input, InputError

if TYPE_CHECKING:
    from data.shards.reader import ShardReader
    from model.inputs.vectors_config import VectorsConfig


class VectorProjection(nn.Linear, Input):
    """The column `config.column`, float [B, T, F], times a learned matrix [width, F]."""

    def __init__(self, config: VectorsConfig, vocab_size: int, width: int) -> None:
        super().__init__(config.size, width, bias=False)
        self.column = config.column
        self.table: Tensor | None  # [vocab_size, F]
        # Until it is taken from shards it is not a number, which nothing computed with it hides.
        self.register_buffer("table", torch.full((vocab_size, config.size), torch.nan) if config.from_tokens else None)

    def embed(self, columns: Columns) -> Tensor:
        vectors_BTF = columns.get(self.column)
        if vectors_BTF is None:
            vectors_BTF = self._from_tokens(columns["tokens"])
        x_BTD: Tensor = self(vectors_BTF.to(self.weight.dtype))
        return x_BTD

    def bind(self, shards: ShardReader) -> None:
        """Take the table from the shards, or check that it equals a trained model's."""
        if self.table is None:
            return
        known = not bool(self.table.isnan().any())
        if known and not shards.has_table(self.column):
            return
        given = torch.from_numpy(shards.table(self.column)).to(self.table)
        if given.shape != self.table.shape or (known and not given.equal(self.table)):
            raise ShardError(
                f"{shards.directory} has a table of {self.column!r} of shape {tuple(given.shape)}; the model has another, of shape "
                f"{tuple(self.table.shape)}, so the same tokens would have other vectors; write the rows with the model's settings"
            )
        self.table.copy_(given)

    def _from_tokens(self, tokens_BT: Tensor) -> Tensor:
        if self.table is None:
            raise InputError(
                f"the rows have no column {self.column!r}, and it doesn't follow from their tokens (from_tokens=false), so this model "
                "can't generate, nor read rows without it; give rows with the column, or train with from_tokens=true"
            )
        return self.table[tokens_BT]
