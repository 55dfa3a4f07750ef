"""What the first records of files say of the rest: conversations, texts, or records whose text has another field's name."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from data.conversations.read import read_record
from data.conversations.shapes.messages import ShapeError
from data.examples.config import ConversationExamples, CorpusExamples
from data.sources.config import FilesSource
from data.sources.conversation_config import FORMATS, ConversationFiles
from data.sources.errors import Unreadable
from data.sources.formats import PACKED, USUAL, type_from_name
from data.sources.readers.parsing.record import ReaderOptions, Record
from data.sources.sandbox.parser_sandbox import ParserSandbox

LOOKED_AT = 20  # records of a file
NAMED = 6  # files, or fields of a file
TEXT_FIELD = FilesSource.model_fields["text_field"].default


class RecordFiles(NamedTuple):
    """Files of records. `conversations`: names and about how many; `fieldless`: names and fields of those without the field of a text.

    `beside`: files of texts that have a format of the conversations.
    """

    conversations: dict[str, int]
    fieldless: dict[str, tuple[str, ...]]
    beside: tuple[str, ...]

    def text_sources(self, name: str) -> tuple[FilesSource, ...]:
        """Return sources of all texts: whatever lies in the folder in other formats, and those of the conversations' formats by name."""
        taken = {type_from_name(chat).format for chat in self.conversations}
        folder = FilesSource(name=name, paths=(".",), formats=tuple(one for one in USUAL if one not in taken))
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
    def examples(self) -> ConversationExamples:
        """The conversations, beside questions about the texts, to tune on."""
        source = ConversationFiles(paths=tuple(map(glob.escape, self.conversations)))
        return ConversationExamples(sources=(source,), generated=CorpusExamples())

    def unread(self) -> Iterator[str]:
        """Yield what has to be said of files whose records have no text."""
        for name, fields in self.fieldless.items():
            yield (
                f"mind: the records of {name} have no field `{TEXT_FIELD}` and will be set aside; their fields are "
                f"{', '.join(fields[:NAMED])}: name the one with the text in ingest.sources.text_field"
            )


NO_RECORDS = RecordFiles({}, {}, ())


def look_at_records(files: Mapping[str, Path]) -> RecordFiles:
    """Return what the files hold that are named as files of records and neither packed nor unreadable."""
    conversations: dict[str, int] = {}
    fieldless: dict[str, tuple[str, ...]] = {}
    with closing(ParserSandbox()) as sandbox:
        for name, path in files.items():
            kind = type_from_name(name).format
            if kind not in FORMATS or path.suffix.lower() in PACKED:
                continue
            records, size = _first(sandbox, kind, path)
            if records and sum(map(_is_conversation, records)) * 2 > len(records):
                conversations[name] = max(len(records), round(path.stat().st_size / size)) if len(records) == LOOKED_AT else len(records)
            elif records and not any(isinstance(record.get(TEXT_FIELD), str) for record in records):
                fieldless[name] = tuple(records[0])
    taken = {type_from_name(name).format for name in conversations}
    beside = (name for name in files if type_from_name(name).format in taken and name not in conversations)
    return RecordFiles(conversations, fieldless, tuple(beside))


def _first(sandbox: ParserSandbox, kind: str, path: Path) -> tuple[list[dict[str, Any]], float]:
    """Return the first records of a file, none if it can't be read, and what one of them takes on average, in bytes."""
    try:
        found = list(islice(sandbox.read(kind, path, ReaderOptions(whole=True), None), LOOKED_AT))
    except (Unreadable, OSError):
        return [], 1.0
    texts = [one.text for one in found if isinstance(one, Record)]
    return [json.loads(text) for text in texts], max(1.0, sum(len(text.encode()) for text in texts) / max(1, len(texts)))


def _is_conversation(record: Mapping[str, Any]) -> bool:
    try:
        read_record(record, "auto")
    except ShapeError:
        return False
    return True
