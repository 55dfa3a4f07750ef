"""Group files into works, and works into shards.

Both follow from a file's name, before a byte of it is read. All parts of a joined work are in one shard. A record in a file of records is
a work of its own, named path#record.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from data.documents.sharding import CorpusShard, document_id, in_shard

# Returns whether a file is read, by its name in the source and its path; None where it is not on this machine.
FileChoice = Callable[[str, Path | None], bool]


@dataclass(frozen=True)
class WorkGrouping:
    """The works of `source` in `shard`. `join`: pattern of what the names of one work's parts differ in; None: every file is a work.

    `excluded`: documents that are never read; the shard's own are noted in `excluded_here` as they are met.
    """

    source: str
    join: str | None
    shard: CorpusShard | None
    excluded: frozenset[str] = frozenset()
    excluded_here: set[str] = field(default_factory=set)

    def work_of(self, name: str) -> str:
        """Return the name of the work that a file belongs to."""
        if self.join is None:
            return name
        path = PurePosixPath(name)
        return path.with_name(re.sub(self.join, "", path.stem) + path.suffix).as_posix()

    def includes_file(self, name: str) -> bool:
        """Return whether the shard reads a file that is a document or a part of one."""
        return self.includes_work(self.work_of(name))

    def includes_place(self, work: str) -> bool:
        """Return whether the shard holds the work of this name, excluded or not."""
        return in_shard(self.shard, document_id(self.source, work))

    def includes_work(self, work: str) -> bool:
        """Return whether the shard reads the work of this name."""
        document = document_id(self.source, work)
        if not in_shard(self.shard, document):
            return False
        if document in self.excluded:
            self.excluded_here.add(document)
            return False
        return True
