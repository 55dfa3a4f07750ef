"""The hook by which a stage tells lineage where its artifacts hold a document, and what else can be read from them.

A stage's file sets it, `@stage(hooks=(LineageHook(...),))`, so a new stage brings its own answer and no list of stage names exists.
A hook is not part of any key: editing one reruns nothing.

Inspections that several stages share. An inspection for a single stage is in that stage's file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TypeVar

from data.documents.sharding import DOCUMENTS, SHARD_DOCUMENTS
from data.provenance.edits import is_edit_file
from data.provenance.tables import IngestedDocument, closing_row, has_document, lines_naming, lines_quoting
from data.shards.names import SPLITS
from data.shards.pictures import PARTS
from tasks.stage.stage import Hook
from tasks.stage.store.artifact import Artifact

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Holding:
    """An artifact's hold on a document.

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


EDITED, LEDGER = "edited.parquet", "ledger.parquet"
ROLLOUTS = "rollouts"
TOKENIZER = "tokenizer"  # the input that is a vocabulary
DOCUMENT_TABLES = (DOCUMENTS, *(f"{split}.parquet" for split in SPLITS))
OF_SHARDS = PurePosixPath(SHARD_DOCUMENTS).parent


def tables_of(artifact: Artifact) -> list[str]:
    """Return the files of a corpus stage that have texts of documents: its own, or one for each shard."""
    return [known.path for known in artifact.files if is_table(known.path)]


def is_table(path: str) -> bool:
    """Whether a file of a corpus stage has texts of documents as the stage left them."""
    return path in DOCUMENT_TABLES or PurePosixPath(path).parent == OF_SHARDS


def document_tables(inspection: Inspection) -> Holding:
    """A corpus stage: its tables have a row of the document or its ledger says how it left. What rules cut out also has its words."""
    tables = {file for file in tables_of(inspection.artifact) if inspection.read(file, has_document)}
    others = [known.path for known in inspection.artifact.files if is_edit_file(known.path) or known.path == PARTS]
    pieces = {path for path in others if inspection.read(path, has_document)}
    if tables:
        splits = sorted(split for split in SPLITS if f"{split}.parquet" in tables)
        return inspection.holding(tables | pieces, detail=", ".join(splits))
    action, rule, detail = inspection.read(LEDGER, closing_row) if inspection.has(LEDGER) else ("", "", "")
    return inspection.holding(pieces, detail=f"{action}: {rule}{f' ({detail})' if detail else ''}" if action else "")


def changed_texts(inspection: Inspection) -> Holding:
    """A step that hands on the texts that it changed or kept: those of the document, and what rules cut out of it."""
    held = (known.path for known in inspection.artifact.files if known.path in (DOCUMENTS, EDITED) or is_edit_file(known.path))
    return inspection.holding({path for path in held if inspection.read(path, has_document)})


def trained_model(inspection: Inspection) -> Holding:
    """A training stage: its model learned from the document by its training rows or questions, or through anything that had learned.

    That is the model it started from, the reward model that scored its replies, or whatever input a stage will have: only a tokenizer
    teaches nothing but its vocabulary. Replies that it sampled to questions are kept with the questions' words.
    """
    shards = inspection.inputs_named("shards", "replayed")
    before = [known for name, known in inspection.inputs.items() if known.learned and name != TOKENIZER]
    trained = [holding for holding in shards if any(part == "" or part.split("/")[0] == "train" for part in holding.parts)]
    asked = [holding for holding in inspection.inputs_named("questions") if holding.parts]
    trained += asked
    validated = any(part == "" or part.split("/")[0] == "val" for holding in shards for part in holding.parts)
    causes = [*trained, *before]
    detail = "trained on it" if trained else _through(inspection, before) if before else "validated on it" if validated else ""
    certain = any(cause.certain for cause in causes) if causes else all(holding.certain for holding in shards)
    parts = {ROLLOUTS} if asked else set[str]()
    return inspection.holding(parts, learned=bool(causes), measured=validated, certain=certain, detail=detail)


def derived_model(inspection: Inspection) -> Holding:
    """A stage that converts models, or calibrates one on rows: the result learned what they did or hold."""
    models = sorted(inspection.inputs.items(), key=lambda named: named[0] != "model")
    before = [known for _, known in models if known.learned] + [rows for rows in inspection.inputs_named("rows") if rows.parts]
    detail = _from("made", before) if before else ""
    return inspection.holding(learned=bool(before), certain=not before or any(model.certain for model in before), detail=detail)


def holds_nothing(inspection: Inspection) -> Holding:
    """A stage whose artifacts never have a document's words or anything learned from them."""
    return inspection.holding()


def unknown_stage(inspection: Inspection) -> Holding:
    """An unknown stage, or one without a hook: it may hold anything its inputs hold, or anything at all without inputs."""
    if not inspection.reached:
        return inspection.holding()
    learned = any(holding.learned for holding in inspection.inputs.values())
    detail = f"its stage {inspection.artifact.stage} is unknown here and may hold whatever it read"
    return inspection.holding({""}, learned=learned, certain=False, detail=detail)


def made_pairs(inspection: Inspection) -> Holding:
    """Pairs that a model made: a line names the documents that its answers are from, and a reply may quote one.

    Where the model had learned from the document, what it wrote passes that on, word for word or not.
    """
    parts = set[str]()
    sources = inspection.inputs_named("examples")
    if not inspection.reached:
        return inspection.holding()
    complete, count = True, 0
    files = {f"pairs_{split}.jsonl": {f"preference/{split}"} for split in ("train", "val")} | {"set_aside.jsonl": set[str]()}
    for file, rows in files.items():
        if not inspection.has(file):
            continue
        named, listed = inspection.read(file, lines_naming)
        quoting = inspection.read(file, lambda stream, _: lines_quoting(stream, inspection.text()))
        complete, found = complete and listed, {*named, *quoting}
        count += len(found)
        parts |= {file, *rows} if found else set()
    wrote = [known for name, known in inspection.inputs.items() if known.learned and name != TOKENIZER]
    certain = complete or all(known.certain and not known.parts for known in sources)
    told = [f"{count} pairs"] if count else []
    told += [_from("written by a model", wrote)] if wrote else []
    return inspection.holding(parts, learned=bool(wrote), certain=certain, detail="; ".join(told))


def _through(inspection: Inspection, before: Sequence[Holding]) -> str:
    """By which input a model learned from a document that is in none of its rows: the model itself before any other."""
    by_name = {name: known for name, known in inspection.inputs.items() if known in before}
    name = "model" if "model" in by_name else next(iter(by_name))
    return _from({"model": "tuned", "judge": "rewarded by what was learned"}.get(name, f"taught by {name}, made"), [by_name[name]])


def _from(how: str, before: Sequence[Holding]) -> str:
    return f"{how} from {before[0].artifact.location}" if before[0].certain else before[0].detail
