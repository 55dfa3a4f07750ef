"""One round of the rules over a shard, in two passes: lines are repaired and words counted; then, using the words of the whole shard, lines
are joined and misread words corrected.

Documents go through both passes in batches. The result for a document depends on itself and on the words of the shard, so the batch size
changes no byte. A round processes only documents that the previous round changed, and settled ones with a word that has since been found
to be misread.

Mojibake, text that was decoded with the wrong encoding, repaired with ftfy; and HTML entities left over from web pages.

Only lines that look like mojibake or contain an entity are changed, and only if ftfy finds the decoding that explains them, or HTML defines
the entity; repairing a repaired line changes nothing. SQL finds the few suspicious lines, Python repairs each distinct one once (about
30,000 a second), and SQL applies the repairs. This is the one rule that SQL can't express.

The state of a shard's documents during cleaning: each one's progress and its text after the last round, in batches.

Everything is in temporary tables of the database (`sql/tables.sql`), which DuckDB spills; texts that no round has changed are read from the
input files.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from data.cleaning.config import CleanConfig
from data.cleaning.rules import DIVISION, NAMED_NOTICE, NUMERAL, RULE_NUMBER, RULES, Rule
from data.cleaning.shapes import find_blocks
from data.cleaning.sql import SQL
from data.cleaning.word_model import find_misread_words
from data.documents.database import Database, parquet

ENTITY = "&(?:#[0-9]{2,5}|[A-Za-z]{2,8});"
# What the first byte of a UTF-8 sequence looks like in Latin-1 or Windows-1252, followed by what its continuation bytes look like.
SUSPICIOUS = (
    "[\u00c2-\u00f4\u0102\u0103\u0110\u0111\u0160\u0161][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc"
    "\u2013\u2014\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]|[\u00c3\u00c2][ ]|\u00ef\u00bf\u00bd|"
) + ENTITY
MAX_REPAIRS = 4


def find_mojibake(connection: duckdb.DuckDBPyConnection) -> None:
    """Fill table mojibake (line, repaired) with the distinct lines of table suspects that can be repaired."""
    import pyarrow as pa

    connection.execute("CREATE OR REPLACE TEMP TABLE mojibake (line VARCHAR, repaired VARCHAR)")
    suspicious = connection.execute("SELECT DISTINCT line FROM suspects WHERE regexp_matches(line, ?)", [SUSPICIOUS]).fetchall()
    pairs = [(line, repair(line)) for (line,) in suspicious]
    changed = [pair for pair in pairs if pair[0] != pair[1]]
    if changed:
        repaired = pa.table({"line": [a for a, _ in changed], "repaired": [b for _, b in changed]})
        connection.register("repaired", repaired)
        connection.execute("INSERT INTO mojibake SELECT line, repaired FROM repaired")
        connection.unregister("repaired")


def repair(line: str) -> str:
    """Undo up to four successive wrong decodings of a line; a correct line is returned unchanged."""
    import ftfy

    for _ in range(MAX_REPAIRS):
        better = re.sub(ENTITY, lambda match: html.unescape(match.group()), ftfy.fix_encoding(line))
        if better == line or "\n" in better:
            break
        line = better
    return line


VARIABLES = (
    "boilerplate_lines", "corrupted_share", "page_lines", "wrap_limit", "chapter_titles", "hyphenation", "unwrap", "ocr_known", "ocr_ratio",
    "roman_numbers", "notes",
)  # fmt: skip

UNTOUCHED = ("code", "ipynb")  # formats of programs, in which every space and character counts


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
        work.set_variables(
            division=DIVISION, numeral=NUMERAL, named_notice=NAMED_NOTICE, **{name: getattr(config, name) for name in VARIABLES}
        )
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


# Word counts are aggregated whenever they have grown by half plus this many rows, so rows of many batches don't pile up.
COUNT_ROWS = 1_000_000
PENDING = "fate = 'pending'"


def run_round(state: CleaningState) -> int:
    """Apply every rule once to every document that isn't settled; return how many documents need another round."""
    state.round += 1
    ranges = state.ranges(PENDING)
    state.run("CREATE OR REPLACE TEMP TABLE counts (chunk VARCHAR, times BIGINT)")
    for number, part in enumerate(ranges):
        state.load(part, PENDING)
        _repair_lines(state)
        _count(state, "counts", "SELECT d FROM incoming")
        # A Parquet file is written and read in order; DuckDB would spill a table of many batches block by block.
        state.run(f"COPY lines TO '{state.spool(number)}' (FORMAT parquet, COMPRESSION lz4_raw)")
    state.run_file("lexicon.sql")
    if state.config.ocr:
        state.run_file("misread_words.sql")
        if state.config.ocr_words:
            find_misread_words(state.work.connection)
        state.run_file("corrections.sql")
        _reopen(state)
    for number, part in enumerate(ranges):
        state.load(part, PENDING)
        state.run(f"CREATE OR REPLACE TEMP TABLE lines AS FROM {parquet([state.spool(number)])}")
        state.spool(number).unlink()
        _join_lines(state)
    state.run("UPDATE state SET fate = 'pending' WHERE fate = 'reopened'")
    # The words of removed documents don't count any more, which can change the corrections, so another round is needed for them too.
    return int(state.work.number(f"SELECT count(*) FROM state WHERE {PENDING} OR (fate = 'removed' AND seen = {state.round})"))


