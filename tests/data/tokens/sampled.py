"""The tokenizer without a flow: the share is decided, each shard sets chunks apart, and the tokenizer is fitted on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.tokens.config import CHUNKS, SHARE, TokenizerConfig
from data.tokens.sampling.draw import draw
from data.tokens.sampling.share import allot
from data.tokens.tokenizer import fit_tokenizer


def fit_shards(train: Sequence[Path], sizes: Sequence[Path], steps: Path, output: Path, config: TokenizerConfig) -> dict[str, float]:
    """Fit a tokenizer on shards of the training split, as the flow does; what comes before it is left in `steps`."""
    return fit_tokenizer(train, output, config, sizes, draw_shards(train, sizes, steps, config))


def draw_shards(train: Sequence[Path], sizes: Sequence[Path], folder: Path, config: TokenizerConfig) -> list[Path]:
    """Set chunks of each shard apart in folders below `folder`; return their files."""
    allot(sizes, folder, config.allotting)
    for number, path in enumerate(train):
        draw(path, folder / SHARE, folder / str(number), config.drawing)
    return [folder / str(number) / CHUNKS for number in range(len(train))]
