"""Splits, conversations and prose for the tests of tokens."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def write_split(path: Path, texts: Sequence[str], source: str = "made") -> Path:
    """Write a documents.parquet of these texts, with ids in order."""
    rows = [
        {"id": f"{number:016x}", "title": str(number), "source": source, "text": text, "metadata": "{}"}
        for number, text in enumerate(texts)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def texts_of(path: Path) -> list[str]:
    """Return the texts of a split."""
    return [str(text) for text in pq.read_table(path)["text"].to_pylist()]


def write_lines(path: Path, values: Sequence[object]) -> Path:
    """Write a file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def conversation(*contents: str) -> dict[str, Any]:
    """Return a conversation in which user and assistant take turns."""
    roles = ("user", "assistant")
    return {
        "messages": [{"role": roles[n % 2], "content": content} for n, content in enumerate(contents)],
        "topic": "test",
    }


def prose(seed: int, paragraphs: int) -> str:
    """Return sentences of a small vocabulary, with some non-ASCII characters."""
    chance = random.Random(seed)
    words = ["the", "cat", "dog", "slept", "sat", "river", "queen's", "1815", "naïve", "城", "under", "never", "🙂"]
    lines = [" ".join(chance.choices(words, k=chance.randint(5, 40))).capitalize() + "." for _ in range(paragraphs)]
    return "\n\n".join(lines)
