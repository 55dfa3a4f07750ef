"""Decides which share of the training text each shard sets apart for the tokenizer's sample.

The share is a power of two, at least `sample_bytes` of all text, and less than twice that. So it changes only where the text's size passes
such a multiple of `sample_bytes`, and a book more or less draws its own shard's text again and no other's. A share of 1 means that no text
is set apart: the sample is then at least half of the text, and is drawn from the split itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from data.tokens.config import SHARE, AllotConfig


def allot(sizes: Sequence[Path], output: Path, config: AllotConfig) -> dict[str, float]:
    """Write `share.json` into `output`, which says how often the share halves the text.

    `sizes`: how many bytes of training text each shard has. Return train_bytes, their sum, and share."""
    total = training_bytes(sizes)
    number = halvings(total, config.sample_bytes)
    output.mkdir(parents=True, exist_ok=True)
    (output / SHARE).write_text(json.dumps({"halvings": number}), encoding="utf-8")
    return {"train_bytes": float(total), "share": 0.5**number}


def training_bytes(sizes: Sequence[Path]) -> int:
    """Return the bytes of training text in all shards, from the files that splitting wrote beside it."""
    return sum(int(json.loads(path.read_text(encoding="utf-8"))["bytes"]) for path in sizes)


def halvings(total: int, sample_bytes: int) -> int:
    """Return how often a text of `total` bytes can be halved and still has `sample_bytes`."""
    return max(0, (total // sample_bytes).bit_length() - 1)


def read_halvings(share: Path) -> int:
    """Return what `allot` wrote."""
    return int(json.loads(share.read_text(encoding="utf-8"))["halvings"])
