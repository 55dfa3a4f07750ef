"""Filters the documents of a shard: groups of rules label, cut, redact or remove them.

Guarantees:
- The groups run in the order of `FilterConfig`; the first rule that a document fails removes it, and the ledger says what was measured.
- Every input document is in documents.parquet or in removed/<rule>.parquet, and once in ledger.parquet as kept or removed; characters
  in = characters out + characters removed (`require_balance` checks it). An empty shard gives empty files.
- Threads, memory, scratch space and the other documents of the shard never change the result for a document.
The cost is that of the groups, stated in their modules. Texts are processed in batches of about 16 MB; DuckDB keeps to `memory` and spills
to `scratch`.

Block lists: removes documents by name, and documents that use listed words and phrases too often.

A phrase is matched as whole words, ignoring case, spacing and punctuation (`data.documents.words`); overlapping hits each count. The
content of listed files is part of the stage's key. Runs at about 10 MB/s on one core for any number of phrases.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.documents.database import open_database
from data.documents.ledger import EDITS, RemovalWriter, require_balance
from data.documents.rows import LEDGER, RowWriter
from data.documents.stream import DocumentWriter, batches, sorted_by_id
from data.documents.words import spans
from data.filtering.batch import WHITE, Batch, Step, TrackedDocument
from data.filtering.config import BlockedConfig, FilterConfig
from data.filtering.heuristics import c4, fineweb, gopher_quality, gopher_repetition, length, symbols
from data.filtering.language import document_name, language
from data.filtering.observed_files import BlockListError, ObservedFiles
from data.filtering.pii.kinds import enabled_kinds
from data.filtering.pii.names import load_names
from data.filtering.pii.redact import pii
from data.filtering.quality import quality
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


STAGE = "filter"
Progress = Callable[[int, int, str], None]


class _Output:
    """The output files, written document by document."""

    def __init__(self, output: Path, stack: ExitStack) -> None:
        self._documents = stack.enter_context(DocumentWriter(output / "documents.parquet"))
        self._removed = stack.enter_context(RemovalWriter(output))
        self._ledger = stack.enter_context(RowWriter(output / "ledger.parquet", LEDGER))
        self._edits = stack.enter_context(RowWriter(output / "edits.parquet", EDITS))
        self.counts: Counter[str] = Counter()

    def write(self, document: TrackedDocument) -> None:
        """Write everything about one document."""
        identity, size = document.row["id"], len(document.text)
        for row in document.account:
            self._ledger.write({"id": identity, "stage": STAGE, **row})
            if row["rule"].startswith("pii "):
                self.counts[f"redacted_{row['rule'].removeprefix('pii ')}"] += row["count"]
        for rule, place, text in document.cuts:
            self._removed.write(rule, identity, place, text)
            self.counts[f"cut_{rule}"] += 1
        for edit in document.edits:
            self._edits.write({"id": identity, **edit})
        self.counts["characters_in"] += size + sum(row["net"] for row in document.account)
        closing = {"id": identity, "stage": STAGE, "count": 1, "characters": size}
        if document.removal is None:
            self._documents.write(document.row)
            self._ledger.write(closing | {"action": "kept", "rule": "", "net": 0, "detail": ""})
            self.counts.update(documents=1, characters=size)
        else:
            rule, detail = document.removal
            self._removed.write(rule, identity, 0, document.text, detail)
            self._ledger.write(closing | {"action": "removed", "rule": rule, "net": size, "detail": detail})
            self.counts.update({"removed": 1, f"removed_{rule}": 1})


def filter_documents(
    documents: Path,
    output: Path,
    config: FilterConfig,
    files: ObservedFiles,
    *,
    threads: int,
    memory: str,
    scratch: Path,
    classifier: Path | None = None,
    progress: Progress = lambda done, total, note: None,
) -> dict[str, float]:
    """Write documents.parquet, ledger.parquet, edits.parquet and removed/ into `output` from the Parquet file `documents`.

    `files` gives block lists and the model that finds names; `classifier` is what stage quality trained, needed if quality is enabled.
    `progress` is called with the documents done and their total. Return documents_in, documents, removed, characters_in, characters, and
    counts of documents `removed_<rule>` and `language_<code>`, of lines `cut_<rule>`, and of redactions `redacted_<kind>`.
    Raise ValueError for a configuration that can't work, such as a language to keep that the model doesn't know.
    """
    output.mkdir(parents=True, exist_ok=True)
    steps = list(_steps(config, files, classifier))
    with open_database(scratch, threads=threads, memory=memory) as work:
        work.set_variables(white=WHITE)
        source = sorted_by_id(work, [documents])
        total, done, languages = pq.read_metadata(documents).num_rows, 0, Counter[str]()
        with ExitStack() as stack:
            written = _Output(output, stack)
            for table in batches(source):
                batch = Batch(work, table.to_pylist())
                for step in steps:
                    step(batch)
                for document in batch.documents:
                    written.write(document)
                    if config.language.enabled:
                        languages[f"language_{document.metadata['language']}"] += 1
                done += len(batch.documents)
                progress(done, total, "documents")
        require_balance(work, STAGE, [documents], [output / "documents.parquet"], output / "ledger.parquet")
    counts = {"documents_in": done, **{name: written.counts[name] for name in ("documents", "removed", "characters_in", "characters")}}
    counts |= {_metric_name(name): count for name, count in sorted((written.counts + languages).items())}
    return {name: float(count) for name, count in counts.items()}


def _steps(config: FilterConfig, files: ObservedFiles, classifier: Path | None) -> Iterable[Step]:
    """Yield the steps of the enabled groups, in order."""
    if config.language.enabled:
        yield language(config.language)
    if config.length.enabled:
        yield length(config.length)
    if config.symbols.enabled:
        yield symbols(config.symbols)
    if config.gopher_repetition.enabled:
        yield gopher_repetition(config.gopher_repetition)
    if config.gopher_quality.enabled:
        yield gopher_quality(config.gopher_quality)
    if config.c4.enabled:
        yield c4(config.c4)
    if config.fineweb.enabled:
        yield fineweb(config.fineweb)
    if config.blocked.enabled:
        yield blocked(config.blocked, files)
    if config.quality.enabled:
        if classifier is None:
            raise ValueError("filter.quality is enabled, but there is no classifier; run stage quality first")
        yield quality(config.quality, classifier)
    if config.pii.enabled:
        yield pii(config.pii, enabled_kinds(config.pii, load_names(config.pii, files)))


def _metric_name(rule: str) -> str:
    """Return a rule's name as part of a metric name."""
    return re.sub("[ -]", "_", rule)
