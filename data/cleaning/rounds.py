"""One round of the rules over a shard, in two passes: lines are repaired and words counted; then, with what the shard's words tell, lines
are joined and misread words mended.

Guarantee: documents go through both passes a batch at a time, and what a document becomes depends on itself and on the words of the whole
shard: the size of a batch changes no byte. A round looks only at documents that the round before changed, and at those that hold a word
of which the shard has learnt since that it is misread.
"""

from __future__ import annotations

from collections.abc import Iterator

from data.cleaning.encoding import find_mojibake
from data.cleaning.rules import RULE_NUMBER, RULES, SQL, Rule
from data.cleaning.state import CleaningState
from data.documents.database import parquet

# Counts of words are summed up when they have grown by half and this many rows, so that those of many batches don't pile up.
COUNTS = 1_000_000
PENDING = "fate = 'pending'"


def next_round(shard: CleaningState) -> int:
    """Every rule once over every document that isn't settled; returns how many documents are to be seen again."""
    shard.round += 1
    ranges = shard.ranges(PENDING)
    shard.run("CREATE OR REPLACE TEMP TABLE counts (chunk VARCHAR, times BIGINT)")
    for number, part in enumerate(ranges):
        shard.load(part, PENDING)
        _repair_lines(shard)
        _count(shard, "counts", "SELECT d FROM incoming")
        # Files are read and written in order; tables of many batches would be spilled block by block.
        shard.run(f"COPY lines TO '{shard.spool(number)}' (FORMAT parquet, COMPRESSION lz4_raw)")
    shard.script("lexicon.sql")
    if shard.config.ocr:
        shard.script("misread_words.sql")
        _wake(shard)
    for number, part in enumerate(ranges):
        shard.load(part, PENDING)
        shard.run(f"CREATE OR REPLACE TEMP TABLE lines AS FROM {parquet([shard.spool(number)])}")
        shard.spool(number).unlink()
        _join_lines(shard)
    shard.run("UPDATE state SET fate = 'pending' WHERE fate = 'woken'")
    # Where documents went, their words went with them, and what was learnt from those has to be learnt anew.
    return int(shard.work.number(f"SELECT count(*) FROM state WHERE {PENDING} OR (fate = 'gone' AND seen = {shard.round})"))


def _repair_lines(shard: CleaningState) -> None:
    """Documents (table incoming) to lines (table lines), with every rule that looks at one document alone."""
    shard.script("split_lines.sql")
    for rule in _rules(shard, "repair"):
        if rule.name == "encoding":
            find_mojibake(shard.work.connection)
        if _edit(shard, rule):
            # DuckDB 2.0 now and then takes seconds to update a few thousand strings; a new table takes none.
            shard.run(
                """CREATE OR REPLACE TEMP TABLE suspects AS
                SELECT s.d, s.n, coalesce(e.line, s.line) AS line FROM suspects s LEFT JOIN edited e USING (d, n)"""
            )
    shard.script("repaired_lines.sql")
    shard.run("DELETE FROM furniture")
    stale = "SELECT d FROM incoming"
    for rule in _rules(shard, "line"):
        # Heads and numbers are found together, each by the other; numbers sought anew when the heads are gone would stand alone.
        if rule.paged and stale:
            shard.run(f"CREATE OR REPLACE TEMP TABLE stale AS {stale}")
            shard.script("pages.sql")
            stale = ""
        if rule.kind:
            shard.work.set_variables(kind=rule.kind)
        if _edit(shard, rule):
            if rule.paged and not rule.kind:
                shard.run("CREATE OR REPLACE TEMP TABLE thinned AS SELECT DISTINCT d FROM edited")
                stale = "FROM thinned"
            shard.run("DELETE FROM lines USING edited e WHERE lines.d = e.d AND lines.n = e.n AND e.line IS NULL")
            shard.run("UPDATE lines SET line = e.line FROM edited e WHERE lines.d = e.d AND lines.n = e.n")
            if rule.kind:
                shard.script("page_ends.sql")


def _edit(shard: CleaningState, rule: Rule) -> bool:
    """Lets a rule fill table edited and accounts for it; whether it found anything."""
    shard.run(f"CREATE OR REPLACE TEMP TABLE edited AS {rule.script.read_text('utf-8')}")
    touched = shard.work.number("SELECT count(*) FROM edited") > 0
    if touched:
        _book(shard, rule.name)
    return touched


