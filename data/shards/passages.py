"""Passages of packed rows, cut in two halves that belong together: what contrastive learning pairs, and what retrieval is measured on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.shards.reader import ShardReader
from data.shards.schema import document_spans

LEAST = 8  # tokens of a half that is looked for
Span = tuple[int, int, int]  # where a passage begins, is cut, and ends


def cut_passage(
    tokens: NDArray[Any], document: NDArray[Any], loss: NDArray[np.bool_], *, begin: int, least: int, part: float = 0.5
) -> Span | None:
    """Return the passage of a row, its longest document, and where it is cut; None if both halves would not have `least` tokens.

    begin: the token that documents begin with, which no half holds. part: where it is cut, from a quarter (0) to three quarters (1).
    """
    spans = [(end - start, -start) for start, end in document_spans(document) if loss[start:end].any()]
    length, start = max(spans, default=(0, 0))
    start = -start
    if length and tokens[start] == begin:
        start, length = start + 1, length - 1
    least = max(least, length // 4)
    if length < 2 * least:
        return None
    return start, start + least + int(part * (length - 2 * least + 1)), start + length


def halved_passages(reader: ShardReader, most: int) -> list[tuple[list[int], list[int]]]:
    """Return the token ids of both halves of up to `most` passages, of rows evenly spaced over a split, cut in the middle."""
    found = list[tuple[list[int], list[int]]]()
    for number in np.unique(np.linspace(0, len(reader) - 1, min(most, len(reader))).round().astype(np.int64)).tolist():
        row = {name: values[0] for name, values in reader.rows([number]).items()}
        if span := cut_passage(row["tokens"], row["document"], row["loss"], begin=reader.metadata.begin, least=LEAST):
            found.append((row["tokens"][span[0] : span[1]].tolist(), row["tokens"][span[1] : span[2]].tolist()))
    return found
