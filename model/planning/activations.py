"""Measure on the network itself what a training row keeps in memory for its backward pass.

A forward pass over fake tensors (`model/networks/meta.py`) shows every tensor that autograd saves; each storage counts once, the parameters
not at all. Growth from one row to two is a row's share; the rest, such as rounded copies of weights, does not belong to rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from torch import Tensor, UntypedStorage, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.autograd.graph import saved_tensors_hooks

from model.networks.base import NetworkBase
from model.networks.meta import example_inputs, fake_network
from model.training.precision import autocast

Rounding = Literal["none", "bf16", "fp16"]
OUTSIDE, INPUT = -1, -2  # in place of a block's number: what is outside all blocks (embeddings, the last norm, the head); a block's input


@dataclass(frozen=True)
class RowActivations:
    """Bytes that one row keeps for the backward pass: outside of all blocks, in each block, and of the input of one block."""

    outside: int
    blocks: tuple[int, ...]
    block_input: int

    def kept(self, consecutive: int, *, recompute: bool) -> int:
        """Return the most that so many consecutive blocks keep until their backward pass; `recompute`: each its input alone."""
        if recompute:
            return consecutive * self.block_input
        return max(sum(self.blocks[first : first + consecutive]) for first in range(0, len(self.blocks), consecutive))


@lru_cache(maxsize=256)
def row_activations(config: NetworkBase, vocab_size: int, rounding: Rounding, *, packed: bool) -> RowActivations:
    """Measure a row of `context` tokens under autocast to the type of `rounding`; `packed`: it holds several documents.

    bf16 takes the kernels that a CPU takes; fp16, whose numbers are as large, those of an accelerator.
    """
    shallow = config.shallow
    try:
        one, two = (_saved(shallow, vocab_size, rows, rounding, packed) for rows in (1, 2))
    except (DataDependentOutputException, DynamicOutputShapeException):
        if not packed:
            raise
        # Activations depend on where documents end, so measure a row of a single document.
        return row_activations(config, vocab_size, rounding, packed=False)
    each = {part: two[part] - one[part] for part in two}
    blocks = [each[number] for number in range(shallow.layers)]
    # The second of two blocks represents the others: the first may save what all of them share.
    blocks += blocks[-1:] * (config.layers - shallow.layers)
    return RowActivations(each[OUTSIDE], tuple(blocks), each[INPUT])


def _saved(config: NetworkBase, vocab_size: int, rows: int, rounding: Rounding, packed: bool) -> Counter[int]:
    """Return the bytes that a forward pass saves, by block number, and the bytes of a block's input."""
    sizes, seen, where = Counter[int](), dict[int, UntypedStorage](), OUTSIDE
    with fake_network(config, vocab_size) as network:
        weights = {parameter.untyped_storage()._cdata for parameter in network.train().parameters()}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in weights and storage._cdata not in seen:
                seen[storage._cdata] = storage  # kept alive, so its address is not reused
                sizes[where] += storage.nbytes()
            return tensor

        def enter(number: int) -> Callable[[nn.Module, tuple[Any, ...]], None]:
            def hook(block: nn.Module, inputs: tuple[Any, ...]) -> None:
                nonlocal where
                where, sizes[INPUT] = number, inputs[0].nbytes

            return hook

        def leave(*_: Any) -> None:
            nonlocal where
            where = OUTSIDE

        for number, block in enumerate(network.blocks()):
            block.register_forward_pre_hook(enter(number))
            block.register_forward_hook(leave)
        inputs = example_inputs(config, rows, config.context)
        if packed:
            inputs["documents"] = inputs["tokens"]
        with saved_tensors_hooks(keep, lambda tensor: tensor), autocast("cpu", rounding):
            network.logits(inputs)
    return sizes