def _repair_lines(state: CleaningState) -> None:
    """Split documents (table incoming) into lines (table lines), and apply every rule that needs one document alone."""
    any_blocks = _split_lines(state)
    state.run("CREATE OR REPLACE TEMP TABLE suspects AS SELECT d, n, line FROM lines WHERE odd")
    for rule in _rules(state, "repair"):
        if rule.name == "encoding":
            find_mojibake(state.work.connection)
        if _edit(state, rule):
            # DuckDB 2.0 sometimes takes seconds to update a few thousand strings; creating a new table is instant.
            state.run(
                """CREATE OR REPLACE TEMP TABLE suspects AS
                SELECT s.d, s.n, coalesce(e.line, s.line) AS line FROM suspects s LEFT JOIN edited e USING (d, n)"""
            )
    state.run_file("repaired_lines.sql")
    if any_blocks:
        state.run("CREATE OR REPLACE TEMP TABLE apart AS FROM lines WHERE block")
        state.run("DELETE FROM lines WHERE block")
    state.run("DELETE FROM furniture")
    stale = "SELECT d FROM incoming"
    rules = list(_rules(state, "line"))
    for rule in rules:
        # Running heads and page numbers are found together, each by the other, so they are found before either is removed.
        if rule.needs_pages and stale:
            state.run(f"CREATE OR REPLACE TEMP TABLE stale AS {stale}")
            state.run_file("pages.sql")
            stale = ""
        if rule.kind:
            state.work.set_variables(kind=rule.kind)
        any_edits = _edit(state, rule)
        if rule.moves:
            state.run_file("notes_apart.sql")
        if any_edits:
            if rule.needs_pages and not rule.kind:
                state.run("CREATE OR REPLACE TEMP TABLE thinned AS SELECT DISTINCT d FROM edited")
                stale = "FROM thinned"
            state.run("DELETE FROM lines USING edited e WHERE lines.d = e.d AND lines.n = e.n AND e.line IS NULL")
            state.run("UPDATE lines SET line = e.line FROM edited e WHERE lines.d = e.d AND lines.n = e.n")
            if rule.kind:
                state.run_file("page_ends.sql")
    if any_blocks:
        state.run("INSERT INTO lines FROM apart")
    if any(rule.moves for rule in rules):
        state.run_file("notes_behind.sql")


def _split_lines(state: CleaningState) -> bool:
    """Fill table lines from table incoming, a block in which every space counts on one; return whether there are such."""
    state.run_file("split_lines.sql")
    any_blocks = find_blocks(state.work.connection)
    if any_blocks:
        state.run_file("set_apart.sql")
    return any_blocks


def _edit(state: CleaningState, rule: Rule) -> bool:
    """Fill table edited by a rule and account for it; return whether it edited anything."""
    state.run(f"CREATE OR REPLACE TEMP TABLE edited AS {rule.script.read_text('utf-8')}")
    any_edits = state.work.number("SELECT count(*) FROM edited") > 0
    if any_edits:
        _record(state, rule.name)
    return any_edits


