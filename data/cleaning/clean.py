"""Cleans the documents of a shard: every rule in order, repeated until nothing changes, with an account of every edit.

Guarantees:
- The output is a fixed point: cleaning it again with the same configuration changes nothing (up to `rounds` rounds; real corpora settle in
  three or four). Threads, memory, batch size and scratch space never change a byte.
- The result for a document depends only on the documents of its shard, from which words are learned. An empty shard gives empty files.
- Programs and notebooks (formats `code` and `ipynb`) come out as they came in, unless they are too short; no words are learned from them.
- Every document is either in the output, or in the ledger as removed by a rule and whole in removed/.
Costs about 0.3 s a megabyte on one core in three rounds, and 0.4 s a shard; linear. Memory: several copies of a batch of texts, and what
DuckDB holds, within `memory`; the rest is in `scratch`, about twice the shard's text.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data.cleaning.config import CleanConfig
from data.cleaning.output import write_documents, write_ledger
from data.cleaning.rounds import run_round
from data.cleaning.state import CleaningState
from data.documents.database import open_database
from data.documents.ledger import require_balance
from data.documents.stream import BATCH_CHARACTERS, sorted_by_id

Progress = Callable[[int, int, str], None]


def no_progress(done: int, total: int, note: str) -> None:
    """Ignore progress."""


def clean(
    documents: Path,
    output: Path,
    config: CleanConfig,
    *,
    threads: int,
    memory: str,
    scratch: Path,
    progress: Progress = no_progress,
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
