"""The inputs of a network, token ids and float vectors, and the interface between them and the network.

A column of float vectors, projected to the network's width and learned from end to end.
If the column follows from the tokens (`from_tokens`), the module keeps the table of every token's vector: it is taken from the training
shards once, saved with the weights, not learned, and replaces the column where rows lack it, as in generation.

The interface between a network and its inputs.

A network adds up what its inputs make of a batch's columns, whatever their kinds: `add_inputs` when it is built, `embed_inputs` in its
forward pass.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from data.shards.pictures import PATCHES, PLACES
from data.shards.schema import ShardError
from model.inputs.config import InputBase, PicturesConfig

if TYPE_CHECKING:
    from data.shards.reader import ShardReader
    from model.inputs.config import SoundsConfig, VectorsConfig

Columns = Mapping[str, Tensor]  # of a batch, by name: tokens [B, T] int64, vectors [B, T, F] fp32


class InputError(ValueError):
    """A batch lacks a column that the network reads and can't make from the tokens."""


class Input(nn.Module, ABC):
    """A module that turns a column into vectors. `embed` calls the module itself, where ZeRO 3 gathers its weights."""

    @abstractmethod
    def embed(self, columns: Columns) -> Tensor:
        """Return x_BTD, a vector for each position; raise InputError if the column can't be had."""

    def bind(self, shards: ShardReader) -> None:  # most inputs follow from nothing
        """Take from training rows what this column follows from in other rows, if it follows from anything.

        Raise ShardError if the shards don't have it, or have another than was taken before.
        """


def add_inputs(owner: nn.Module, inputs: Sequence[InputBase], vocab_size: int, width: int) -> None:
    """Build the inputs as modules of `owner`, each under its config's name."""
    for config in inputs:
        owner.add_module(config.module, config.build(vocab_size, width))


def embed_inputs(owner: nn.Module, columns: Columns) -> Tensor:
    """Return x_BTD, the sum of the vectors that the inputs of `owner` make of a batch's columns."""
    first, *others = (module for module in owner.children() if isinstance(module, Input))
    x_BTD = first.embed(columns)
    for module in others:
        x_BTD = x_BTD + module.embed(columns)
    return x_BTD


def inputs_of(network: nn.Module) -> Iterator[Input]:
    """Yield a network's inputs."""
    return (module for module in network.modules() if isinstance(module, Input))


# Of rows of text: what objectives themselves hand on or keep.
OWN = frozenset({"tokens", "document", "loss", "position", "dropped", "continues"})


def input_columns(rows: Mapping[str, Any], own: Collection[str] = OWN) -> dict[str, Any]:
    """Return the columns beside those of `own` that have a value or a vector for each token, up to the last token.

    `rows`: arrays or tensors [B, T + 1, ...], with `tokens` among them. The last token of a row is a target only: nothing is read there.
    """
    positions = tuple(rows["tokens"].shape[:2])
    return {name: values[:, :-1] for name, values in rows.items() if name not in own and tuple(values.shape[:2]) == positions}


class TokenEmbedding(nn.Embedding, Input):
    """The column `tokens`, int64 [B, T]."""

    def embed(self, columns: Columns) -> Tensor:
        x_BTD: Tensor = self(columns["tokens"])
        return x_BTD


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


class PatchProjection(nn.Linear, Input):
    """The column `patches`, float [B, T, F], times a learned matrix [width, F], plus a vector of each patch's place; 0 where no patch is.

    Rows without the column are words alone.
    """

    def __init__(self, config: PicturesConfig | SoundsConfig, width: int) -> None:
        super().__init__(config.patch_size, width, bias=False)
        if config.places == "sinusoidal" and width % 4:
            raise ValueError(f"places=sinusoidal with width={width}: sine and cosine of row and column need a multiple of 4 channels")
        self.config = config
        self.places = nn.Parameter(torch.empty(config.patches, width)) if config.places == "learned" else None

    def embed(self, columns: Columns) -> Tensor:
        tokens_BT = columns["tokens"]
        patches_BTF, places_BT = columns.get(PATCHES), columns.get(PLACES)
        if patches_BTF is None:
            patches_BTF = self.weight.new_zeros((*tokens_BT.shape, self.config.patch_size))
        x_BTD: Tensor = self(patches_BTF, torch.zeros_like(tokens_BT) if places_BT is None else places_BT)
        return x_BTD

    def forward(self, patches_BTF: Tensor, places_BT: Tensor) -> Tensor:  # type: ignore[override]  # it has a column more than its base
        """Return x_BTD. places_BT: the place of each patch, from 1; 0: no patch."""
        x_BTD = super().forward(patches_BTF.to(self.weight.dtype))
        table_PD = self._waves(x_BTD) if self.config.places == "sinusoidal" else self.places
        if table_PD is None:
            return x_BTD
        return x_BTD + torch.where((places_BT > 0)[..., None], table_PD[(places_BT - 1).clamp(min=0)], 0.0)

    def _waves(self, like: Tensor) -> Tensor:
        """Return the vector of each place, [places, width]: sines and cosines of the row, then of the column, of length 1."""
        assert isinstance(self.config, PicturesConfig), "sounds have learned places alone"
        quarter = like.shape[-1] // 4
        frequency_Q = 10_000.0 ** -(torch.arange(quarter, device=like.device).float() / quarter)
        place_P = torch.arange(self.config.patches, device=like.device)
        angles = [(axis_P[:, None] * frequency_Q) for axis_P in (place_P // self.config.across, place_P % self.config.across)]
        waves_PD = torch.cat([wave for angle_PQ in angles for wave in (angle_PQ.sin(), angle_PQ.cos())], dim=1)
        return (waves_PD / math.sqrt(2 * quarter)).to(like.dtype)
