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
