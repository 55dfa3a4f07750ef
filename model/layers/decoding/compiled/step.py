"""A decoder whose single tokens are read by one compiled call: in place of some forty small operations a layer, none."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.layers.config import BlockConfig
from model.layers.decoding.block import DecodingBlock
from model.layers.decoding.projection import Affine, Projection
from model.layers.decoding.rotation import Rotation
from model.layers.decoding.state import SlotState

TILE = 4  # rows and outputs that the program multiplies together
# Numbers in all matrices up to which one call is faster, measured on two cores: of several rows while a processor's cache holds them.
MOST_ALONE, MOST = 80_000_000, 8_000_000
WORTH_A_THREAD = 10_000_000  # multiplications, below which handing them to another thread costs as much as it saves


def most_rows(config: BlockConfig, blocks: Sequence[DecodingBlock], head: Projection, device: torch.device) -> float:
    """Return how many rows at once the program reads faster than operations do.

    None, unless the network has Llama's form, with or without QK-norm, and plain matrices on a CPU.
    """
    form = (config.attention, config.pattern, config.norm, config.norm_place, config.activation)
    if form != ("grouped", "full", "rms", "pre", "swiglu") or config.positions not in ("rope", "none") or config.attention_soft_cap:
        return 0
    matrices = [matrix for block in blocks for matrix in _matrices(block)] + [head]
    if device.type != "cpu" or not all(isinstance(matrix, Projection) and matrix.bias_O is None for matrix in matrices):
        return 0
    numbers = sum(matrix.size for matrix in matrices)
    return math.inf if numbers <= MOST else int(numbers <= MOST_ALONE)


class CompiledStep:
    """Reads a token of each row. Memory: a second copy of all matrices."""

    def __init__(
        self,
        config: BlockConfig,
        blocks: Sequence[DecodingBlock],
        table_VD: Tensor,
        last: Affine,
        head: Projection,
        rotation: Rotation | None,
    ) -> None:
        """Copy what the blocks compute with. `last`: what the last norm does to each channel."""
        from model.layers.decoding.compiled.built import compiled_step  # with numba, which only writing needs

        self.context, self.rotation, self.table_VD, self.vocabulary = config.context, rotation, table_VD.numpy(), len(table_VD)
        head_VD = head.matrix()
        layers = [[_padded(matrix.matrix()) for matrix in _matrices(block)] for block in blocks]
        layers.append([_padded(head_VD if last.gain_D is None else head_VD * last.gain_D)])
        self.size = sum(matrix.numel() for matrices in layers for matrix in matrices)
        self.room = len(layers[-1][0])
        sizes = [[matrix.numel() for matrix in matrices] + [0] * (4 - len(matrices)) for matrices in layers]
        ends = np.cumsum(np.array(sizes, dtype=np.int64))
        self.layout_LM = (ends - np.array(sizes, dtype=np.int64).ravel()).reshape(-1, 4)
        self.weights = torch.cat([matrix.flatten() for matrices in layers for matrix in matrices]).numpy()
        self.shape = np.array((config.heads, config.kv_heads, config.head_dim, config.feed_forward), dtype=np.int64)
        self.epsilon = np.float32(config.norm_epsilon)
        nothing_XK = torch.zeros((0, config.head_dim))
        gains = [nothing_XK if block.attention.norm is None else block.attention.norm.gain_XK for block in blocks]  # type: ignore[union-attr]
        self.gain_LXK = torch.stack(gains).contiguous().numpy()
        self.no_turn_PR = np.zeros((config.context, 0), np.float32)
        self.step = compiled_step()

    def __call__(self, token_N: Tensor, state: SlotState, first: int) -> Tensor:
        """Read a token of each of the last N rows, from `first` on; return logits_NV after it."""
        starts = state.lengths[first:]
        rows, end, tokens = len(starts), max(starts) + 1, np.ascontiguousarray(token_N.numpy())
        if tokens.min() < 0 or tokens.max() >= self.vocabulary:
            raise IndexError(f"tokens {tokens.min()} to {tokens.max()}: this model has tokens 0 to {self.vocabulary - 1}")
        state.reserve(end)
        logits_NV = torch.empty((_whole(rows), self.room))
        turn_PR = self.no_turn_PR if self.rotation is None else self.rotation.table(end).numpy()
        slots = np.arange(first, first + rows)
        of_rows = tokens, np.array(starts, dtype=np.int64), slots, logits_NV.numpy()
        shared = (
            self.table_VD,
            self.weights,
            self.layout_LM,
            self.shape,
            self.epsilon,
            self.gain_LXK,
            turn_PR,
            state.before,
            state.block.numpy(),
        )

        def read(from_: int, to: int) -> None:
            tokens, places, own_slots, logits = (values[from_:to] for values in of_rows)
            self.step(tokens, places, own_slots, *shared, logits)

        _divide(read, rows, rows * self.size)
        for row in range(first, first + rows):
            state.lengths[row] += 1
        return logits_NV[:rows, : self.vocabulary]


def _divide(read: Callable[[int, int], None], rows: int, multiplications: int) -> None:
    """Have rows read by as many threads as PyTorch may use and the work is worth, whole tiles each."""
    tiles = _whole(rows) // TILE
    threads = max(1, min(torch.get_num_threads(), tiles, multiplications // WORTH_A_THREAD))
    if threads == 1:
        read(0, rows)
        return
    bounds = [min(rows, TILE * (tiles * part // threads)) for part in range(threads)] + [_whole(rows)]
    others = [_pool(threads - 1).submit(read, *pair) for pair in pairwise(bounds[1:])]
    read(bounds[0], bounds[1])
    for other in others:
        other.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "compiled-step")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has none of the threads


def _matrices(block: DecodingBlock) -> list[Any]:
    return [block.attention.project, block.attention.output, block.feed_forward.project, block.feed_forward.output]


def _padded(matrix_OI: Tensor) -> Tensor:
    return torch.cat((matrix_OI, matrix_OI.new_zeros((_whole(len(matrix_OI)) - len(matrix_OI), matrix_OI.shape[1]))))


def _whole(count: int) -> int:
    return -(-count // TILE) * TILE
