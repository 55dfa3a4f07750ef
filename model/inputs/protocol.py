"""The interface between a network and its inputs.

A network adds up what its inputs make of a batch's columns, whatever their kinds: `add_inputs` when it is built, `embed_inputs` in its
forward pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from model.inputs.base import InputBase

if TYPE_CHECKING:
    from data.shards.reader import ShardReader

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
