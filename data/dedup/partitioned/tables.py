"""Fill the tables of deduplication from what earlier tasks wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.documents.database import Database, parquet

SHARD_BITS = 40
"""Bits of a document's number that count documents within its shard."""


def load(work: Database, table: str, files: Sequence[Path], columns: str = "*") -> None:
    """Append the columns of Parquet files to the table of that name that `tables.sql` made."""
    work.connection.execute(f"INSERT INTO {table} BY NAME SELECT {columns} FROM {parquet(files)}")


def load_heads(work: Database, copies: Sequence[Path], numbers: str) -> None:
    """Fill table `exact` with the head of every document of a query, from the files of documents that are no heads themselves."""
    work.connection.execute(
        f"""CREATE TABLE exact AS
        SELECT number, coalesce(head, number) AS head FROM ({numbers}) LEFT JOIN {parquet(copies)} USING (number)"""
    )
