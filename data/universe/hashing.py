"""Stable numbers for texts, which decide by hash what is seen, held out, tested or guessed."""

from __future__ import annotations

import hashlib

BITS = 48


def hash_number(seed: int, text: str) -> int:
    """Return a number of 48 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{text}".encode()).digest()[: BITS // 8], "big")


def hash_fraction(seed: int, text: str) -> float:
    """Return a number in [0, 1)."""
    return hash_number(seed, text) / (1 << BITS)
