"""The tokenizer without a flow: the share is decided, shards set chunks apart, it is fitted on them, and shards verify it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.tokens.config import CHUNKS, SHARE, TokenizerConfig
from data.tokens.kinds import fit
from data.tokens.sampling import allot, draw
from data.tokens.tokenizer import join, restore


def fit_shards(train: Sequence[Path], sizes: Sequence[Path], steps: Path, output: Path, config: TokenizerConfig) -> dict[str, float]:
    """Fit a tokenizer on shards of the training split, as the flow does; what comes before it is left in `steps`."""
    fit(train, steps / "fitted", config, sizes, draw_shards(train, sizes, steps, config))
    counted = [steps / f"counted{number}" for number in range(len(train))]
    for path, folder in zip(train, counted, strict=True):
        restore(path, steps / "fitted" / "tokenizer.json", folder, config.restoring)
    return join(steps / "fitted", counted, output, config.describing)


def draw_shards(train: Sequence[Path], sizes: Sequence[Path], folder: Path, config: TokenizerConfig) -> list[Path]:
    """Set chunks of each shard apart in folders below `folder`; return their files."""
    allot(sizes, folder, config.allotting)
    for number, path in enumerate(train):
        draw(path, folder / SHARE, folder / str(number), config.drawing)
    return [folder / str(number) / CHUNKS for number in range(len(train))]
