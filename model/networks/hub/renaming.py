"""Tensors under other names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def renamed(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the tensors with the first part of their names that `names` has replaced."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        old = next((part for part in names if part in name), "")
        found[name.replace(old, names[old]) if old else name] = tensor
    return found


def block_names(layers: int, ours: str, theirs: str, parts: Mapping[str, str]) -> dict[str, str]:
    """Return the class's names of the `parts` of each block, whose own names begin with `ours` or `theirs` and the block's number."""
    numbered = [(f"{ours}{layer}.", f"{theirs}{layer}.") for layer in range(layers)]
    return {mine + part: its + other for mine, its in numbered for part, other in parts.items()}
