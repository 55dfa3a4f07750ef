"""The tables of what rules removed from the documents of a run: which there are, how many rows each has, where they are, what is in them.

Row counts come from the files' footers; of the files that are opened only the first rows are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from data.provenance.edits import EDITS_FILE, is_edit_file
from data.provenance.tables import count_rows, first_rows
from tasks.lineage.corpus_run import CorpusRun
from tasks.stage.store.artifact import Artifact
from tasks.stage.system.nearest import did_you_mean


@dataclass(frozen=True)
class RemovedTable:
    """What one rule of a stage removed: (artifact, file, rows) for every shard in which it removed something."""

    stage: str
    rule: str
    files: tuple[tuple[Artifact, str, int], ...]

    @property
    def rows(self) -> int:
        """How many passages it removed, in all shards."""
        return sum(rows for _, _, rows in self.files)

    def paths(self, root: str) -> list[str]:
        """Return where its files are, below the root of the store."""
        return [f"{root}/{artifact.files_at}/{file}" for artifact, file, _ in self.files]


def removed_tables(corpus: CorpusRun) -> list[RemovedTable]:
    """Return every table of a run that has rows, by stage in the order of the flow, then by rule."""
    found: dict[tuple[str, str], list[tuple[Artifact, str, int]]] = {}
    for stage, artifacts in corpus.stages.items():
        for artifact in artifacts:
            for file in sorted(known.path for known in artifact.files if is_edit_file(known.path) and known.path != EDITS_FILE):
                rows = corpus.read(artifact, file, count_rows)
                found.setdefault((stage, PurePosixPath(file).stem), []).append((artifact, file, rows))
    order = list(corpus.stages)
    names = sorted(found, key=lambda name: (order.index(name[0]), name[1]))
    return [RemovedTable(*name, tuple(found[name])) for name in names if sum(rows for _, _, rows in found[name])]


def tables_of_rule(corpus: CorpusRun, rule: str) -> list[RemovedTable]:
    """Return the tables of a rule, given as `rule` or `stage/rule`. Raise LookupError naming the rules that removed something."""
    tables = removed_tables(corpus)
    wanted = rule.strip().replace(" ", "_").casefold()
    found = [table for table in tables if wanted in (table.rule.casefold(), f"{table.stage}/{table.rule}".casefold())]
    if not found:
        hint = did_you_mean(wanted, [table.rule for table in tables]) or "."
        listed = ", ".join(f"{table.stage}/{table.rule} ({table.rows:,})" for table in tables) or "none"
        raise LookupError(
            f"No rule {rule!r} removed anything in the corpus of {corpus.description}{hint} Rules that did: {listed}. "
            "What a rule replaced in place is shown document by document: folio corpus show DOCUMENT --rule NAME"
        )
    return found


def read_rows(corpus: CorpusRun, table: RemovedTable, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the first rows of a table, through its shards in order: id, place, text, detail."""
    for artifact, file, rows in table.files:
        if limit <= 0:
            return
        yield from corpus.read(artifact, file, partial(first_rows, most=limit))
        limit -= rows
