"""The works of a source: which files make one, and which of them a shard reads.

Guarantees: both are told by a file's name alone, before a byte of it is read; all parts of a joined work are in one shard. A record of a
file of records is a work of its own, called path#record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from data.documents.schema import document_id
from data.documents.sharding import CorpusShard, in_shard


@dataclass(frozen=True)
class Works:
    """The works of `source` that `shard` holds. `join`: what parts of one work differ in; None: every file is a work.

    `without`: documents that are never read; those that came along are noted in `left_out`.
    """

    source: str
    join: str | None
    shard: CorpusShard | None
    without: frozenset[str] = frozenset()
    left_out: set[str] = field(default_factory=set)

    def of(self, name: str) -> str:
        """The name of the work that a file belongs to."""
        if self.join is None:
            return name
        path = PurePosixPath(name)
        return path.with_name(re.sub(self.join, "", path.stem) + path.suffix).as_posix()

    def hold(self, name: str) -> bool:
        """Whether the shard reads a file that is a document or a part of one."""
        return self.hold_work(self.of(name))

    def hold_work(self, work: str) -> bool:
        """Whether the shard reads a work, by its own name."""
        document = document_id(self.source, work)
        if not in_shard(self.shard, document):
            return False
        if document in self.without:
            self.left_out.add(document)
            return False
        return True
