"""The columns of packed rows that a network may read besides the tokens."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

OWN = frozenset({"tokens", "document", "loss", "position", "dropped"})  # of rows of text: what objectives themselves hand on or keep


def input_columns(rows: Mapping[str, Any], own: Collection[str] = OWN) -> dict[str, Any]:
    """Return the columns beside those of `own` that have a value or a vector for each token, up to the last token.

    `rows`: arrays or tensors [B, T + 1, ...], with `tokens` among them. The last token of a row is a target only: nothing is read there.
    """
    positions = tuple(rows["tokens"].shape[:2])
    return {name: values[:, :-1] for name, values in rows.items() if name not in own and tuple(values.shape[:2]) == positions}
