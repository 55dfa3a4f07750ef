"""Pictures among the words of documents: how a text names one, and the table that keeps their pixels.

Where a picture stands, the text has a placeholder, `[picture:NAME]`. The name follows from the pixels alone, so equal pictures have one
name wherever they come from, and stages that compare words compare pictures too. It is of consonants: rules for misread words, page numbers
and personal data see nothing of theirs in it. A text that has such words of its own, of a picture that no table knows, keeps them as words.

Pixels are kept as they are shown, without a file's format or its EXIF. Memory: `read_pictures` holds all that it reads.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from data.documents.rows import RowWriter

LETTERS = "bcdfghjklmnpqrst"  # a letter for each half of a byte
NAME_BYTES = 8
PARTS = "parts.parquet"
"""The parts of a shard's documents, of an example's conversations, or of anything else that has texts with placeholders."""
PLACEHOLDER = re.compile(rf"\[picture:([{LETTERS}]{{{2 * NAME_BYTES}}})\]")
CHANNELS = {"L": 1, "RGB": 3}  # gray, or red, green and blue: a byte each, row by row
TEXTS = ("id", "source", "path", "picture", "mode")
SCHEMA = pa.schema([(name, pa.string()) for name in TEXTS] + [("width", pa.int64()), ("height", pa.int64()), ("pixels", pa.binary())])


class Picture(NamedTuple):
    """A picture's pixels. `mode`: L or RGB, as Pillow has them."""

    mode: str
    width: int
    height: int
    pixels: bytes

    @property
    def name(self) -> str:
        """Its name, which equal pictures share."""
        digest = hashlib.sha256(f"{self.mode} {self.width} {self.height}\n".encode() + self.pixels).digest()[:NAME_BYTES]
        return "".join(LETTERS[byte >> 4] + LETTERS[byte & 15] for byte in digest)

    @property
    def placeholder(self) -> str:
        """What stands for it in a text."""
        return placeholder(self.name)


class Part(NamedTuple):
    """A file that a document is made of: the document's id and source, the file's path, and its picture; None: words, as a caption."""

    id: str
    source: str
    path: str
    picture: Picture | None = None


def placeholder(name: str) -> str:
    """Return what stands for the picture of this name."""
    return f"[picture:{name}]"


def named_pictures(text: str) -> list[str]:
    """Return the names of the pictures in a text, in order."""
    return PLACEHOLDER.findall(text)


def without_pictures(text: str) -> str:
    """Return the words of a text alone."""
    return PLACEHOLDER.sub("", text)


def divide(text: str, known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the parts of a text in order, each as (words, "") or ("", the name of a picture that is known)."""
    at = 0
    for found in PLACEHOLDER.finditer(text):
        if found[1] in known:
            if found.start() > at:
                yield text[at : found.start()], ""
            yield "", found[1]
            at = found.end()
    if at < len(text):
        yield text[at:], ""


def write_parts(path: Path, parts: Iterable[Part]) -> int:
    """Write a row for each part, in the order given; return the number of different pictures. Memory: some megabytes of them."""
    names = set[str]()
    with RowWriter(path, SCHEMA) as writer:
        for part in parts:
            picture = part.picture or Picture("", 0, 0, b"")
            name = part.picture.name if part.picture else ""
            names |= {name} - {""}
            writer.write({"id": part.id, "source": part.source, "path": part.path, "picture": name, **picture._asdict()})
    return len(names)


def read_parts(paths: Sequence[Path], ids: Collection[str] | None = None) -> Iterator[Part]:
    """Yield the parts in these files, a few at a time; `ids`: of these documents alone. A file that is not there has none."""
    for path in (path for path in paths if path.is_file()):
        for batch in pq.ParquetFile(path).iter_batches(8):
            for row in batch.to_pylist():
                if ids is None or row["id"] in ids:
                    picture = Picture(row["mode"], row["width"], row["height"], row["pixels"]) if row["picture"] else None
                    yield Part(row["id"], row["source"], row["path"], picture)


def read_pictures(paths: Sequence[Path]) -> dict[str, Picture]:
    """Return the pictures in these files by name, in order of name."""
    found = {part.picture.name: part.picture for part in read_parts(paths) if part.picture is not None}
    return dict(sorted(found.items()))
