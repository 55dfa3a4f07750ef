"""What the files of a source hold, as it comes out of them, and where it goes."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class SourceText(NamedTuple):
    """One text read from a source, and what is known about it.

    `kind`: file, part (a file joined with others into one work) or record; `part`: name of the file or record; `maker`: what wrote a
    synthetic text, else ""; `form`: conversation where the text is one, as a JSON object, else ""; `licence`: its own terms, if any."""

    source: str
    work: str
    part: str
    kind: str
    text: str
    format: str
    encoding: str = ""
    title: str = ""
    url: str = ""
    maker: str = ""
    form: str = ""
    licence: str = ""


class Fault(NamedTuple):
    """A file, a record or a piece that gives no text, and why. `work`: the work to whose shard the row belongs."""

    source: str
    work: str
    path: str
    reason: str


class Unread(NamedTuple):
    """A document whose bytes are there and are still to be read.

    `work`: the name of its work; `record`: its name if it is a record, else ""; `declared`: the charset that a server sent with it;
    `container`: the format of the file that it is a record of, else ""."""

    source: str
    work: str
    name: str
    record: str
    format: str
    content: bytes
    declared: str = ""
    url: str = ""
    container: str = ""
    licence: str = ""


class Contents(Protocol):
    """Where texts and faults go."""

    def add(self, item: SourceText) -> None:
        """Add a text."""

    def quarantine(self, fault: Fault) -> None:
        """Add a fault."""
