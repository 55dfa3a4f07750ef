"""Sections that stand for longer ones.

`quantize: {embeddings: false}` stands for `release: {variants: [{kind: int8, embeddings: false}]}`: one variant, INT8 unless it names its
kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

QUANTIZE = "quantize"
TRAINING = ("pretrain", "sft", "dpo")


def expand_shorthands(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's plain data without shorthands. Raise ValueError if it gives a section in both forms."""
    data = {name: _renamed(section) if name in TRAINING else section for name, section in given.items()}
    if QUANTIZE not in data:
        return data
    variant, release = data.pop(QUANTIZE), data.get("release", {})
    if not isinstance(release, Mapping) or "variants" in release:
        raise ValueError("quantize stands for release.variants with one entry, and both are given; keep release.variants")
    data["release"] = {**release, "variants": [{"kind": "int8", **variant} if isinstance(variant, Mapping) else variant]}
    return data


def _renamed(section: Any) -> Any:
    """Return a section of training with its kind called `kind`, if it calls it `objective`."""
    if not isinstance(section, Mapping) or "objective" not in section:
        return section
    return {"kind" if name == "objective" else name: value for name, value in section.items()}


def written_key(location: tuple[Any, ...], data: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the location of an error as the recipe writes it, with a shorthand in place of what it stands for."""
    within_variant = ("release", "variants", 0)
    if QUANTIZE in data and location[:3] == within_variant:
        return (QUANTIZE, *location[4:])  # the part after the index is the variant's kind
    return location
