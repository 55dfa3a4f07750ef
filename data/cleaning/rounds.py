"""One round of the rules over a shard, in two passes: lines are repaired and words counted; then, using the words of the whole shard, lines
are joined and misread words corrected.

Documents go through both passes in batches. The result for a document depends on itself and on the words of the shard, so the batch size
changes no byte. A round processes only documents that the previous round changed, and settled ones with a word that has since been found
to be misread.
"""

from __future__ import annotations

from collections.abc import Iterator

from data.cleaning.encoding import find_mojibake
from data.cleaning.rules import RULE_NUMBER, RULES, Rule
from data.cleaning.sql import SQL
from data.cleaning.state import CleaningState
from data.cleaning.word_model import find_misread_words
from data.documents.database import parquet

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
    state.run_file("split_lines.sql")
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
    if any(rule.moves for rule in rules):
        state.run_file("notes_behind.sql")


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
        SELECT d, {RULE_NUMBER["hard wraps"]}, count(*), count(*), 0 FROM joints WHERE joint = 'space' GROUP BY d
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
        state.run_file("reopened.sql")
        state.run("UPDATE state SET fate = 'reopened' FROM reopened WHERE state.d = reopened.d")
        state.run("CREATE OR REPLACE TEMP TABLE lines AS SELECT d, unnest(string_split(text, chr(10))) AS line FROM incoming")
        state.run("CREATE OR REPLACE TEMP TABLE counted AS SELECT d FROM reopened")
        state.run(f"INSERT INTO settled_counts SELECT chunk, -times FROM ({_count_query()})")


def _count_query() -> str:
    return (SQL / "count_words.sql").read_text("utf-8")


def _rules(state: CleaningState, phase: str) -> Iterator[Rule]:
    return (rule for rule in RULES if rule.phase == phase and rule.is_enabled(state.config))
