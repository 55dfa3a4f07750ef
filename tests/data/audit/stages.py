"""Stages of a corpus without their code: what happens to each document is said, and documents and ledgers are written by shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data.documents.rows import DOCUMENTS, LEDGER, write_rows

Texts = dict[str, str]
Row = dict[str, Any]


def ledger_row(identity: str, stage: str, action: str, rule: str, characters: int, net: int) -> Row:
    """Return a row of a ledger."""
    return {"id": identity, "stage": stage, "action": action, "rule": rule, "count": 1, "characters": characters, "net": net, "detail": ""}


def row(identity: str, text: str, metadata: str = "{}", *, source: str = "s", synthetic: bool = False) -> Row:
    """Return a document."""
    return {"id": identity, "title": f"T {identity}", "source": source, "text": text, "metadata": metadata, "synthetic": synthetic}


def through(stage: str, texts: Texts, fates: Sequence[tuple[str, int]]) -> tuple[Texts, list[Row]]:
    """Return texts and ledger after a stage. Each document has an action, and the characters that a rule cuts or adds first."""
    left: Texts = {}
    ledger: list[Row] = []
    for (name, text), (action, size) in zip(sorted(texts.items()), fates, strict=False):
        if 0 < size <= len(text):
            text = text[size:]
            ledger.append(ledger_row(name, stage, "cut", "front", size, size))
        elif size < 0:
            text += "+" * -size
            ledger.append(ledger_row(name, stage, "changed", "longer", 1, size))
        ledger.append(
            ledger_row(name, stage, action, "" if action == "kept" else f"by {action}", len(text), 0 if action == "kept" else len(text))
        )
        if action == "kept":
            left[name] = text
    return left, ledger


def rows_of(texts: Texts) -> list[Row]:
    """Return the rows of documents of which nothing but the texts matters."""
    return [row(name, text) for name, text in sorted(texts.items())]


def write_stage(
    folder: Path, shards: int, documents: Sequence[Row], ledger: Sequence[Row], placed: Callable[[str], int] | None = None
) -> list[Path]:
    """Write the files of a stage, and return the folders of its shards. `placed`: the shard of a document, by default any by its id."""
    folders = [folder / str(number) for number in range(shards)]
    for number, place in enumerate(folders):
        place.mkdir(parents=True)
        for file, schema, rows in (("documents", DOCUMENTS, documents), ("ledger", LEDGER, ledger)):
            here = [one for one in rows if (placed or hash_of)(one["id"]) % shards == number]
            write_rows(place / f"{file}.parquet", schema, here)
    return folders


def ingest_rows(texts: Texts) -> list[Row]:
    """Return the ledger rows of ingest."""
    return [ledger_row(name, "ingest", "kept", "read", len(text), 0) for name, text in texts.items()]


def hash_of(name: str) -> int:
    """Return a number that depends on a name."""
    return sum(map(ord, name))
