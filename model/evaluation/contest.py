"""Champion and challenger: which of two models predicts the same text better, and whether chance could have done it.

Both were measured row by row on the same rows, so the row differences are resampled (paired bootstrap): what makes a row hard
is the same for both. Pure arithmetic over what evaluation wrote, no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from model.evaluation.intervals import paired_difference, read_units
from model.evaluation.relations import Unpaired, gain

MEASURES = ("bits_per_byte", "masked_accuracy")  # by what a network can do


class Contest(NamedTuple):
    """Whether the challenger is better beyond noise, and the figures in words."""

    better: bool
    words: str


def contest(challenger: Path, champion: Path, split: str, *, confidence: float = 0.95) -> Contest:
    """Compare two evaluations, folders with units.npz, by how well each model predicts a split.

    Without rows in common, or on rows of different text, the challenger is not known to be better.
    """
    ours, theirs = read_units(challenger), read_units(champion)
    metric = next((name for name in (f"{split}.{measure}" for measure in MEASURES) if name in ours and name in theirs), "")
    if not metric:
        return Contest(False, f"the two were not both measured on {split}")
    try:
        pair = paired_difference(ours[metric], theirs[metric], confidence=confidence)
    except Unpaired as error:
        return Contest(False, str(error))
    worst, best = sorted((gain(metric, pair.low), gain(metric, pair.high)))
    figures = f"{gain(metric, pair.value):+.4g} in {metric}, between {worst:+.4g} and {best:+.4g} at {confidence:.0%}"
    return Contest(worst > 0, f"better by {figures}" if worst > 0 else f"not certainly better: {figures}")
