"""Finds sentences in files by means of its own, to check a take-down against: nothing here is shared with the search that it checks."""

from __future__ import annotations

import bz2
import gzip
import html
import io
import json
import lzma
import re
import sqlite3
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from tokenizers import Tokenizer


def files_with(sentences: Sequence[str], folders: Sequence[Path]) -> set[Path]:
    """Return every file below some folders that has one of the sentences in any form."""
    return files_with_each({"": sentences}, folders)[""]


def files_with_each(wanted: Mapping[str, Sequence[str]], folders: Sequence[Path]) -> dict[str, set[Path]]:
    """Return what `files_with` does of several texts, by their names, with one reading of the files."""
    forms = {name: [f" {' '.join(re.findall(r'[a-z]+', one.lower()))} " for one in sentences] for name, sentences in wanted.items()}
    paths = sorted({path for folder in folders for path in folder.rglob("*") if path.is_file()})
    tokenizers = [Tokenizer.from_file(str(path)) for path in paths if path.name == "tokenizer.json" and path.stat().st_size > 100]
    found: dict[str, set[Path]] = {name: set() for name in wanted}
    for path in paths:
        left = dict(forms)
        for text in _texts(path, tokenizers):
            for name in [name for name, sentences in left.items() if any(sentence in text for sentence in sentences)]:
                found[name].add(path)
                del left[name]
            if not left:
                break
    return found


def _texts(path: Path, tokenizers: list[Tokenizer]) -> Iterator[str]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for text in (*_strings(path, content, 0), *_decoded(path, content, tokenizers)):
        for form in (text, html.unescape(text), re.sub("<.*?>", "", html.unescape(text)), re.sub(r"\\n|\\t|\\u....", " ", text)):
            yield f" {' '.join(re.findall('[a-z]+', form.lower()))} "


def _strings(path: Path, content: bytes, depth: int) -> Iterator[str]:
    yield content.decode("latin-1")
    if inner := _unpacked(content) if depth < 3 else []:
        for member in inner:
            yield from _strings(path, member, depth + 1)
    elif content[:4] == b"PAR1":
        yield from _leaves(pq.read_table(io.BytesIO(content)).to_pylist())
    elif content[:6] == b"ARROW1":
        yield from _leaves(pa.ipc.open_file(io.BytesIO(content)).read_all().to_pylist())
    elif content[:6] == b"SQLite":
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=60) as connection:
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                yield from _leaves(connection.execute(f'SELECT * FROM "{table}"').fetchall())


def _unpacked(content: bytes) -> list[bytes]:
    """What is packed in a file, by its first bytes."""
    try:
        if content[:3] == b"\x1f\x8b\x08":
            return [gzip.decompress(content)]
        if content[:3] == b"BZh":
            return [bz2.decompress(content)]
        if content[:6] == b"\xfd7zXZ\0":
            return [lzma.decompress(content)]
        if content[:4] == b"\x28\xb5\x2f\xfd":
            return [zstandard.ZstdDecompressor().decompressobj().decompress(content)]
        if content[:4] == b"PK\x03\x04":  # a checksum may begin with PK, and compiled code hold the end of a zip
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                return [archive.read(name) for name in archive.namelist()]
        if content[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                return [opened.read() for member in tar if (opened := tar.extractfile(member)) is not None]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, lzma.LZMAError, tarfile.TarError, zstandard.ZstdError):
        return []  # it only begins like one
    return []


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
