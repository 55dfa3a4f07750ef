"""The names that packing and measuring share: splits, and the depths of recall. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

SPLITS = ("train", "val", "test")
# Passages among which the right one is looked for. Models and baselines are compared by recall_at_<depth>, so both read these.
DEPTHS = (1, 5, 10)


def _each_once(splits: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(splits)) != len(splits):
        raise ValueError(f"splits={list(splits)} repeats a name; list each split once")
    return splits


SplitNames = Annotated[tuple[str, ...], AfterValidator(_each_once)]
