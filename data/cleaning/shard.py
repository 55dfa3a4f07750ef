"""One round of the rules over a shard, in two passes: lines are repaired and words counted; then, with what the shard's words tell, lines
are joined and misread words mended.

Documents go through both passes a batch at a time. What a document becomes depends on itself and on the words of the whole shard, so the
size of a batch changes no byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.cleaning.config import CleanConfig
from data.cleaning.encoding import find_mojibake
from data.cleaning.rules import DIVISION, NUMERAL, PLACE, RULES, SQL, Rule
from data.documents.database import Workspace, parquet

VARIABLES = ("boilerplate_lines", "corrupted_share", "page_lines", "wrap_limit", "chapter_titles", "hyphenation", "unwrap", "ocr_known", "ocr_ratio")
# Counts of words are summed up when they have grown by half, so that batches don't pile up.
COUNTS = 1_000_000


@dataclass(frozen=True)
class Range:
    """Documents from number `first` to number `last`."""

    first: int
    last: int


class Shard:
    """The documents of a shard and how far their cleaning is. Everything lies in the workspace."""

    def __init__(self, work: Workspace, documents: Sequence[Path], config: CleanConfig, batch: int) -> None:
        self.work = work
        self.documents = documents
        self._config = config
        self._batch = batch
        self._least = max(config.minimum_characters, 1)
        self._summed: dict[str, float] = {}
        self.round = 0
        work.set(division=DIVISION, numeral=NUMERAL, **{name: getattr(config, name) for name in VARIABLES})
        self.script("tables.sql")
        self._run(
            f"""INSERT INTO state SELECT row_number() OVER (ORDER BY id), id, length(text), length(text), 0, 'pending', 0
            FROM {parquet(documents)}"""
        )

    def next_round(self) -> int:
        """Every rule once over every document that isn't settled; returns how many have to be looked at again."""
        self.round += 1
        self.work.set(round=self.round)
        ranges = list(self.ranges("fate = 'pending'", "size"))
        self._run("CREATE OR REPLACE TEMP TABLE counts (chunk VARCHAR, times BIGINT)")
        for number, part in enumerate(ranges):
            self._load(part, "fate = 'pending'")
            self._repair_lines()
            self._count("counts", "SELECT d FROM incoming")
            self._run(f"ALTER TABLE lines RENAME TO lines_{number}")
        self.script("lexicon.sql")
        if self._config.ocr:
            self.script("misread.sql")
            self._wake()
        for number, part in enumerate(ranges):
            self._load(part, "fate = 'pending'")
            self._run("DROP TABLE IF EXISTS lines")
            self._run(f"ALTER TABLE lines_{number} RENAME TO lines")
            self._join_lines()
        self._run("UPDATE state SET fate = 'pending' WHERE fate = 'woken'")
        # Where documents went, their words went with them, and what was learnt from those has to be learnt anew.
        return int(self.work.number(f"SELECT count(*) FROM state WHERE fate = 'pending' OR (fate = 'gone' AND gone_in = {self.round})"))

    def figures(self) -> dict[str, float]:
        """Counts of documents and characters, before and after, and of rounds."""
        kept = "FILTER (fate <> 'gone')"
        query = f"SELECT count(*), count(*) {kept}, sum(given), sum(size) {kept} FROM state"
        came, stayed, given, size = (float(str(value or 0)) for value in self.work.rows(query)[0])
        return {
            "documents_in": came,
            "documents": stayed,
            "removed": came - stayed,
            "characters_in": given,
            "characters": size,
            "rounds": float(self.round),
        }

    def given(self, part: Range) -> str:
        """SQL for the documents of a batch as they came, with the text left out."""
        first, last = self.work.rows(f"SELECT min(id), max(id) FROM state WHERE d BETWEEN {part.first} AND {part.last}")[0]
        return f"SELECT * EXCLUDE (text) FROM {parquet(self.documents)} WHERE id BETWEEN {_quoted(first)} AND {_quoted(last)}"

    def ranges(self, which: str, size: str) -> Iterator[Range]:
        """The documents for which SQL `which` holds, in batches whose lengths, SQL `size`, come to about a batch."""
        found = self.work.rows(
            f"""SELECT min(d), max(d) FROM (SELECT d, (sum({size}) OVER (ORDER BY d) - {size}) // {self._batch} AS part FROM state WHERE {which})
            GROUP BY part ORDER BY 1"""
        )
        return (Range(int(str(first)), int(str(last))) for first, last in found)

    def texts(self, part: Range, which: str) -> str:
        """SQL for d and text of the documents of a batch for which SQL `which` holds, as the last round left them."""
        mine = f"d BETWEEN {part.first} AND {part.last} AND ({which})"
        first, last = self.work.rows(f"SELECT min(id), max(id) FROM state WHERE {mine} AND round = 0")[0]
        return f"""SELECT d, text FROM (SELECT id, text FROM {parquet(self.documents)} WHERE id BETWEEN {_quoted(first)} AND {_quoted(last)})
            JOIN (SELECT d, id FROM state WHERE {mine} AND round = 0) USING (id)
            UNION ALL SELECT d, text FROM texts JOIN state USING (d, round) WHERE {mine}"""

    def _load(self, part: Range, which: str) -> None:
        self._run(f"CREATE OR REPLACE TEMP TABLE incoming AS {self.texts(part, which)}")

    def _repair_lines(self) -> None:
        """Documents (table incoming) to lines (table lines), with every rule that looks at one document alone."""
        self.script("split.sql")
        for rule in self._rules("repair"):
            if rule.name == "encoding":
                find_mojibake(self.work.connection)
            if self._edit(rule):
                self._run("UPDATE suspects SET line = e.line FROM edited e WHERE suspects.d = e.d AND suspects.n = e.n")
        self.script("repaired.sql")
        fresh = ""
        for rule in self._rules("line"):
            # Heads and numbers are found together, each by the other; numbers sought anew when the heads are gone would stand alone.
            if rule.evidence and fresh != rule.evidence and not (rule.kind == "page number" and self._config.running_heads):
                self.script(rule.evidence)
                fresh = rule.evidence
            if rule.kind:
                self.work.set(kind=rule.kind)
            if self._edit(rule):
                fresh = ""
                self._run("DELETE FROM lines USING edited e WHERE lines.d = e.d AND lines.n = e.n AND e.line IS NULL")
                self._run("UPDATE lines SET line = e.line FROM edited e WHERE lines.d = e.d AND lines.n = e.n")
                if rule.kind:
                    self.script("page_ends.sql")

    def _edit(self, rule: Rule) -> bool:
        """Lets a rule fill table edited; whether it did."""
        self._run(f"CREATE OR REPLACE TEMP TABLE edited AS {(SQL / rule.script).read_text('utf-8')}")
        touched = self.work.number("SELECT count(*) FROM edited") > 0
        if touched:
            self._book(rule.name)
        return touched

    def _book(self, rule: str, within: str = "0, 0") -> None:
        """Puts table edited into the account; `within`: SQL for the order of rows within a line."""
        place = PLACE[rule]
        self._run(
            f"""INSERT INTO ledger SELECT d, {place}, count(*), sum(characters), sum(length(before) - coalesce(length(line), 0))
            FROM edited WHERE characters > 0 GROUP BY d"""
        )
        self._run(f"INSERT INTO pieces SELECT d, {self.round}, {place}, n, {within}, before, line FROM edited WHERE characters > 0")

    def _count(self, table: str, counted: str) -> None:
        """Adds the words of the documents that SQL `counted` gives to a table of counts."""
        self._run(f"CREATE OR REPLACE TEMP TABLE counted AS {counted}")
        self._run(f"INSERT INTO {table} {(SQL / 'count.sql').read_text('utf-8')}")
        rows = self.work.number(f"SELECT count(*) FROM {table}")
        if rows > 1.5 * self._summed.get(table, 0.0) + COUNTS:
            self._run(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT chunk, sum(times)::BIGINT AS times FROM {table} GROUP BY chunk")
            self._summed[table] = self.work.number(f"SELECT count(*) FROM {table}")

    def _join_lines(self) -> None:
        """Lines (table lines) to documents; those that this changed get a new text, the others are settled."""
        self.script("join.sql")
        self._run(
            f"""INSERT INTO ledger
            SELECT d, {PLACE["hard wraps"]}, count(*), count(*), 0 FROM joints WHERE joint = 'space' GROUP BY d
            UNION ALL SELECT d, {PLACE["hyphenation"]}, count(*), count(*), count(b.n) FROM joints LEFT JOIN breaks b USING (d, n)
            WHERE joint = 'hyphen' GROUP BY d"""
        )
        if self._config.ocr and self.work.number("SELECT count(*) FROM corrections"):
            self.script("reread.sql")
            self._book("misread words", "place, inner_place")
        self.script("made.sql")
        self._run(f"INSERT INTO texts SELECT d, {self.round}, text FROM made WHERE changed")
        self._run(
            f"""UPDATE state SET size = length(m.text), round = CASE WHEN changed THEN {self.round} ELSE round END, gone_in = {self.round},
            fate = CASE WHEN length(m.text) < {self._least} THEN 'gone' WHEN changed THEN 'pending' ELSE 'settled' END
            FROM made m WHERE state.d = m.d"""
        )
        self._count("settled_counts", "SELECT d FROM incoming JOIN state USING (d) WHERE fate = 'settled'")

    def _wake(self) -> None:
        """Marks settled documents that hold a word which is misread by what the shard knows now."""
        kinds = self.work.rows("SELECT DISTINCT sure FROM corrections SEMI JOIN settled_counts USING (chunk)")
        if not kinds:
            return
        which = "fate = 'settled'" if (True,) in kinds else "fate = 'settled' AND d IN (FROM machine_read)"
        for part in list(self.ranges(which, "size")):
            self._load(part, which)
            self.script("woken.sql")
            self._run("UPDATE state SET fate = 'woken' FROM woken WHERE state.d = woken.d")
            self._run("CREATE OR REPLACE TEMP TABLE lines AS SELECT d, unnest(string_split(text, chr(10))) AS line FROM incoming")
            self._run("CREATE OR REPLACE TEMP TABLE counted AS SELECT d FROM woken")
            self._run(f"INSERT INTO settled_counts SELECT chunk, -times FROM ({(SQL / 'count.sql').read_text('utf-8')})")

    def _rules(self, phase: str) -> Iterator[Rule]:
        return (rule for rule in RULES if rule.phase == phase and rule.applies(self._config))

    def script(self, name: str) -> None:
        """Runs a file of sql/."""
        self.work.script(SQL / name)

    def _run(self, query: str) -> None:
        self.work.connection.execute(query)


def _quoted(value: object) -> str:
    return "NULL" if value is None else "'{}'".format(str(value).replace("'", "''"))
