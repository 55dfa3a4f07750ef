"""The hook by which a stage tells lineage where its artifacts hold a document, and what else can be read from them.

A stage's file sets it, `@stage(hooks=(LineageHook(...),))`, so a new stage brings its own answer and no list of stage names exists.
A hook is not part of any key: editing one reruns nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import IO, TypeVar

from data.provenance.tables import IngestedDocument
from tasks.stage.stage import Hook
from tasks.stage.store.artifact import Artifact

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Holding:
    """How one artifact holds a document.

    `parts`: files or folders with its words, "" for all of them; `learned`: a model or vocabulary learned from it; `measured`: a model was
    measured on it; `certain`: False where the files cannot tell; `detail`: where it is, or how it left.
    """

    artifact: Artifact
    parts: frozenset[str] = frozenset()
    learned: bool = False
    measured: bool = False
    certain: bool = True
    detail: str = ""

    @property
    def affected(self) -> bool:
        """Whether the document's words, or anything learned from or measured on them, are here."""
        return bool(self.parts) or self.learned or self.measured


@dataclass(frozen=True)
class Inspection:
    """One artifact to be searched for one document.

    `inputs`: what is known of the artifact's inputs, with paths as this stage sees them; `text`: returns the document's text, or "".
    """

    document: IngestedDocument
    artifact: Artifact
    inputs: Mapping[str, Holding]
    open: Callable[[Artifact, str], IO[bytes]]
    text: Callable[[], str]

    def read(self, file: str, reader: Callable[[IO[bytes], str], Answer]) -> Answer:
        """Call `reader` with a file of the artifact and the document's id. Raise FileNotFoundError if the file is gone."""
        with self.open(self.artifact, file) as stream:
            return reader(stream, self.document.id)

    def has(self, file: str) -> bool:
        """Whether the artifact's record lists a file."""
        return any(known.path == file for known in self.artifact.files)

    def inputs_named(self, *names: str) -> list[Holding]:
        """Return the inputs with these names, each shard separately."""
        return [holding for name, holding in self.inputs.items() if name.partition("[")[0] in names]

    @property
    def reached(self) -> bool:
        """Whether the document may have reached this artifact: an input holds or learned it, or there are no inputs."""
        return any(source.parts or source.learned for source in self.inputs.values()) or not self.inputs

    def holding(
        self, parts: Iterable[str] = (), *, learned: bool = False, measured: bool = False, certain: bool = True, detail: str = ""
    ) -> Holding:
        """Return the finding for this artifact."""
        return Holding(self.artifact, frozenset(parts), learned, measured, certain, detail)


@dataclass(frozen=True)
class LineageHook(Hook):
    """How lineage reads the artifacts of a stage.

    `inspect`: finds a document in one of them.
    `reads_sources`: it gives documents their ids; documents.parquet names them, quarantine.parquet the files it could not read.
    `in_corpus`: documents pass through it; it writes tables of them and a ledger of what became of each.
    `finds_duplicates`: its ledger names the documents that share text.
    `audits_corpus`: it measures the finished corpus.
    `is_gate`: its metrics say whether a gate passed.
    `quoted_in_report`: the report shows text from its files.
    """

    inspect: Callable[[Inspection], Holding]
    reads_sources: bool = False
    in_corpus: bool = False
    finds_duplicates: bool = False
    audits_corpus: bool = False
    is_gate: bool = False
    quoted_in_report: bool = False
