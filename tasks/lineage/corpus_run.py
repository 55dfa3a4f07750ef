"""The corpora of a run: the artifacts that its documents passed through, stage by stage, in the order of the flow.

Books are one corpus; conversations are another, which passes some of the same stages at other positions.

Only the store and its journal are read. A stage that the recipe leaves out is left out here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from data.documents.sharding import DOCUMENTS
from data.provenance.tables import IngestedDocument, documents
from tasks.lineage.graph import StoreSnapshot
from tasks.lineage.hook import LineageHook
from tasks.stage.store.artifact import Artifact, without_shard
from tasks.stage.store.journal import RunRecord
from tasks.stage.store.run_record import recipe_names
from tasks.stage.system.command_line import did_you_mean, folio

MAX_CANDIDATES = 12


def describe_document(document: IngestedDocument) -> str:
    """Return a document's id, name and title on one line."""
    return f"document {document.id}: {document.name}, {document.title!r}"


def find_document(
    snapshot: StoreSnapshot, text: str, artifacts: Iterable[Artifact] | None = None
) -> tuple[IngestedDocument, list[Artifact]] | None:
    """Return the document with this id, path, title or file name and the artifacts that read it, newest first; None if there is none.

    `artifacts`: where to look, by default in all. Raise LookupError with the candidates if several documents match.
    """
    path = Path(text).expanduser().resolve()
    found: dict[str, tuple[IngestedDocument, list[Artifact]]] = {}
    for artifact, document in read_documents(snapshot, snapshot.graph.newest_first if artifacts is None else artifacts):
        if document.is_called(text) or (path.is_file() and f"{path.as_posix()}".endswith(f"/{document.path}")):
            found.setdefault(document.id, (document, []))[1].append(artifact)
    if len(found) > 1:
        listed = "".join(f"\n  {describe_document(document)}" for document, _ in list(found.values())[:MAX_CANDIDATES])
        more = f"\n  and {len(found) - MAX_CANDIDATES} more" if len(found) > MAX_CANDIDATES else ""
        raise LookupError(f"{text!r} means {len(found)} documents; give the id of one:{listed}{more}")
    return next(iter(found.values()), None)


def read_documents(snapshot: StoreSnapshot, artifacts: Iterable[Artifact]) -> Iterator[tuple[Artifact, IngestedDocument]]:
    """Yield the documents of those artifacts that read sources; the others name none. Files that are gone are skipped."""
    for artifact in artifacts:
        if snapshot.hook(artifact).reads_sources:
            with suppress(FileNotFoundError), snapshot.open(artifact, DOCUMENTS) as stream:
                yield from ((artifact, document) for document in documents(stream))


Answer = TypeVar("Answer")


@dataclass(frozen=True)
class CorpusRun:
    """The corpus stages of a run in order, each with the artifacts of its shards, and the audit if the run has one.

    `where`: what the positions of its stages add to their names, such as conversations; "" for books.
    """

    snapshot: StoreSnapshot
    run: RunRecord
    stages: Mapping[str, tuple[Artifact, ...]]
    audit: Artifact | None
    where: str = ""

    @property
    def description(self) -> str:
        """The run on one line."""
        return f"{self.run.recipe}, run {self.run.id} of {self.run.started[:16].replace('T', ' ')} UTC ({self.run.status})"

    @property
    def sources(self) -> tuple[Artifact, ...]:
        """The artifacts that read documents from the recipe's sources."""
        return tuple(a for artifacts in self.stages.values() for a in artifacts if self.snapshot.hook(a).reads_sources)

    def read(self, artifact: Artifact, file: str, reader: Callable[[IO[bytes]], Answer]) -> Answer:
        """Call `reader` with a file of an artifact. Raise FileNotFoundError if it is gone."""
        with self.snapshot.open(artifact, file) as stream:
            return reader(stream)

    def inputs_of(self, stage: str) -> tuple[Artifact, ...]:
        """Return the artifacts whose documents came to a stage; none for the first."""
        names = list(self.stages)
        index = names.index(stage)
        return self.stages[names[index - 1]] if index else ()

    def has_stage(self, stage: str) -> bool:
        """Whether the run has the stage, which may be its audit."""
        return stage in self.stages or (self.audit is not None and self.audit.stage == stage)


