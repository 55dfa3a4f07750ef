"""Recognize record files by their first records: conversations, texts, or records whose text has another field's name."""

from __future__ import annotations

import glob
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path, PurePath
from typing import IO, Any, BinaryIO, NamedTuple

from data.conversations.records import read_record
from data.conversations.shapes import ShapeError
from data.examples.config import ConversationExamples, CorpusExamples
from data.sources.archives.compression import decompress
from data.sources.config import CONVERSATION_FORMATS, ConversationFiles, FilesSource
from data.sources.decode import COMPRESSIONS, HEAD, detect_type
from data.sources.errors import HostileArchive, Unreadable
from data.sources.formats import PACKED, USUAL, Format, type_from_name
from data.sources.readers.record import ReaderOptions, Record
from data.sources.readers.registry import READERS, UNSANDBOXED
from data.sources.sandbox.parser_sandbox import ParserSandbox
from flows.recipe.sizing import TEXT_PER_PACKED_BYTE

LOOKED_AT = 20  # records of a file
FILES_LOOKED_AT = 20  # of a folder and a format
NAMED = 6  # files, or fields of a file
TEXT_FIELD = FilesSource.model_fields["text_field"].default


class RecordFiles(NamedTuple):
    """Files of records. `conversations`: names and about how many; `fieldless`: names and fields of those without the field of a text.

    `beside`: files of texts that have a format of the conversations; `usual_size`: what nine of ten conversations don't exceed, in bytes;
    `formats`: of all files that are read.
    """

    conversations: dict[str, int]
    fieldless: dict[str, tuple[str, ...]]
    beside: tuple[str, ...]
    usual_size: int = 0
    formats: tuple[Format, ...] = USUAL

    def text_sources(self, name: str) -> tuple[FilesSource, ...]:
        """Return sources of all texts: whatever lies in the folder in other formats, and those of the conversations' formats by name."""
        taken = {type_from_name(chat).format for chat in self.conversations}
        folder = FilesSource(name=name, paths=(".",), formats=tuple(one for one in self.formats if one not in taken))
        if not self.beside:
            return (folder,)
        formats = tuple(one for one in USUAL if one in taken)
        return (folder, FilesSource(name=f"{name}_records", paths=tuple(map(glob.escape, self.beside)), formats=formats))

    @property
    def amount(self) -> str:
        """How many conversations there are, and in which files."""
        files = list(self.conversations)
        named = ", ".join(files[:NAMED]) + (f" and {len(files) - NAMED} more" if len(files) > NAMED else "")
        number = sum(self.conversations.values())
        return f"about {number:,} conversation{'s' if number > 1 else ''} in {named}"

    @property
    def examples(self) -> ConversationExamples | CorpusExamples:
        """The examples to tune on: the conversations, if there are any, beside questions about the texts."""
        if not self.conversations:
            return CorpusExamples()
        return ConversationExamples(sources=(ConversationFiles(paths=self._paths()),), generated=CorpusExamples())

    @property
    def tuned_on(self) -> str:
        """The sentence about a model that is tuned on the conversations."""
        return f"chat: it is tuned on {self.amount}, and on questions about the texts"

    def _paths(self) -> tuple[str, ...]:
        """Return what points to the conversations: a glob where they are all files of their ending in a folder."""
        mixed = set(map(_ending_in_folder, self.beside))
        together: dict[tuple[PurePath, str], list[str]] = defaultdict(list)
        for name in self.conversations:
            together[_ending_in_folder(name)].append(name)
        paths: list[str] = []
        for (folder, ending), names in together.items():
            apart = len(names) == 1 or (folder, ending) in mixed
            paths += map(glob.escape, names) if apart else [str(PurePath(glob.escape(str(folder)), f"*{ending}"))]
        return tuple(paths)

    def unread(self) -> Iterator[str]:
        """Yield what has to be said of files whose records have no text."""
        for name, fields in islice(self.fieldless.items(), NAMED):
            yield (
                f"mind: the records of {name} have no field `{TEXT_FIELD}` and will be set aside; their fields are "
                f"{', '.join(fields[:NAMED])}: name the one with the text in ingest.sources.text_field"
            )
        if len(self.fieldless) > NAMED:
            yield f"mind: so will those of {len(self.fieldless) - NAMED} more files"


