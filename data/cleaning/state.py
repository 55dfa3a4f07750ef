"""The state of a shard's documents during cleaning: each one's progress and its text after the last round, in batches.

Everything is in temporary tables of the database (`sql/tables.sql`), which DuckDB spills; texts that no round has changed are read from the
input files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.cleaning.config import CleanConfig
from data.cleaning.rules import DIVISION, NUMERAL
from data.cleaning.sql import SQL
from data.documents.database import Database, parquet

VARIABLES = (
    "boilerplate_lines", "corrupted_share", "page_lines", "wrap_limit", "chapter_titles", "hyphenation", "unwrap", "ocr_known", "ocr_ratio",
    "roman_numbers", "notes",
)  # fmt: skip

UNTOUCHED = ("code", "ipynb")
"""Formats of programs, in which every space and character counts."""


@dataclass(frozen=True)
class DocumentRange:
    """The documents numbered `first` to `last`."""

    first: int
    last: int


class CleaningState:
    """The documents of a shard, numbered in the order of their ids."""

    def __init__(self, work: Database, documents: Sequence[Path], config: CleanConfig, batch: int) -> None:
        self.work = work
        self.config = config
        self.round = 0
        self.aggregated_rows: dict[str, float] = {}
        self._documents = parquet(documents)
        self._batch = batch
        work.set_variables(division=DIVISION, numeral=NUMERAL, **{name: getattr(config, name) for name in VARIABLES})
        # Temporary tables are read once or twice, so compressing them at a checkpoint costs more than spilling them.
        self.run("SET checkpoint_threshold = '1 TB'")
        self.run_file("tables.sql")
        least = max(config.minimum_characters, 1)
        self.run(
            f"""INSERT INTO state SELECT row_number() OVER (ORDER BY id), id, length(text), length(text), 0,
                CASE WHEN NOT list_has_any(string_split(coalesce(metadata->>'$.format', ''), '+'), {list(UNTOUCHED)}) THEN 'pending'
                    WHEN length(text) < {least} THEN 'removed' ELSE 'untouched' END, 0
            FROM {self._documents}"""
        )

    def run(self, query: str) -> None:
        """Run one SQL statement."""
        self.work.connection.execute(query)

    def run_file(self, name: str) -> None:
        """Run a file of sql/."""
        self.work.run_file(SQL / name)

    def spool(self, number: int) -> Path:
        """Return the file that holds the lines of a batch between the two passes of a round."""
        return self.work.folder / f"lines-{number}.parquet"

    def ranges(self, which: str) -> list[DocumentRange]:
        """Return the documents that match SQL `which`, in ranges of about one batch of characters."""
        found = self.work.rows(
            f"""SELECT min(d), max(d) FROM (
                SELECT d, (sum(size) OVER (ORDER BY d) - size) // {self._batch} AS part FROM state WHERE {which}
            ) GROUP BY part ORDER BY 1"""
        )
        return [DocumentRange(int(str(first)), int(str(last))) for first, last in found]

    def load(self, part: DocumentRange, which: str) -> None:
        """Fill table incoming with the documents of a range that match SQL `which`."""
        self.run(f"CREATE OR REPLACE TEMP TABLE incoming AS {self.texts(part, which)}")

    def texts(self, part: DocumentRange, which: str) -> str:
        """Return SQL for d and text, after the last round, of the documents of a range that match SQL `which`."""
        mine = f"d BETWEEN {part.first} AND {part.last} AND ({which})"
        return f"""SELECT d, text FROM ({self._input_rows("id, text", f"{mine} AND round = 0")})
            JOIN (SELECT d, id FROM state WHERE {mine} AND round = 0) USING (id)
            UNION ALL SELECT d, text FROM texts JOIN state USING (d, round) WHERE {mine}"""

    def other_columns(self, part: DocumentRange) -> str:
        """Return SQL for the input rows of a range, without the text."""
        return self._input_rows("* EXCLUDE (text)", f"d BETWEEN {part.first} AND {part.last}")

    def _input_rows(self, columns: str, which: str) -> str:
        """Return SQL for the input rows between the first and the last document that match SQL `which`, which reads few row groups."""
        first, last = self.work.rows(f"SELECT min(id), max(id) FROM state WHERE {which}")[0]
        return f"SELECT {columns} FROM {self._documents} WHERE id BETWEEN {_quoted(first)} AND {_quoted(last)}"

    def counts(self) -> dict[str, float]:
        """Return counts of documents and characters, before and after, and of rounds."""
        kept = "FILTER (fate <> 'removed')"
        query = f"SELECT count(*), count(*) {kept}, sum(size_in), sum(size) {kept} FROM state"
        documents_in, documents, characters_in, characters = (float(str(value or 0)) for value in self.work.rows(query)[0])
        counts = {"documents_in": documents_in, "documents": documents, "removed": documents_in - documents}
        counts |= {"characters_in": characters_in, "characters": characters}
        return counts | {"rounds": float(self.round)}


def _quoted(value: object) -> str:
    return "NULL" if value is None else "'{}'".format(str(value).replace("'", "''"))
