"""What every reader is given and gives.

A reader takes a stream, its options and a function that says which records are wanted by their name, and yields what it found: a file that
is one document gives one record without a name, a file of records gives one for each. Whatever is wrong with one record is `Broken` and
costs that record; what is wrong with the file is raised as Unreadable. A record that isn't wanted is passed over before it is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, NamedTuple

from data.sources.errors import Unreadable


@dataclass(frozen=True)
class Options:
    """How to read. `limit`: the size from which a document is too large, in bytes; `declared`: the charset that came with the bytes."""

    encoding: str = "detect"
    text_field: str = "text"
    id_field: str | None = None
    title_field: str | None = None
    limit: int = 256 << 20
    declared: str = ""


class Record(NamedTuple):
    """A document. `name`: of the record in its file; `encoding`: empty where the format has but one."""

    text: str
    name: str = ""
    title: str = ""
    encoding: str = ""
    address: str = ""


class Broken(NamedTuple):
    """A record that gives no document, and why."""

    reason: str
    name: str = ""


class Inner(NamedTuple):
    """A record that is a file of a format of its own."""

    format: str
    content: bytes
    name: str
    declared: str = ""
    address: str = ""


Found = Record | Broken | Inner
Wanted = Callable[[str], bool]
Reader = Callable[[IO[bytes], Options, Wanted], Iterator[Found]]


def whole(stream: IO[bytes], options: Options) -> bytes:
    """All bytes of a stream. Raises Unreadable when they are too many."""
    content = stream.read(options.limit + 1)
    if len(content) <= options.limit:
        return content
    size = len(content)
    while block := stream.read(1 << 20):
        size += len(block)
    raise Unreadable(f"too large: {size} bytes, the limit is {options.limit}")
