"""Suggest names similar to one that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean x?` with the one or two nearest names, ignoring case; empty if none is close."""
    by_case: dict[str, str] = {}
    for name in known:
        by_case.setdefault(name.lower(), name)
    near = difflib.get_close_matches(word.lower(), list(by_case), n=2)
    return f"; did you mean {' or '.join(by_case[name] for name in near)}?" if near else ""
