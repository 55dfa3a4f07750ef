"""Cleans the documents of a shard: every rule in order, repeated until nothing changes, with an account of every edit.

Guarantees:
- The output is a fixed point: cleaning it again with the same configuration changes nothing (up to `rounds` rounds; real corpora settle in
  three or four). Threads, memory, batch size and scratch space never change a byte.
- The result for a document depends only on the documents of its shard, from which words are learned. An empty shard gives empty files.
- Programs and notebooks (formats `code` and `ipynb`) come out as they came in, unless they are too short; no words are learned from them.
- Every document is either in the output, or in the ledger as removed by a rule and whole in removed/.
Costs about 0.3 s a megabyte on one core in three rounds, and 0.4 s a shard; linear. Memory: several copies of a batch of texts, and what
DuckDB holds, within `memory`; the rest is in `scratch`, about twice the shard's text.

Writes the output of cleaning: the documents, the ledger, and every line that was removed or rewritten.

Rows are written in a total order, so equal shards give equal bytes. `removed/<rule>.parquet` holds each line that a rule cut, word for
word, with its number in the text as the round found it, and each document that was too short, whole. `edits.parquet` holds each line that a
rule rewrote, before and after, and each misread word by itself. Changes of layout alone are in neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data.cleaning.config import CleanConfig
from data.cleaning.rounds import CleaningState, run_round
from data.cleaning.rules import RULE_NUMBER, RULES
from data.documents.database import open_database
from data.documents.ledger import EDITS, RemovalWriter, require_balance
from data.documents.rows import DOCUMENTS, LEDGER, RowWriter, rows_in_session
from data.documents.stream import BATCH_CHARACTERS, DocumentWriter, sorted_by_id


def write_documents(state: CleaningState, output: Path) -> None:
    """Write documents.parquet: the documents that were kept, by id."""
    others = ", ".join(name for name in DOCUMENTS.names if name not in ("id", "text"))
    with DocumentWriter(output / "documents.parquet") as writer:
        for part in state.ranges("fate <> 'removed'"):
            texts = state.texts(part, "fate <> 'removed'")
            query = (
                f"SELECT id, text, {others} FROM ({texts}) JOIN state USING (d) JOIN ({state.other_columns(part)}) USING (id) ORDER BY id"
            )
            for row in rows_in_session(state.work, query):
                writer.write(row)


def write_ledger(state: CleaningState, output: Path) -> dict[str, float]:
    """Write ledger.parquet, edits.parquet and removed/; return `pieces_<rule>`, the number of edits, for each rule that made any."""
    state.work.set_variables(layout_rule=RULE_NUMBER["layout"], short_rule=RULE_NUMBER["too short"])
    state.run_file("ledger.sql")
    with RowWriter(output / "ledger.parquet", LEDGER) as ledger:
        for row in _ledger(state):
            ledger.write(row)
    _write_edits(state, output)
    counts = state.work.rows("SELECT rule, sum(pieces) FROM ledger GROUP BY rule ORDER BY rule")
    return {f"pieces_{RULES[int(str(rule))].name.replace(' ', '_')}": float(str(count)) for rule, count in counts}


def _ledger(state: CleaningState) -> Iterator[dict[str, Any]]:
    query = "SELECT id, rule, pieces, characters, net FROM account JOIN state USING (d) ORDER BY d, rule NULLS LAST"
    for row in rows_in_session(state.work, query):
        rule = None if row["rule"] is None else RULES[row["rule"]]
        yield {
            "id": row["id"], "stage": "clean", "action": rule.action if rule else "kept", "rule": rule.name if rule else "document",
            "count": row["pieces"], "characters": row["characters"], "net": row["net"], "detail": "",
        }  # fmt: skip


def _write_edits(state: CleaningState, output: Path) -> None:
    query = "FROM edits JOIN state USING (d) WHERE line IS NOT NULL ORDER BY d, edits.round, rule, n, edits.place, inner_place"
    with RowWriter(output / "edits.parquet", EDITS) as edits:
        for row in rows_in_session(state.work, f"SELECT id, edits.round AS round, rule, n AS place, before, line AS after {query}"):
            edits.write(row | {"rule": RULES[row["rule"]].name})
    with RemovalWriter(output) as removed:
        query = "FROM edits JOIN state USING (d) WHERE line IS NULL ORDER BY rule, d, n, edits.round"
        for row in rows_in_session(state.work, f"SELECT id, edits.round AS round, rule, n AS place, before {query}"):
            removed.write(RULES[row["rule"]].name, row["id"], row["place"], row["before"], f"round {row['round']}")
        for part in state.ranges("fate = 'removed'"):
            texts = state.texts(part, "fate = 'removed'")
            for row in rows_in_session(state.work, f"SELECT id, text FROM ({texts}) JOIN state USING (d) ORDER BY id"):
                removed.write("too short", row["id"], 0, row["text"], "")


Progress = Callable[[int, int, str], None]


def clean(
    documents: Path,
    output: Path,
    config: CleanConfig,
    *,
    threads: int,
    memory: str,
    scratch: Path,
    progress: Progress = lambda done, total, note: None,
    batch: int = BATCH_CHARACTERS,
) -> dict[str, float]:
    """Write documents.parquet, ledger.parquet, edits.parquet and removed/ into `output` from the Parquet file `documents`.

    `memory` is DuckDB's limit, such as "2GB"; `scratch` a folder for temporary files, created if missing; `batch` the characters processed
    at once. `progress` is called after each round with the rounds done, the maximum, and how many documents are still changing.
    Return documents_in, documents, removed (documents), characters_in, characters, rounds, and `pieces_<rule>` for each rule.
    Raise ValueError if the input is not a documents.parquet, Unbalanced if the ledger doesn't account for every character.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open_database(scratch, threads=threads, memory=memory) as work:
        files = sorted_by_id(work, [documents])
        state = CleaningState(work, files, config, batch)
        pending = 1
        while state.round < config.rounds and pending:
            pending = run_round(state)
            progress(state.round if pending else config.rounds, config.rounds, f"rounds at most, {pending} documents still change")
        write_documents(state, output)
        edits = write_ledger(state, output)
        require_balance(work, "clean", files, [output / "documents.parquet"], output / "ledger.parquet")
        return state.counts() | edits
