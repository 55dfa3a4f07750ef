"""Seeds of single draws: what is drawn depends on nothing drawn beside it, so a continued run draws what an uninterrupted one does."""

from __future__ import annotations

import numpy as np


def draw_seed(*numbers: int) -> int:
    """Return the seed of one of many draws, such as (recipe's seed, update, rank); other numbers give other seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def row_generator(seed: int, position: int) -> np.random.Philox:
    """Return what a row at a place in the order of rows draws from. Take raw draws alone: NumPy promises never to change those."""
    return np.random.Philox(key=np.array([seed, position], dtype=np.uint64))  # the key holds exactly the two numbers
