"""The documents of a shard while they are cleaned: where each stands, its text as the last round left it, and batches of them.

Everything lies in the workspace's temporary tables (`sql/tables.sql`), which DuckDB spills; texts that no round has changed yet stay in
the files they came in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.cleaning.config import CleanConfig
from data.cleaning.rules import DIVISION, NUMERAL, SQL
from data.documents.database import Database, parquet

VARIABLES = (
    "boilerplate_lines", "corrupted_share", "page_lines", "wrap_limit", "chapter_titles", "hyphenation", "unwrap", "ocr_known", "ocr_ratio",
)  # fmt: skip


@dataclass(frozen=True)
class Range:
    """Documents from number `first` to number `last`."""

    first: int
    last: int


class CleaningState:
    """Documents numbered in the order of their ids."""

    def __init__(self, work: Database, documents: Sequence[Path], config: CleanConfig, batch: int) -> None:
        self.work = work
        self.config = config
        self.round = 0
        self.summed: dict[str, float] = {}
        self._documents = parquet(documents)
        self._batch = batch
        work.set_variables(division=DIVISION, numeral=NUMERAL, **{name: getattr(config, name) for name in VARIABLES})
        # Temporary tables are read once or twice: to compress them at a checkpoint costs more than to spill them.
        self.run("SET checkpoint_threshold = '1 TB'")
        self.script("tables.sql")
        self.run(
            f"""INSERT INTO state SELECT row_number() OVER (ORDER BY id), id, length(text), length(text), 0, 'pending', 0
            FROM {self._documents}"""
        )

    def run(self, query: str) -> None:
        """Runs one statement."""
        self.work.connection.execute(query)

    def script(self, name: str) -> None:
        """Runs a file of sql/."""
        self.work.run_file(SQL / name)

    def spool(self, number: int) -> Path:
        """Where the lines of a batch wait between the two passes of a round."""
        return self.work.folder / f"lines-{number}.parquet"

    def ranges(self, which: str) -> list[Range]:
        """The documents for which SQL `which` holds, in batches whose texts come to about a batch's size."""
        found = self.work.rows(
            f"""SELECT min(d), max(d) FROM (
                SELECT d, (sum(size) OVER (ORDER BY d) - size) // {self._batch} AS part FROM state WHERE {which}
            ) GROUP BY part ORDER BY 1"""
        )
        return [Range(int(str(first)), int(str(last))) for first, last in found]

    def load(self, part: Range, which: str) -> None:
        """Fills table incoming with the documents of a batch for which SQL `which` holds."""
        self.run(f"CREATE OR REPLACE TEMP TABLE incoming AS {self.texts(part, which)}")

    def texts(self, part: Range, which: str) -> str:
        """SQL for d and text of the documents of a batch for which SQL `which` holds, as the last round left them."""
        mine = f"d BETWEEN {part.first} AND {part.last} AND ({which})"
        return f"""SELECT d, text FROM ({self._given("id, text", f"{mine} AND round = 0")})
            JOIN (SELECT d, id FROM state WHERE {mine} AND round = 0) USING (id)
            UNION ALL SELECT d, text FROM texts JOIN state USING (d, round) WHERE {mine}"""

    def others(self, part: Range) -> str:
        """SQL for the documents of a batch as they came, with the text left out."""
        return self._given("* EXCLUDE (text)", f"d BETWEEN {part.first} AND {part.last}")

    def _given(self, columns: str, which: str) -> str:
        """SQL that reads the row groups of the input that hold documents for which SQL `which` holds, and more."""
        first, last = self.work.rows(f"SELECT min(id), max(id) FROM state WHERE {which}")[0]
        return f"SELECT {columns} FROM {self._documents} WHERE id BETWEEN {_quoted(first)} AND {_quoted(last)}"

    def figures(self) -> dict[str, float]:
        """Counts of documents and characters, before and after, and of rounds."""
        kept = "FILTER (fate <> 'gone')"
        query = f"SELECT count(*), count(*) {kept}, sum(given), sum(size) {kept} FROM state"
        came, stayed, given, size = (float(str(value or 0)) for value in self.work.rows(query)[0])
        counts = {"documents_in": came, "documents": stayed, "removed": came - stayed, "characters_in": given, "characters": size}
        return counts | {"rounds": float(self.round)}


def _quoted(value: object) -> str:
    return "NULL" if value is None else "'{}'".format(str(value).replace("'", "''"))
