"""Cleans the documents of a shard: every rule in order, over and over until nothing changes, with an account of every piece.

Guarantees:
- The output is a fixed point: cleaning it again with the same configuration changes nothing (up to `rounds` rounds;
  real corpora settle in three). Threads, memory and scratch space never change a byte.
- What a document becomes depends on those of its shard alone: words are learnt from them. An empty shard gives empty files.
- Every document comes out, or stands in the ledger as removed with its rule.
Costs: about 0.2 s a round and megabyte on one core, and 0.3 s a shard. DuckDB works within `memory` and spills to `scratch`; texts are read
from and written to Parquet a group of rows at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb

from data.cleaning.config import CleanConfig
from data.cleaning.encoding import find_mojibake
from data.cleaning.rules import line_rules, script
from data.documents.schema import DOCUMENTS, LEDGER, write_rows

Progress = Callable[[int, int, str], None]
PASSED_ON = (
    "boilerplate_lines",
    "corrupted_share",
    "page_lines",
    "wrap_limit",
    "hyphenation",
    "unwrap",
    "ocr_known",
    "ocr_ratio",
    "minimum_characters",
)


def unheard(done: int, total: int, note: str) -> None:
    """Progress that nobody asked for."""


def clean(
    documents: Path, output: Path, config: CleanConfig, *, threads: int, memory: str, scratch: Path, progress: Progress = unheard
) -> dict[str, float]:
    """Writes documents.parquet and ledger.parquet into `output` from the Parquet file `documents`.

    `memory`: DuckDB's limit, such as "2GB". `scratch`: where it may spill; created when missing. `progress` is told after
    each round: rounds done, the most there may be, and how many documents the round changed.
    Returns documents_in, documents, removed (documents), characters_in, characters, rounds, and `pieces_<rule>` for each rule.
    Raises duckdb.Error where the input is no documents.parquet."""
    output.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": threads, "memory_limit": memory, "temp_directory": str(scratch), "preserve_insertion_order": False,
    }  # fmt: skip
    with duckdb.connect(":memory:", config=settings) as connection:
        _prepare(connection, documents, config)
        rounds, changed = 0, True
        while rounds < config.rounds and changed:
            rounds += 1
            _round(connection, config)
            count = _changed(connection)
            changed = count > 0
            progress(rounds if changed else config.rounds, config.rounds, f"rounds at most, {count} documents changed in the last")
        return _write(connection, output, config) | {"rounds": float(rounds)}


def _prepare(connection: duckdb.DuckDBPyConnection, documents: Path, config: CleanConfig) -> None:
    for name in PASSED_ON:
        connection.execute(f"SET VARIABLE {name} = {getattr(config, name)!r}")
    connection.execute(
        "CREATE TABLE given AS SELECT row_number() OVER (ORDER BY id)::INTEGER AS d, * FROM read_parquet(?)", [str(documents)]
    )
    connection.execute("CREATE TABLE documents AS SELECT d, text FROM given")
    connection.execute("CREATE TABLE lines (d INTEGER, n INTEGER, line VARCHAR, page BOOLEAN)")
    connection.execute("CREATE TABLE printed (d INTEGER, n INTEGER, size BIGINT)")
    connection.execute("CREATE TABLE pending AS SELECT d FROM documents")
    connection.execute("CREATE TABLE ledger (d INTEGER, rule VARCHAR, action VARCHAR, pieces BIGINT, characters BIGINT, net BIGINT)")


def _line_rules(connection: duckdb.DuckDBPyConnection, config: CleanConfig) -> None:
    """Fills table lines. A document that the round before left alone keeps its lines: these rules see one document at a time."""
    for name in ("lines", "printed"):
        connection.execute(f"CREATE OR REPLACE TABLE settled_{name} AS SELECT * FROM {name} WHERE d NOT IN (FROM pending)")
    connection.execute(script("lines.sql"))
    ready: set[str] = set()
    for rule in line_rules(config):
        if not rule.applies:
            continue
        if rule.script == "encoding.sql":
            find_mojibake(connection)
        for name in rule.before:
            if name not in ready:
                connection.execute(script(name))
            ready.add(name)
        for name, value in rule.variables.items():
            connection.execute(f"SET VARIABLE {name} = '{value}'")
        connection.execute(f"CREATE OR REPLACE TABLE edited AS {script(rule.script)}")
        touched = connection.execute(
            """INSERT INTO ledger
            SELECT d, ?, ?, a.pieces, a.characters, b.size - a.size
            FROM (
                SELECT d, sum(pieces) AS pieces, sum(characters) AS characters, coalesce(sum(length(line)), 0) AS size
                FROM edited GROUP BY d
            ) a
            JOIN (SELECT d, sum(length(line)) AS size FROM lines GROUP BY d) b USING (d) WHERE a.pieces > 0""",
            [rule.name, rule.action],
        ).fetchone()
        if touched and touched[0]:
            ready.clear()
        connection.execute("CREATE OR REPLACE TABLE lines AS SELECT d, n, line, page FROM edited WHERE line IS NOT NULL")
    for name in ("lines", "printed"):
        connection.execute(f"INSERT INTO {name} FROM settled_{name}")


def _round(connection: duckdb.DuckDBPyConnection, config: CleanConfig) -> None:
    """Every rule once: documents to lines, lines to blocks, blocks to documents."""
    _line_rules(connection, config)
    connection.execute(script("lexicon.sql"))
    connection.execute(script("join.sql"))
    connection.execute(
        """INSERT INTO ledger
        SELECT d, 'hyphenation', 'changed', sum(hyphens), sum(hyphens), sum(dropped) FROM blocks GROUP BY d HAVING sum(hyphens) > 0
        UNION ALL SELECT d, 'hard wraps', 'changed', sum(spaces), sum(spaces), 0 FROM blocks GROUP BY d HAVING sum(spaces) > 0"""
    )
    if config.ocr:
        connection.execute(script("misread.sql"))
        connection.execute(
            """INSERT INTO ledger
            SELECT d, 'misread words', 'changed', sum(r.pieces), sum(r.characters), sum(length(b.line) - length(r.line))
            FROM reread r JOIN blocks b USING (d, n) GROUP BY d"""
        )
        connection.execute("UPDATE blocks SET line = r.line FROM reread r WHERE blocks.d = r.d AND blocks.n = r.n")
    connection.execute("CREATE OR REPLACE TABLE earlier AS FROM documents")
    connection.execute(
        """CREATE OR REPLACE TABLE documents AS
        SELECT d, coalesce(text, '') AS text
        FROM (SELECT d FROM given) LEFT JOIN (SELECT d, string_agg(lead || line, '' ORDER BY n) AS text FROM blocks GROUP BY d) USING (d)"""
    )


def _changed(connection: duckdb.DuckDBPyConnection) -> int:
    """How many documents the last round changed; table pending says which."""
    connection.execute(
        "CREATE OR REPLACE TABLE pending AS SELECT d FROM documents JOIN earlier USING (d) WHERE documents.text <> earlier.text"
    )
    found = connection.execute("SELECT count(*) FROM pending").fetchone()
    return int(found[0]) if found else 0


def _write(connection: duckdb.DuckDBPyConnection, output: Path, config: CleanConfig) -> dict[str, float]:
    connection.execute(script("account.sql"))
    columns = ", ".join(DOCUMENTS.names)
    kept = write_rows(output / "documents.parquet", DOCUMENTS, _rows(connection, f"SELECT {columns} FROM kept ORDER BY id"))
    write_rows(output / "ledger.parquet", LEDGER, _rows(connection, f"SELECT {', '.join(LEDGER.names)} FROM account ORDER BY ALL"))
    totals = connection.execute("SELECT count(*), coalesce(sum(length(text)), 0) FROM given").fetchone() or (0, 0)
    after = connection.execute("SELECT coalesce(sum(length(text)), 0) FROM kept").fetchone() or (0,)
    pieces = dict(connection.execute("SELECT rule, sum(pieces) FROM ledger GROUP BY rule ORDER BY rule").fetchall())
    figures = {
        "documents_in": totals[0],
        "documents": kept,
        "removed": totals[0] - kept,
        "characters_in": totals[1],
        "characters": after[0],
    }
    figures |= {f"pieces_{rule.replace(' ', '_')}": count for rule, count in pieces.items()}
    return {name: float(value) for name, value in figures.items()}


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[dict[str, Any]]:
    for batch in connection.sql(query).to_arrow_reader(128):
        yield from batch.to_pylist()
