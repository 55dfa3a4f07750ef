"""Block lists: removes documents by name, and documents that use listed words and phrases too often.

A phrase is matched as whole words, ignoring case, spacing and punctuation (`data.documents.words`); overlapping hits each count. The
content of listed files is part of the stage's key. Runs at about 10 MB/s on one core for any number of phrases.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

import pyarrow as pa

from data.documents.words import spans
from data.filtering.batch import Batch, Step, TrackedDocument
from data.filtering.config import BlockedConfig
from data.filtering.language import document_name
from data.filtering.observed_files import BlockListError, ObservedFiles
from data.filtering.sql import SQL

ID = re.compile(r"[0-9a-f]{16}")


def read_entries(inline: Sequence[str], names: Sequence[str], files: ObservedFiles) -> list[str]:
    """Return the entries of a list and of files, each once, in order. Raise BlockListError for a file that isn't UTF-8."""
    entries = dict.fromkeys(inline)
    for name in names:
        try:
            lines = files.read(name).decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise BlockListError(f"filter.blocked: {name} is not UTF-8 ({error}); convert it") from error
        entries |= dict.fromkeys(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return list(entries)


def blocked(config: BlockedConfig, files: ObservedFiles) -> Step:
    """Return the step that applies both kinds of lists. Raise BlockListError for a phrase without a word."""
    documents = read_entries(config.documents, config.document_files, files)
    ids = {entry for entry in documents if ID.fullmatch(entry)}
    globs = [entry for entry in documents if entry not in ids]
    phrases = read_entries(config.phrases, config.phrase_files, files)
    if wordless := next((phrase for phrase in phrases if not spans(phrase)), None):
        raise BlockListError(f"filter.blocked: {wordless!r} has no word in it, so it would never match; remove it")

    def step(batch: Batch) -> None:
        for document in batch.remaining:
            _by_name(document, ids, globs)
        if phrases:
            _by_phrases(batch, phrases, config)

    return step


def _by_name(document: TrackedDocument, ids: set[str], globs: list[str]) -> None:
    name, identity = document_name(document), document.row["id"]
    match = identity if identity in ids else next((glob for glob in globs if fnmatchcase(name, glob)), None)
    if match is not None:
        document.remove("blocked document", f"{name} is listed as {match}")


def _by_phrases(batch: Batch, phrases: list[str], config: BlockedConfig) -> None:
    batch.load()
    batch.work.connection.register("phrase", pa.table({"number": list(range(len(phrases))), "phrase": phrases}))
    try:
        batch.work.run_file(SQL / "blocked.sql")
    finally:
        batch.work.connection.unregister("phrase")
    for document, row in batch.rows("SELECT n, hits, words, most FROM hits ORDER BY n"):
        if row["hits"] >= config.hits and row["hits"] >= config.share * row["words"]:
            most = f"most often {phrases[row['most']]!r}"
            document.remove("blocked phrases", f"blocked_phrases {row['hits']} >= {config.hits}, in {row['words']} words, {most}")
