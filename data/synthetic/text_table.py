"""Synthetic texts on disk: writes and reads their one table.

A text is named by its maker and a digest of its content, so the same text always has the same id. No text is empty or
comes twice. Memory holds a row group and a digest per text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from data.documents.rows import write_rows
from data.synthetic.config import Grammar, TemplatesMaker


def generate_texts(maker: TemplatesMaker) -> Iterator[str]:
    """Yield `count` different texts in an order that the seed decides; with a larger count the same texts come first.

    Memory holds a number and a digest per text. Raise ValueError if so many ways to fill the slots give the same text that there are fewer
    than `count`.
    """
    grammar, made = maker.grammar, set[bytes]()
    for number in _shuffled_numbers(grammar, maker.seed):
        text = grammar.text(number)
        digest = hashlib.sha256(text.encode()).digest()[:16]
        if text.strip() and digest not in made:
            made.add(digest)
            yield text
            if len(made) == maker.count:
                return
    raise ValueError(
        f"templates make {grammar.size} texts of which only {len(made)} differ, and count={maker.count} asks for more; add entries that "
        "read differently, or lower count"
    )


def _shuffled_numbers(grammar: Grammar, seed: int) -> Iterator[int]:
    """Yield every number of the grammar once, by a sparse Fisher-Yates shuffle that stores only moved numbers."""
    random, moved = Random(seed), dict[int, int]()
    for last in range(grammar.size - 1, -1, -1):
        chosen = random.randrange(last + 1)
        yield moved.get(chosen, chosen)
        moved[chosen] = moved.pop(last, last)


TEXTS = "texts.parquet"
# path: the document's name inside its source. maker: templates or model; empty: the text is not marked as a machine's.
COLUMNS = pa.schema([(name, pa.string()) for name in ("path", "maker", "text")])
_ROWS = 64


def write_texts(output: Path, maker: str, texts: Iterable[str], *, marked: bool = True) -> dict[str, float]:
    """Write texts.parquet in the order given. Return the counts texts, characters, repeated and empty.

    `marked`: whether the texts count as synthetic from here on."""
    counts = dict.fromkeys(("texts", "characters", "repeated", "empty"), 0.0)

    def rows() -> Iterator[dict[str, str]]:
        paths = set[str]()
        for text in texts:
            path = f"{maker}/{hashlib.sha256(text.encode()).hexdigest()[:24]}.txt"
            if not text.strip() or path in paths:
                counts["repeated" if text.strip() else "empty"] += 1
                continue
            paths.add(path)
            counts["texts"] += 1
            counts["characters"] += len(text)
            yield {"path": path, "maker": maker if marked else "", "text": text}

    write_rows(output / TEXTS, COLUMNS, rows())
    return counts


def read_texts(folder: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, str, str]]:
    """Yield (path, maker, text) of each text whose path is `wanted`."""
    with pq.ParquetFile(folder / TEXTS) as file:
        for batch in file.iter_batches(_ROWS):
            yield from ((row["path"], row["maker"], row["text"]) for row in batch.to_pylist() if wanted(row["path"]))
