"""Searching a file for a document: for its phrases, and for its names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from data.searching.decoding import FileReader
from data.searching.phrases import Match, Phrases, unescape
from data.searching.tables import Vocabulary


@dataclass(frozen=True)
class Wanted:
    """A search: phrases, and names in lower case, such as the document's id and path."""

    phrases: Phrases
    names: tuple[str, ...]


@dataclass(frozen=True)
class FileFindings:
    """Matches in one file. `matches`: where inside -> phrases; `named`: has a name; `unread`: (where inside, why) for what gave no text."""

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