def _book(shard: CleaningState, rule: str, within: str = "0, 0") -> None:
    """Puts table edited into the account; `within`: SQL for the order of rows within a line."""
    shard.run(
        f"""INSERT INTO ledger SELECT d, {RULE_NUMBER[rule]}, count(*), sum(characters), sum(length(before) - coalesce(length(line), 0))
        FROM edited WHERE characters > 0 GROUP BY d"""
    )
    shard.run(
        f"INSERT INTO pieces SELECT d, {shard.round}, {RULE_NUMBER[rule]}, n, {within}, before, line FROM edited WHERE characters > 0"
    )


def _count(shard: CleaningState, table: str, counted: str) -> None:
    """Adds the words of the documents that SQL `counted` gives to a table of counts."""
    shard.run(f"CREATE OR REPLACE TEMP TABLE counted AS {counted}")
    shard.run(f"INSERT INTO {table} {_count_query()}")
    if shard.work.number(f"SELECT count(*) FROM {table}") > shard.summed.get(table, 0.0) * 1.5 + COUNTS:
        shard.run(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT chunk, sum(times)::BIGINT AS times FROM {table} GROUP BY chunk")
        shard.summed[table] = shard.work.number(f"SELECT count(*) FROM {table}")


def _join_lines(shard: CleaningState) -> None:
    """Lines (table lines) to documents; those that this changes get a new text, the others are settled."""
    shard.script("join_lines.sql")
    shard.run("CREATE OR REPLACE TEMP TABLE rewritten (d INTEGER, n INTEGER, line VARCHAR)")
    shard.run(
        f"""INSERT INTO ledger
        SELECT d, {RULE_NUMBER["hard wraps"]}, count(*), count(*), 0 FROM joints WHERE joint = 'space' GROUP BY d
        UNION ALL SELECT d, {RULE_NUMBER["hyphenation"]}, count(*), count(*), count(b.n) FROM joints LEFT JOIN breaks b USING (d, n)
        WHERE joint = 'hyphen' GROUP BY d"""
    )
    if shard.config.ocr and shard.work.number("SELECT count(*) FROM corrections"):
        shard.script("correct_words.sql")
        _book(shard, "misread words", "place, inner_place")
    shard.script("rebuilt.sql")
    shard.run(f"INSERT INTO texts SELECT d, {shard.round}, text FROM made WHERE changed")
    least = max(shard.config.minimum_characters, 1)
    shard.run(
        f"""UPDATE state SET size = length(m.text), seen = {shard.round}, round = CASE WHEN changed THEN {shard.round} ELSE round END,
        fate = CASE WHEN length(m.text) < {least} THEN 'gone' WHEN changed THEN 'pending' ELSE 'settled' END
        FROM made m WHERE state.d = m.d"""
    )
    _count(shard, "settled_counts", "SELECT d FROM incoming JOIN state USING (d) WHERE fate = 'settled'")


def _wake(shard: CleaningState) -> None:
    """Marks settled documents that hold a word which is misread by what the shard knows now."""
    kinds = shard.work.rows("SELECT DISTINCT sure FROM corrections SEMI JOIN settled_counts USING (chunk)")
    if not kinds:
        return
    which = "fate = 'settled'" if (True,) in kinds else "fate = 'settled' AND d IN (FROM machine_read)"
    for part in shard.ranges(which):
        shard.load(part, which)
        shard.script("reopened.sql")
        shard.run("UPDATE state SET fate = 'woken' FROM woken WHERE state.d = woken.d")
        shard.run("CREATE OR REPLACE TEMP TABLE lines AS SELECT d, unnest(string_split(text, chr(10))) AS line FROM incoming")
        shard.run("CREATE OR REPLACE TEMP TABLE counted AS SELECT d FROM woken")
        shard.run(f"INSERT INTO settled_counts SELECT chunk, -times FROM ({_count_query()})")


def _count_query() -> str:
    return (SQL / "count_words.sql").read_text("utf-8")


def _rules(shard: CleaningState, phase: str) -> Iterator[Rule]:
    return (rule for rule in RULES if rule.phase == phase and rule.applies(shard.config))
