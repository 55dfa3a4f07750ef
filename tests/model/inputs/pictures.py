"""Pictures, and packed rows with pictures among their words."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from data.shards.pictures import PATCHES, PLACES, Picture, cut_patches
from model.inputs.config import PicturesConfig, TokensConfig
from tests.model.jobs import packed_rows

PICTURES = PicturesConfig(height=4, width=6, patch=2)  # 6 patches of 4 numbers
READS = (TokensConfig(), PICTURES)


def drawn(seed: int) -> Picture:
    return Picture("L", 6, 4, random.Random(seed).randbytes(24))


def picture_rows(count: int, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Rows of text with a picture in each first document that has room for it."""
    rows = packed_rows(count, seed=seed)
    patches = np.zeros((*rows["tokens"].shape, 4), np.float16)
    places = np.zeros(rows["tokens"].shape, np.int16)
    for row, document in enumerate(rows["document"]):
        if (document == document[0]).sum() > 9:
            patches[row, 2:8], places[row, 2:8] = cut_patches(drawn(row), PICTURES), np.arange(1, 7)
            rows["tokens"][row, 2:8], rows["loss"][row, 2:8] = 0, False
    assert places.any()
    return {**rows, PATCHES: patches, PLACES: places}
