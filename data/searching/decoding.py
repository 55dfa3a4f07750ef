"""Reading the text in a file of any kind, told by its bytes: plain, compressed, in an archive, in tables, in token rows.

Compressed files and archives are unpacked as untrusted input, at most DEPTH in each other. Nothing is unpickled: of what is unknown the
plain strings are read, and it is listed in `unread`, as are weights, encrypted members and what is damaged. Memory holds one piece of text;
what must be read out of order is unpacked into a temporary file.

Searching a file for a document: for its phrases, and for its names.
"""

from __future__ import annotations

import codecs
import shutil
import sqlite3
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

import pyarrow as pa

from data.searching.phrases import OVERLAP, Match, Phrases, unescape
from data.searching.tables import Vocabulary, arrow_texts, parquet_texts, row_texts, sqlite_texts, stream_texts, token_columns
from data.sources.archives.compression import buffered, decompress, refuse_bomb
from data.sources.decode import COMPRESSIONS, HEAD, UTF16_BOMS, detect_type
from data.sources.errors import HostileArchive, Unreadable

DEPTH = 4
BLOCK = 4 << 20
WEIGHTS = frozenset({".safetensors", ".gguf", ".npy", ".pt", ".pth", ".distcp"})
PLAIN_STRINGS = frozenset({".pyc", ".code", ".facts", ".libraries", ".db-wal", ".db-shm"})  # binary files that contain plain text
SQLITE = b"SQLite format 3\0"
DAMAGE = (pa.ArrowException, sqlite3.Error, zipfile.BadZipFile, tarfile.TarError, zlib.error, Unreadable, HostileArchive, EOFError,
          NotImplementedError, RuntimeError, OSError, ValueError)  # fmt: skip

Pieces = Iterator[tuple[str, str]]  # (where inside the file, text)


@dataclass
class FileReader:
    """Reads files; `unread` grows by (where inside the file, why) for what gave no text. `vocabularies` are tried on token rows."""

    vocabularies: Sequence[Vocabulary] = ()
    unread: list[tuple[str, str]] = field(default_factory=list)

    def texts(self, stream: IO[bytes], name: str, path: Path | None = None) -> Pieces:
        """Yield (where inside the file, text) of an open file. `path`: where it is, if it is on this machine."""
        yield from self._texts(stream, name, "", path, 0)

    def _texts(self, stream: IO[bytes], name: str, inside: str, path: Path | None, depth: int) -> Pieces:
        try:
            if stream.seekable():
                head = stream.read(HEAD)
                stream.seek(0)
            else:
                stream = buffered(stream)
                head = stream.peek(HEAD)[:HEAD]
            yield from self._by_kind(stream, head, PurePosixPath(name), inside, path, depth)
        except DAMAGE as error:
            self.unread.append((inside, f"{error or type(error).__name__}"))

    def _by_kind(self, stream: IO[bytes], head: bytes, name: PurePosixPath, inside: str, path: Path | None, depth: int) -> Pieces:
        kind = detect_type(head)
        if name.suffix in WEIGHTS:
            self.unread.append((inside, "weights"))
        elif kind in COMPRESSIONS and depth < DEPTH:
            size = path.stat().st_size if path is not None and not inside else 1 << 40
            yield from self._texts(decompress(stream, kind, size), name.stem, inside, None, depth + 1)
        elif kind in ("zip", "epub") and depth < DEPTH:
            with _seekable(stream) as whole:
                yield from self._zip(whole, inside, depth)
        elif kind == "tar" and depth < DEPTH:
            yield from self._tar(stream, inside, depth)
        elif kind == "parquet":
            with _seekable(stream) as whole:
                yield from ((_joined(inside, column), text) for column, text in parquet_texts(whole))
        elif head.startswith(b"ARROW1"):
            with _seekable(stream) as whole:
                yield from self._arrow(whole, inside)
        elif name.suffix == ".tokens":
            yield from ((inside, text) for text in stream_texts(stream, self.vocabularies))
        else:
            # Of a database too: pages that it has freed keep their words.
            yield from ((inside, text) for text in blocks(stream, head))
            if head.startswith(SQLITE) and path is not None and not inside:
                yield from sqlite_texts(path)
            if _is_foreign(kind, head, name):
                self.unread.append((inside, f"{kind or name.suffix or 'binary'}: only its plain strings were searched"))

    def _arrow(self, stream: IO[bytes], inside: str) -> Pieces:
        yield from ((_joined(inside, column), text) for column, text in arrow_texts(stream))
        stream.seek(0)
        for tokens in token_columns(stream):
            if not self.vocabularies:
                self.unread.append((inside, "token rows whose tokenizer is gone"))
            for vocabulary in self.vocabularies:
                yield from ((inside, text) for text in row_texts(tokens, vocabulary))

    def _zip(self, stream: IO[bytes], inside: str, depth: int) -> Pieces:
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                where = _joined(inside, member.filename)
                if member.flag_bits & 1:
                    self.unread.append((where, "encrypted"))
                elif not member.is_dir():
                    refuse_bomb("archive", member.file_size, member.compress_size)
                    with archive.open(member) as opened:
                        yield from self._texts(buffered(opened), member.filename, where, None, depth + 1)

    def _tar(self, stream: IO[bytes], inside: str, depth: int) -> Pieces:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if (opened := archive.extractfile(member)) is not None:
                    where = _joined(inside, member.name)
                    # A tar that is read as a stream can't be left and entered again.
                    with tempfile.TemporaryFile() as copied:
                        shutil.copyfileobj(opened, copied, BLOCK)
                        copied.seek(0)
                        yield from self._texts(copied, member.name, where, None, depth + 1)