def has_file(artifact: Artifact, file: str) -> bool:
    """Whether an artifact's record lists a file."""
    return any(known.path == file for known in artifact.files)


def find_corpus_run(snapshot: StoreSnapshot, recipe: str = "", stage: str = "") -> CorpusRun:
    """Return the corpus of the newest run that has a stage, by default one that reads sources.

    `recipe`: a recipe's name, or a run (an id, universe~1); by default any recipe. Raise LookupError naming the recipes that ran.
    """
    wanted = (stage,) if stage else _source_stages(snapshot)
    for corpus in corpus_runs(snapshot, recipe):
        if any(corpus.has_stage(name) for name in wanted):
            return corpus
    raise _not_found(snapshot, recipe, " or ".join(wanted))


def corpus_runs(snapshot: StoreSnapshot, recipe: str = "") -> Iterator[CorpusRun]:
    """Yield the corpora of a recipe's runs, of one run, or of all runs, newest first, and of a run its books first.

    Runs without a corpus are left out.
    """
    for run in _runs(snapshot, recipe):
        yield from corpora_of(snapshot, run)


def corpora_of(snapshot: StoreSnapshot, run: RunRecord) -> Iterator[CorpusRun]:
    """Yield the corpora of one run, its books first."""
    by_address = snapshot.graph.by_address
    corpora: dict[str, dict[str, tuple[Artifact, ...]]] = {"": {}}
    audit = None
    for position, recorded in run.positions.items():
        if recorded.address not in by_address:
            continue
        artifact = by_address[recorded.address]
        if snapshot.hook(artifact).in_corpus:
            stages = corpora.setdefault(without_shard(position).partition(".")[2], {})
            stages[artifact.stage] = (*stages.get(artifact.stage, ()), artifact)
        elif snapshot.hook(artifact).audits_corpus:
            audit = artifact
    for where, stages in corpora.items():
        if stages:
            yield CorpusRun(snapshot, run, stages, None if where else audit, where)


def newest_corpus_runs(snapshot: StoreSnapshot) -> list[CorpusRun]:
    """Return the newest corpora of each recipe."""
    found: dict[tuple[str, str], CorpusRun] = {}
    for corpus in corpus_runs(snapshot):
        found.setdefault((corpus.run.recipe, corpus.where), corpus)
    return list(found.values())


def _source_stages(snapshot: StoreSnapshot) -> tuple[str, ...]:
    hooks = ((name, stage.hook(LineageHook)) for name, stage in snapshot.stages.items())
    return tuple(name for name, hook in hooks if hook is not None and hook.reads_sources)


def _runs(snapshot: StoreSnapshot, recipe: str) -> Iterator[RunRecord]:
    records = list(snapshot.journal.records())
    names = recipe_names(recipe)
    matching = [run for run in records if not recipe or run.is_of(names)]
    if matching or not recipe:
        yield from matching
    elif run := snapshot.journal.find(recipe):
        yield run


def _not_found(snapshot: StoreSnapshot, recipe: str, stage: str) -> LookupError:
    ran = sorted({run.recipe for run in snapshot.journal.records()})
    if not ran:
        first = folio("run", recipe or "universe")
        return LookupError(f"{snapshot.store.url} has no runs yet, so it has no corpus; make one with: {first}")
    if recipe in ran or not recipe:
        last = next(iter(_runs(snapshot, recipe)))
        reached = ", ".join(dict.fromkeys(without_shard(position) for position in last.positions)) or "nothing"
        return LookupError(
            f"No run of {recipe or 'any recipe'} in {snapshot.store.url} has a stage {stage} that is still there; "
            f"the newest, {last.id}, is {last.status} and has {reached}. Run it again with: {folio('run', last.argument or last.recipe)}"
        )
    hint = did_you_mean(recipe, ran) or "."
    return LookupError(f"The recipe {recipe!r} never ran in {snapshot.store.url}{hint} These did: {', '.join(ran)}.")