def _record(state: CleaningState, rule: str, within: str = "0, 0") -> None:
    """Add table edited to the account; `within` is SQL for the order of rows within a line."""
    state.run(
        f"""INSERT INTO ledger SELECT d, {RULE_NUMBER[rule]}, count(*), sum(characters), sum(length(before) - coalesce(length(line), 0))
        FROM edited WHERE characters > 0 GROUP BY d"""
    )
    state.run(f"INSERT INTO edits SELECT d, {state.round}, {RULE_NUMBER[rule]}, n, {within}, before, line FROM edited WHERE characters > 0")


def _count(state: CleaningState, table: str, counted: str) -> None:
    """Add the words of the documents that SQL `counted` selects to a table of counts."""
    state.run(f"CREATE OR REPLACE TEMP TABLE counted AS {counted}")
    state.run(f"INSERT INTO {table} {_count_query()}")
    if state.work.number(f"SELECT count(*) FROM {table}") > state.aggregated_rows.get(table, 0.0) * 1.5 + COUNT_ROWS:
        state.run(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT chunk, sum(times)::BIGINT AS times FROM {table} GROUP BY chunk")
        state.aggregated_rows[table] = state.work.number(f"SELECT count(*) FROM {table}")


def _join_lines(state: CleaningState) -> None:
    """Join lines (table lines) into documents; those that change get a new text, the others are settled."""
    state.run_file("join_lines.sql")
    state.run("CREATE OR REPLACE TEMP TABLE rewritten (d INTEGER, n INTEGER, line VARCHAR)")
    state.run(
        f"""INSERT INTO ledger
        SELECT d, {RULE_NUMBER["hard wraps"]}, count(*), count(*), 0 FROM joints WHERE joint IN ('space', 'bare') GROUP BY d
        UNION ALL SELECT d, {RULE_NUMBER["hyphenation"]}, count(*), count(*), count(b.n) FROM joints LEFT JOIN breaks b USING (d, n)
        WHERE joint = 'hyphen' GROUP BY d"""
    )
    if state.config.ocr and state.work.number("SELECT count(*) FROM corrections"):
        if state.config.ocr_words:
            state.run_file("modelled_documents.sql")
        state.run_file("correct_words.sql")
        _record(state, "misread words", "place, inner_place")
    state.run_file("rebuilt.sql")
    state.run(f"INSERT INTO texts SELECT d, {state.round}, text FROM rebuilt WHERE changed")
    least = max(state.config.minimum_characters, 1)
    state.run(
        f"""UPDATE state SET size = length(m.text), seen = {state.round}, round = CASE WHEN changed THEN {state.round} ELSE round END,
        fate = CASE WHEN length(m.text) < {least} THEN 'removed' WHEN changed THEN 'pending' ELSE 'settled' END
        FROM rebuilt m WHERE state.d = m.d"""
    )
    _count(state, "settled_counts", "SELECT d FROM incoming JOIN state USING (d) WHERE fate = 'settled'")


def _reopen(state: CleaningState) -> None:
    """Reopen settled documents with a word that has since been found to be misread."""
    certainties = state.work.rows("SELECT DISTINCT sure FROM corrections SEMI JOIN settled_counts USING (chunk)")
    if not certainties:
        return
    which = "fate = 'settled'" if (True,) in certainties else "fate = 'settled' AND d IN (FROM machine_read)"
    for part in state.ranges(which):
        state.load(part, which)
        _split_lines(state)
        state.run_file("reopened.sql")
        state.run("UPDATE state SET fate = 'reopened' FROM reopened WHERE state.d = reopened.d")
        state.run("CREATE OR REPLACE TEMP TABLE counted AS SELECT d FROM reopened")
        state.run(f"INSERT INTO settled_counts SELECT chunk, -times FROM ({_count_query()})")


def _count_query() -> str:
    return (SQL / "count_words.sql").read_text("utf-8")


def _rules(state: CleaningState, phase: str) -> Iterator[Rule]:
    return (rule for rule in RULES if rule.phase == phase and rule.is_enabled(state.config))