def blocks(stream: IO[bytes], head: bytes = b"") -> Iterator[str]:
    """Yield the text of a stream in blocks that overlap; what is not UTF-8, or UTF-16 with its mark, separates words."""
    decoder = codecs.getincrementaldecoder("utf-16" if head.startswith(UTF16_BOMS) else "utf-8")("replace")
    before = ""
    while data := stream.read(BLOCK):
        text = before + decoder.decode(data)
        yield text
        before = text[-OVERLAP:]


def _seekable(stream: IO[bytes]) -> IO[bytes]:
    if stream.seekable():
        return stream
    copied = tempfile.TemporaryFile()  # noqa: SIM115  # the reader closes it
    shutil.copyfileobj(stream, copied, BLOCK)
    copied.seek(0)
    return copied


def _joined(inside: str, name: str) -> str:
    return f"{inside}/{name}" if inside else name


def _is_foreign(kind: str, head: bytes, name: PurePosixPath) -> bool:
    """Whether a file may hold text that its bytes don't show."""
    binary = b"\0" in head and not head.startswith((*UTF16_BOMS, SQLITE)) and name.suffix not in PLAIN_STRINGS
    return binary or (bool(kind) and kind not in ("html", "warc"))


@dataclass(frozen=True)
class Wanted:
    """A query: phrases, and names in lower case, such as the document's id and path."""

    phrases: Phrases
    names: tuple[str, ...]


@dataclass(frozen=True)
class FileFindings:
    """The findings in a file. `matches`: place -> phrases; `named`: has a name; `unread`: (place, why) for what gave no text."""

    matches: Mapping[str, Match] = field(default_factory=dict)
    named: bool = False
    unread: tuple[tuple[str, str], ...] = ()

    @property
    def match(self) -> Match:
        """All phrases of the file, quoted from inside it where that can be said."""
        found = Match()
        for inside in sorted(self.matches, key=lambda inside: not inside):
            found |= self.matches[inside]
        return found


def file_phrases(path: Path) -> Phrases:
    """Return the phrases of a file's text; empty if the file is missing or can't be fully read as text."""
    if not path.is_file():
        return Phrases.of([])
    reader = FileReader()
    with path.open("rb") as stream:
        found = Phrases.of(text for _, text in reader.texts(stream, path.name, path))
    return Phrases.of([]) if reader.unread else found


def search_file(
    wanted: Wanted, stream: IO[bytes], name: str, vocabularies: Sequence[Vocabulary] = (), path: Path | None = None
) -> FileFindings:
    """Search an open file. `vocabularies`: tried on token rows; `path`: where the file is, if it is on this machine."""
    reader = FileReader(vocabularies)
    return _search_texts(wanted, reader.texts(stream, name, path), reader)


def _search_texts(wanted: Wanted, texts: Iterable[tuple[str, str]], reader: FileReader) -> FileFindings:
    """Search texts, each given with where it is inside a file."""
    matches: dict[str, Match] = {}
    named = False
    for inside, text in texts:
        plain = unescape(text)
        named = named or any(name in plain for name in wanted.names)
        if (found := wanted.phrases.find(plain)).hashes:
            matches[inside] = matches.get(inside, Match()) | found
    return FileFindings(matches, named, tuple(dict.fromkeys(reader.unread)))
