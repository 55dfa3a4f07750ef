"""The names of splits, as a config lists those that it measures. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def _each_once(splits: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(splits)) != len(splits):
        raise ValueError(f"splits={list(splits)} repeats a name; list each split once")
    return splits


SplitNames = Annotated[tuple[str, ...], AfterValidator(_each_once)]
