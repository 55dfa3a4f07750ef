"""The works of a source: which files make one, and which of them a shard reads.

Guarantees: both are told by a file's name alone, before a byte of it is read; all parts of a joined work are in one shard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import PurePosixPath

from data.documents.schema import document_id
from data.sources.shards import Shard, holds

File = tuple[str, bytes | str]
"""(name inside the source, content); a string instead of bytes is the reason why there is no content."""


@dataclass(frozen=True)
class Works:
    """The works of `source` that `shard` holds. `join`: what parts of one work differ in; None: every file is a work.

    `without`: documents that are never read; those that came along are noted in `left_out`.
    """

    source: str
    join: str | None
    shard: Shard | None
    without: frozenset[str] = frozenset()
    left_out: set[str] = field(default_factory=set)

    def of(self, name: str) -> str:
        """The name of the work that a file belongs to."""
        if self.join is None:
            return name
        path = PurePosixPath(name)
        return path.with_name(re.sub(self.join, "", path.stem) + path.suffix).as_posix()

    def hold(self, name: str) -> bool:
        """Whether the shard reads a file."""
        document = document_id(self.source, self.of(name))
        if not holds(self.shard, document):
            return False
        if document in self.without:
            self.left_out.add(document)
            return False
        return True

    def order(self, name: str) -> tuple[str, str]:
        """Sorts names so that the parts of a work stand together, in the order of their names."""
        return self.of(name), name

    def gather(self, files: Iterator[File]) -> Iterator[tuple[str, list[File]]]:
        """(name, files) of each work, from files in `order`; holds one work at a time."""
        if self.join is None:
            yield from ((name, [(name, content)]) for name, content in files)
        else:
            yield from ((work, list(parts)) for work, parts in groupby(files, key=lambda file: self.of(file[0])))