def _ending_in_folder(name: str) -> tuple[PurePath, str]:
    """Return a file's folder and its ending, as it is written, with that of compression."""
    path = PurePath(name)
    packed = path.suffix if path.suffix.lower() in PACKED else ""
    return path.parent, (path.with_suffix("") if packed else path).suffix + packed


NO_RECORDS = RecordFiles({}, {}, ())


def look_at_records(files: Mapping[str, Path]) -> RecordFiles:
    """Return what the files hold that are named as files of records and can be read; what lies in archives, or is packed Parquet, is left.

    Of a folder's files of one format the first `FILES_LOOKED_AT` are opened; the others are taken for what the last of them is.
    """
    found: dict[str, _Look] = {}
    opened: dict[tuple[PurePath, str], list[_Look]] = defaultdict(list)
    with closing(ParserSandbox()) as sandbox:
        for name, path in files.items():
            kind = type_from_name(name).format
            if kind in CONVERSATION_FORMATS and (kind in UNSANDBOXED or path.suffix.lower() not in PACKED):
                looks = opened[PurePath(name).parent, kind]
                if len(looks) < FILES_LOOKED_AT:
                    looks.append(_look(sandbox, kind, path))
                found[name] = looks[-1]
    conversations = {name: look.count(files[name]) for name, look in found.items() if look.conversations}
    fieldless = {name: look.fields for name, look in found.items() if look.fields}
    taken = {type_from_name(name).format for name in conversations}
    beside = (name for name in files if type_from_name(name).format in taken and name not in conversations)
    return RecordFiles(conversations, fieldless, tuple(beside), max((found[name].usual_size for name in conversations), default=0))


class _Look(NamedTuple):
    """A file's first records: how many, the bytes of one, whether most are conversations, and their fields if none is a text's.

    `usual_size`: what nine of ten don't exceed, in bytes."""

    records: int = 0
    size: float = 1.0
    conversations: bool = False
    fields: tuple[str, ...] = ()
    usual_size: int = 0

    def count(self, path: Path) -> int:
        """Return about how many records a file like this has."""
        text = path.stat().st_size * (TEXT_PER_PACKED_BYTE if path.suffix.lower() in PACKED else 1.0)
        return self.records if self.records < LOOKED_AT else max(self.records, round(text / self.size))


def _look(sandbox: ParserSandbox, kind: str, path: Path) -> _Look:
    options = ReaderOptions(whole=True)
    try:
        with path.open("rb") as raw, _plain(raw, path.stat().st_size) as stream:
            read = READERS[kind](stream, options, lambda _: True) if kind in UNSANDBOXED else sandbox.read(kind, path, options, None)
            texts = [one.text for one in islice(read, LOOKED_AT) if isinstance(one, Record)]
    except (Unreadable, HostileArchive, OSError):
        return _Look()
    records = [json.loads(text) for text in texts]
    if not records:
        return _Look()
    sizes = sorted(len(text.encode("utf-8", "replace")) for text in texts)
    conversations = sum(map(_is_conversation, records)) * 2 > len(records)
    lacking = not conversations and not any(isinstance(record.get(TEXT_FIELD), str) for record in records)
    usual = sizes[(len(sizes) - 1) * 9 // 10]
    return _Look(len(records), sum(sizes) / len(sizes), conversations, tuple(records[0]) if lacking else (), usual)


def _plain(raw: BinaryIO, size: int) -> IO[bytes]:
    """Return the stream of a file's contents, unpacked if it is packed."""
    kind = detect_type(raw.read(HEAD))
    raw.seek(0)
    return decompress(raw, kind, size) if kind in COMPRESSIONS else raw


def _is_conversation(record: Mapping[str, Any]) -> bool:
    try:
        read_record(record, "auto")
    except ShapeError:
        return False
    return True
