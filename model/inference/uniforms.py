"""The random numbers of sampling: each a function of a text's seed and of the token's place in its reply, of nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

WORD = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15  # the golden ratio's fraction, as in SplitMix64 (Steele et al., 2014)


def uniforms(seeds: Sequence[int], places: Sequence[int]) -> Tensor:
    """Return a number in [0, 1) for each seed and place, float64 [N]. Seeds count by their lowest 64 bits."""
    seed_N = _mixed(np.array([seed & WORD for seed in seeds], dtype=np.uint64))
    place_N = np.array(places, dtype=np.uint64) + np.uint64(1)
    return torch.from_numpy((_mixed(seed_N + place_N * np.uint64(STEP)) >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _mixed(word_N: np.ndarray) -> np.ndarray:
    """Return SplitMix64's output function of each word."""
    word_N = (word_N ^ (word_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word_N = (word_N ^ (word_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = word_N ^ (word_N >> np.uint64(31))
    return mixed
