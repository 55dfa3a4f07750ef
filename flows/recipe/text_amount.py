"""How many texts files hold, and how much text.

Names and sizes say it where a file's bytes are its text. Of formats that hide their text, such as PDF, a few files are read; where none of
them can be, and of files that hold many texts, it is a guess.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from data.sources.errors import Unreadable
from data.sources.formats import PACKED, RECORDS, type_from_name
from data.sources.readers.parsing.record import ReaderOptions, Record
from data.sources.readers.registry import SANDBOXED
from data.sources.sandbox.parser_sandbox import ParserSandbox

# Text in a file for each of its bytes, where that is far from 1 and no file was read.
TEXT_PER_BYTE = {"epub": 2.0, "html": 0.3, "pdf": 1.0, "parquet": 2.0, "warc": 0.1}
TEXT_PER_PACKED_BYTE = 3.0
BYTES_PER_RECORD = 4000
READ = SANDBOXED - RECORDS - {"md"}
FILES_READ = 3  # of a format
LARGEST_READ = 30 << 20  # bytes


class TextAmount(NamedTuple):
    """What a file holds: a number of texts, and their size together in bytes."""

    texts: int
    bytes: int


def estimate_texts(files: Sequence[Path]) -> list[TextAmount]:
    """Return what each file holds. A few files are read, which takes some seconds where they are large."""
    ratios = {**TEXT_PER_BYTE, **_ratios(files)}
    return [_estimate(path, ratios) for path in files]


def _estimate(path: Path, ratios: dict[str, float]) -> TextAmount:
    kind = type_from_name(path.name)
    packed = kind.archive or path.suffix.lower() in PACKED
    size = round(path.stat().st_size * ratios.get(kind.format, 1.0) * (TEXT_PER_PACKED_BYTE if packed else 1.0))
    return TextAmount(max(1, size // BYTES_PER_RECORD) if kind.may_hold_many else 1, size)


def _ratios(files: Iterable[Path]) -> dict[str, float]:
    """Return the bytes of text for each byte of a format's files, from a few that could be read."""
    of_format: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        if (kind := type_from_name(path.name).format) in READ and path.suffix.lower() not in PACKED:
            of_format[kind].append(path)
    ratios = {}
    with closing(ParserSandbox()) as sandbox:
        for kind, paths in sorted(of_format.items()):
            sizes = sorted((size, path) for path in paths if 0 < (size := path.stat().st_size) <= LARGEST_READ)
            chosen = [sizes[number * len(sizes) // FILES_READ] for number in range(min(FILES_READ, len(sizes)))]
            read = {path: (size, _text_bytes(sandbox, kind, path)) for size, path in chosen}
            if text := sum(found for _, found in read.values()):
                ratios[kind] = text / sum(size for size, _ in read.values())
    return ratios


def _text_bytes(sandbox: ParserSandbox, kind: str, path: Path) -> int:
    """Return the bytes of a file's text; 0 where it can't be read."""
    try:
        found = sandbox.read(kind, path.read_bytes(), ReaderOptions(), None)
        return sum(len(record.text.encode("utf-8", "replace")) for record in found if isinstance(record, Record))
    except (Unreadable, OSError):
        return 0
