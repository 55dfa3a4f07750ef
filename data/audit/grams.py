"""Reads the n-grams of a split's texts, a few megabytes at a time: a query's memory grows with every word."""

from __future__ import annotations

from pathlib import Path

from data.audit.config import GramConfig
from data.documents.database import Database
from data.documents.stream import batches, slices
from data.documents.words import gram_macro


def define_grams(work: Database, config: GramConfig) -> None:
    """Define the SQL macro `audit_grams`, which makes n-grams of hashed words."""
    work.connection.execute(gram_macro("audit_grams", config.words))


def run_on_texts(work: Database, query: Path, part: str, documents: Path) -> None:
    """Run a .sql file, which reads `batch` (id, text) and variable `part`, on the texts of a split."""
    work.set_variables(part=part)
    for batch in batches(documents, ("id", "text")):
        for texts in slices(batch):
            work.run_on_batch(query, texts)
