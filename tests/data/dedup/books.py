"""Synthetic documents for the tests of deduplication, splits, audit and examples."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.dedup.config import DedupConfig
from data.dedup.dedup import dedup
from data.documents.rows import DOCUMENTS

_SYLLABLES = ("ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sta", "tre", "vi", "wo", "zu")


def prose(seed: int, paragraphs: int = 6, sentences: int = 5) -> str:
    """Return paragraphs of made-up words; texts of two seeds share five consecutive words only by chance."""
    random = Random(f"prose:{seed}")

    def sentence() -> str:
        words = ["".join(random.choices(_SYLLABLES, k=random.randint(1, 4))) for _ in range(random.randint(6, 14))]
        return " ".join(words).capitalize() + "."

    return "\n\n".join(" ".join(sentence() for _ in range(sentences)) for _ in range(paragraphs))


def edited(text: str, share: float, seed: int = 0) -> str:
    """Return `text` with about `share` of its words replaced."""
    random = Random(f"edit:{seed}")
    return "\n\n".join(
        " ".join(word if random.random() >= share else f"new{random.randint(0, 9999)}" for word in part.split())
        for part in text.split("\n\n")
    )


def write(
    folder: Path,
    texts: dict[str, str],
    *,
    order: list[str] | None = None,
    titles: dict[str, str] | None = None,
    formats: dict[str, str] | None = None,
) -> Path:
    """Write documents.parquet in `folder` from name -> text, with names as ids; by id unless `order` says otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    names = order or sorted(texts)
    columns: dict[str, list[Any]] = {
        "id": names,
        "title": [(titles or {}).get(name, f"Title {name}") for name in names],
        "source": ["test"] * len(names),
        "text": [texts[name] for name in names],
        "metadata": [json.dumps({"format": formats[name]}) if formats and name in formats else "{}" for name in names],
    }
    columns["synthetic"] = [False] * len(names)
    pq.write_table(pa.table(columns, schema=DOCUMENTS), folder / "documents.parquet")
    return folder / "documents.parquet"


def run(
    folder: Path, texts: dict[str, str], config: DedupConfig | None = None, *, threads: int = 1, order: list[str] | None = None
) -> tuple[Path, dict[str, float]]:
    """Deduplicate `texts`; return the output folder and the metrics."""
    documents = write(folder / "in", texts, order=order)
    output = folder / "out"
    metrics = dedup([documents], output, config or DedupConfig(), threads=threads, memory="500MB", scratch=folder / "scratch")
    assert not list((folder / "scratch").iterdir())
    return output, metrics


def texts_of(output: Path) -> dict[str, str]:
    """Return the documents that a stage over one shard left, by id."""
    table = pq.read_table(output / "documents.parquet")
    return {str(row["id"]): str(row["text"]) for row in table.to_pylist()}


def kept_texts(output: Path) -> dict[str, str]:
    """Return the documents that deduplication left of all shards, by id."""
    return {str(row["id"]): str(row["text"]) for row in rows_of(output)}


def rows_of(output: Path, folder: str = "documents") -> list[dict[str, Any]]:
    """Return the rows of the documents of all shards, or of their sizes, shard by shard."""
    return [row for path in sorted((output / folder).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def bytes_of(output: Path) -> dict[str, str]:
    """Return the digest of every file of an output folder, by its relative path."""
    files = sorted(path for path in output.rglob("*") if path.is_file())
    return {path.relative_to(output).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
