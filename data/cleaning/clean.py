"""Cleans the documents of a shard: every rule in order, over and over until nothing changes, with an account of every piece.

Guarantees:
- The output is a fixed point: cleaning it again with the same configuration changes nothing (up to `rounds` rounds;
  real corpora settle in three or four). Threads, memory, the size of a batch and scratch space never change a byte.
- What a document becomes depends on those of its shard alone: words are learnt from them. An empty shard gives empty files.
- Every document comes out, or stands in the ledger as removed with its rule, and whole in removed/.
Costs: about 0.3 s a megabyte on one core in three rounds, and 0.4 s a shard; linear. Memory: a batch of texts several times over, and what
DuckDB holds, within `memory`; the rest waits in `scratch`, about twice the shard's text.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data.cleaning.config import CleanConfig
from data.cleaning.output import write_documents, write_ledger
from data.cleaning.rounds import next_round
from data.cleaning.state import CleaningState
from data.documents.database import open_database
from data.documents.ledger import require_balance
from data.documents.stream import BATCH_CHARACTERS, sorted_by_id

Progress = Callable[[int, int, str], None]


def no_progress(done: int, total: int, note: str) -> None:
    """Progress that nobody asked for."""


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
    """Writes documents.parquet, ledger.parquet, edits.parquet and removed/ into `output` from the Parquet file `documents`.

    `memory`: DuckDB's limit, such as "2GB". `scratch`: where texts wait; created when missing. `batch`: how many characters are worked
    on at once. `progress` is told after each round: rounds done, the most there may be, and how many documents are to be seen again.
    Returns documents_in, documents, removed (documents), characters_in, characters, rounds, and `pieces_<rule>` for each rule.
    Raises ValueError where the input is no documents.parquet, Unbalanced if the account doesn't add up."""
    output.mkdir(parents=True, exist_ok=True)
    with open_database(scratch, threads=threads, memory=memory) as work:
        files = sorted_by_id(work, [documents])
        shard = CleaningState(work, files, config, batch)
        again = 1
        while shard.round < config.rounds and again:
            again = next_round(shard)
            progress(shard.round if again else config.rounds, config.rounds, f"rounds at most, {again} documents are to be seen again")
        write_documents(shard, output)
        pieces = write_ledger(shard, output)
        require_balance(work, "clean", files, [output / "documents.parquet"], output / "ledger.parquet")
        return shard.figures() | pieces
