"""Read single tokens of a decoder by one compiled call, in place of some forty small operations a layer.

`program.py`, compiled for this machine.

Compiled code is kept in the user's cache folder, by the program's text and numba's version, with the checksum of each file: damaged code is
compiled again. One process compiles, others wait for it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np
import torch
from platformdirs import user_cache_path
from torch import Tensor

from data.shards.durable import exclusive
from model.layers.config import BlockConfig
from model.layers.decoding.block import DecodingBlock, DecodingFeedForward, Rotation
from model.layers.decoding.projection import Affine, Projection
from model.layers.decoding.state import SlotState

PROGRAM = Path(__file__).with_name("program.py")
SUMS = "sums.json"


@cache
def program() -> ModuleType:
    """Return the program with its `step` compiled. Where the cache folder can't be written, it is compiled for this process alone."""
    text = PROGRAM.read_text(encoding="utf-8")
    digest = hashlib.sha256(f"{numba.__version__} {sys.version}\n{text}".encode()).hexdigest()[:32]
    try:
        folder = user_cache_path("folio") / "compiled" / digest
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder.with_suffix(".lock")):
            return load(text, folder)
    except OSError:
        with tempfile.TemporaryDirectory(prefix="folio-compiled-") as alone:
            return load(text, Path(alone))


def load(text: str, folder: Path) -> ModuleType:
    """Return a program as a module, compiled code taken from the folder if it is there and whole."""
    copy, found = folder / PROGRAM.name, _sums(folder)
    if not copy.exists() or copy.read_bytes() != text.encode() or found != _noted(folder):
        for file in (file for file in folder.rglob("*") if file.is_file()):
            file.unlink()
        copy.write_bytes(text.encode())
        found = {}
    module = ModuleType(f"folio_compiled_{folder.name}")
    # numba looks a compiled function's module up by name.
    sys.modules[module.__name__] = module
    module.__file__ = str(copy)
    exec(compile(text, str(copy), "exec"), module.__dict__)
    if (made := _sums(folder)) != found:
        (folder / SUMS).write_text(json.dumps(made), encoding="utf-8")
    return module


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*.nb*") if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _noted(folder: Path) -> dict[str, str]:
    try:
        noted: dict[str, str] = json.loads((folder / SUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return noted


# Numbers in all matrices up to which one call is faster, measured on two cores: of several rows while a processor's cache holds them.
MOST_ALONE, MOST = 80_000_000, 8_000_000
WORTH_A_THREAD = 10_000_000  # multiplications, below which handing them to another thread costs as much as it saves


def most_rows(config: BlockConfig, blocks: Sequence[DecodingBlock], head: Projection, device: torch.device) -> float:
    """Return how many rows at once the program reads faster than operations do.

    None, unless the network has Llama's form, with or without QK-norm, and plain matrices on a CPU.
    """
    form = (config.attention, config.pattern, config.norm, config.norm_place, config.activation)
    if (
        form != ("grouped", "full", "rms", "pre", "swiglu")
        or config.positions not in ("rope", "none")
        or config.attention_soft_cap
        or config.experts
    ):
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
        made = program()
        self.step, self.tile = made.step, made.TILE
        self.rotation, self.table_VD, self.vocabulary = rotation, table_VD.numpy(), len(table_VD)
        head_VD = head.matrix() if last.gain_D is None else head.matrix() * last.gain_D
        matrices = [_padded(matrix, self.tile) for matrix in (*(each.matrix() for block in blocks for each in _matrices(block)), head_VD)]
        self.room = len(matrices[-1])
        self.begins = np.cumsum([0, *(matrix.numel() for matrix in matrices[:-1])], dtype=np.int64)
        self.weights = torch.cat([matrix.flatten() for matrix in matrices]).numpy()
        self.shape = np.array((config.heads, config.kv_heads, config.head_dim, config.feed_forward), dtype=np.int64)
        self.epsilon = np.float32(config.norm_epsilon)
        nothing_XK = torch.zeros((0, config.head_dim))
        gains = [nothing_XK if block.attention.norm is None else block.attention.norm.gain_XK for block in blocks]  # type: ignore[union-attr]
        self.gain_LXK = torch.stack(gains).contiguous().numpy()
        self.no_turn_PR = np.zeros((config.context, 0), np.float32)

    def __call__(self, token_N: Tensor, state: SlotState, first: int) -> Tensor:
        """Read a token of each of the last N rows, from `first` on; return logits_NV after it."""
        starts = state.lengths[first:]
        rows, end, tokens = len(starts), max(starts) + 1, np.ascontiguousarray(token_N.numpy())
        if tokens.min() < 0 or tokens.max() >= self.vocabulary:
            raise IndexError(f"tokens {tokens.min()} to {tokens.max()}: this model has tokens 0 to {self.vocabulary - 1}")
        state.reserve(end)
        logits_NV = torch.empty((_whole(rows, self.tile), self.room))
        turn_PR = self.no_turn_PR if self.rotation is None else self.rotation.table(end).numpy()
        slots = np.arange(first, first + rows)
        of_rows = tokens, np.array(starts, dtype=np.int64), slots, logits_NV.numpy()
        shared = (
            self.table_VD,
            self.weights,
            self.begins,
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

        _divide(read, rows, self.tile, rows * len(self.weights))
        for row in range(first, first + rows):
            state.lengths[row] += 1
        return logits_NV[:rows, : self.vocabulary]


def _divide(read: Callable[[int, int], None], rows: int, tile: int, multiplications: int) -> None:
    """Have rows read by as many threads as PyTorch may use and the work is worth, whole tiles each."""
    tiles = _whole(rows, tile) // tile
    threads = max(1, min(torch.get_num_threads(), tiles, multiplications // WORTH_A_THREAD))
    bounds = [tile * (tiles * part // threads) for part in range(threads + 1)]
    others = [_pool(threads - 1).submit(read, *pair) for pair in pairwise(bounds[1:])]
    read(bounds[0], bounds[1])
    for other in others:
        other.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "compiled-step")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has none of the threads


def _matrices(block: DecodingBlock) -> list[Any]:
    feed_forward = block.feed_forward
    assert isinstance(feed_forward, DecodingFeedForward), "experts are read by operations"
    return [block.attention.project, block.attention.output, feed_forward.project, feed_forward.output]


def _padded(matrix_OI: Tensor, tile: int) -> Tensor:
    return torch.cat((matrix_OI, matrix_OI.new_zeros((-len(matrix_OI) % tile, matrix_OI.shape[1]))))


def _whole(count: int, tile: int) -> int:
    return -(-count // tile) * tile
