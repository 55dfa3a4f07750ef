"""Finds sentences in files by means of its own, to check a take-down against: nothing here is shared with the search that it checks."""

from __future__ import annotations

import gzip
import html
import io
import json
import re
import sqlite3
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer


def files_with(sentences: Sequence[str], folders: Sequence[Path]) -> set[Path]:
    """Return every file below some folders that has one of the sentences in any form."""
    wanted = [f" {' '.join(re.findall(r'[a-z]+', sentence.lower()))} " for sentence in sentences]
    paths = sorted({path for folder in folders for path in folder.rglob("*") if path.is_file()})
    tokenizers = [Tokenizer.from_file(str(path)) for path in paths if path.name == "tokenizer.json" and path.stat().st_size > 100]
    return {path for path in paths if any(sentence in text for text in _texts(path, tokenizers) for sentence in wanted)}


def _texts(path: Path, tokenizers: list[Tokenizer]) -> Iterator[str]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for text in (*_strings(path, content), *_decoded(path, content, tokenizers)):
        for form in (text, html.unescape(text), re.sub("<.*?>", "", html.unescape(text)), re.sub(r"\\n|\\t|\\u....", " ", text)):
            yield f" {' '.join(re.findall('[a-z]+', form.lower()))} "


def _strings(path: Path, content: bytes) -> Iterator[str]:
    yield content.decode("latin-1")
    if content[:3] == b"\x1f\x8b\x08":
        yield gzip.decompress(content).decode("latin-1")
    elif content[:4] == b"PK\x03\x04":  # a checksum may begin with PK, and compiled code hold the end of a zip
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from (archive.read(name).decode("latin-1") for name in archive.namelist())
    elif content[:4] == b"PAR1":
        yield from _leaves(pq.read_table(io.BytesIO(content)).to_pylist())
    elif content[:6] == b"ARROW1":
        yield from _leaves(pa.ipc.open_file(io.BytesIO(content)).read_all().to_pylist())
    elif content[:6] == b"SQLite":
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=60) as connection:
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                yield from _leaves(connection.execute(f'SELECT * FROM "{table}"').fetchall())


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, bytes):
        yield value.decode("latin-1")
    elif isinstance(value, str):
        yield value
        if value[:1] in ("{", "[", '"'):
            try:
                yield from _leaves(json.loads(value))
            except ValueError:
                return
    elif isinstance(value, (list, tuple, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)


def _decoded(path: Path, content: bytes, tokenizers: list[Tokenizer]) -> Iterator[str]:
    """Token rows, by every tokenizer there is: a row for itself, and all rows as one text without the token that two of them share."""
    if path.suffix == ".arrow":
        table = pa.ipc.open_file(io.BytesIO(content)).read_all()
        for name in {"tokens", "chosen", "rejected"} & set(table.column_names):
            rows = np.array(table[name].to_pylist())
            for tokenizer in tokenizers:
                yield from (tokenizer.decode(row) for row in rows.tolist())
                yield tokenizer.decode(rows[:, 1:].reshape(-1).tolist())
