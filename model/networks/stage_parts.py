"""The parts of a network that a pipeline computes one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class StageParts:
    """What comes before, between and after a network's blocks, and the modules that own its weights.

    table: of the tokens' vectors, for `embed`, which returns the first block's input x_BTD.
    run: x_BTD through some consecutive blocks, given the columns that all stages are sent.
    norm: x_BTD after the last block. head: owns the output matrix; None: logits are read with the table.
    """

    table: nn.Embedding
    embed: Callable[[Mapping[str, Tensor]], Tensor]
    run: Callable[[Iterable[nn.Module], Tensor, Mapping[str, Tensor]], Tensor]
    norm: nn.Module
    head: nn.Module | None
