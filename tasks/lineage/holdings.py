"""What holds a document, exactly: artifacts with its words, models that learned from it, and what was only measured on it.

Each stage hands a document on in its own way, so each has a rule here. Where a stage's files name their documents, they are asked;
where they don't, a thing holds a document if the parts of its inputs that it reads do. A stage without a rule, an input whose record is
gone, and files that are gone count as holding it, and are marked as uncertain: a takedown must not miss anything.
Costs one reading of the id columns of every corpus artifact in the store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, TypeVar

from data.provenance.edits import is_edit_file
from data.provenance.lines import lines_naming, lines_quoting
from data.provenance.tables import Document, closing_row, has_document, splits_of, text_of
from tasks.lineage.things import DOCUMENTS, Library
from tasks.stage.store.artifact import Artifact, Input

SPLITS = ("train", "val", "test")
CONTAMINATED = "contaminated.parquet"
CUTS = "report.json"
CORPUS = ("ingest", "clean", "filter", "dedup", "decontaminate", "split")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Holding:
    """How one artifact holds a document. `parts`: the files or folders that its words are in; `detail`: where, or how it left."""

    artifact: Artifact
    parts: frozenset[str] = frozenset()
    learned: bool = False
    measured: bool = False
    certain: bool = True
    detail: str = ""

    @property
    def touched(self) -> bool:
        """Whether the document's words, or anything learned or measured on them, are here."""
        return bool(self.parts) or self.learned or self.measured


@dataclass(frozen=True)
class Case:
    """One artifact to be judged: `given` holds what is known of its inputs, with parts as the stage sees them."""

    library: Library
    document: Document
    artifact: Artifact
    given: Mapping[str, Holding]
    text: Callable[[], str]

    def ask(self, file: str, question: Callable[[IO[bytes], str], Answer]) -> Answer:
        """Ask one of the artifact's files about the document."""
        with self.library.open(self.artifact, file) as stream:
            return question(stream, self.document.id)

    def has(self, file: str) -> bool:
        """Whether the artifact has a file of this path."""
        return any(known.path == file for known in self.artifact.files)

    def of(self, *names: str) -> list[Holding]:
        """What is known of the inputs of these names, shards included."""
        return [held for name, held in self.given.items() if name.partition("[")[0] in names]

    def found(self, parts: set[str] | None = None, **more: object) -> Holding:
        """The judgement; it is as certain as the inputs that decided it."""
        return replace(Holding(self.artifact, frozenset(parts or ())), **more)  # type: ignore[arg-type]


def holdings(library: Library, document: Document) -> list[Holding]:
    """The judgement of every artifact of the store, in order of creation."""
    known: dict[str, Holding] = {}
    texts: dict[str, str] = {}

    def text() -> str:
        if not texts:
            texts[""] = next((found for a in library.graph.newest if a.stage in CORPUS
                              if (found := _text(library, a, document.id))), "")  # fmt: skip
        return texts[""]

    def judge(artifact: Artifact) -> Holding:
        given = {name: _seen(value, known, artifact) for name, value in artifact.inputs.items()}
        case = Case(library, document, artifact, given, text)
        try:
            return RULES.get(artifact.stage, _unknown)(case)
        except FileNotFoundError as error:
            lost = f"{error.filename or error} is gone"
            return case.found({""} if _reached(case) else None, certain=False, detail=lost)

    for artifact in _in_order(library):
        known[artifact.key] = judge(artifact)
    return sorted(known.values(), key=lambda held: held.artifact.origin.created)


def _in_order(library: Library) -> list[Artifact]:
    """Every artifact after those it was made from; one made again later may bear a newer date than what was made from it."""
    ordered: dict[str, Artifact] = {}
    by_key = library.graph.by_key
    for first in reversed(library.graph.newest):
        waiting = [first]
        while waiting:
            current = waiting[-1]
            before = [by_key[i.key] for i in current.inputs.values() if i.key in by_key and i.key not in ordered]
            if current.key in ordered or not before:
                ordered.setdefault(current.key, waiting.pop())
            else:
                waiting += before
    return list(ordered.values())


def _seen(given: Input, known: Mapping[str, Holding], reader: Artifact) -> Holding:
    """What is known of an input, with its parts named as from inside the part that was given."""
    held = known.get(given.key)
    if held is None:
        return Holding(reader, frozenset({""}), learned=True, certain=False, detail=f"the record of {given.location} is gone")
    if not given.part:
        return held
    below = given.part.rstrip("/") + "/"
    inside = {part.removeprefix(below) if part.startswith(below) else "" for part in held.parts
              if part == given.part or part.startswith(below) or part == ""}  # fmt: skip
    return replace(held, parts=frozenset(inside))


def _text(library: Library, artifact: Artifact, identity: str) -> str:
    for file in artifact.files:
        if file.path in (DOCUMENTS, *(f"{split}.parquet" for split in SPLITS)):
            with library.open(artifact, file.path) as stream:
                if found := text_of(stream, identity):
                    return found
    return ""


def _reached(case: Case) -> bool:
    return any(held.parts or held.learned for held in case.given.values()) or not case.artifact.inputs


def _universe(case: Case) -> Holding:
    """A generated universe holds its books as files, and as they were before they were printed badly."""
    its_own = case.document.source == case.artifact.config.get("kind") and case.has(case.document.path)
    return case.found({case.document.path, "truth"} if its_own else None)


def _synthesize(case: Case) -> Holding:
    """What a machine wrote lies in one table; a model that wrote it may have learned from any document."""
    if case.document.source == case.artifact.config.get("name"):
        with case.library.open(case.artifact, "texts.parquet") as stream:
            if has_document(stream, case.document.path, ("path",)):
                return case.found({"texts.parquet"})
    maker = case.artifact.config.get("maker")
    if not isinstance(maker, dict) or maker.get("kind") != "model":
        return case.found()
    return case.found(learned=True, certain=False, detail="written by a model that may have learned from it")


def _table(case: Case) -> Holding:
    """A stage of the corpus: tables of documents have a row of it, or the ledger says how it left; and its words lie in what rules took."""
    texts = {file for file in (DOCUMENTS, *(f"{split}.parquet" for split in SPLITS)) if case.has(file) and case.ask(file, has_document)}
    pieces = {known.path for known in case.artifact.files if is_edit_file(known.path) and case.ask(known.path, has_document)}
    if texts:
        where = sorted(file.removesuffix(".parquet") for file in texts - {DOCUMENTS})
        return case.found(texts | pieces, detail=", ".join(where))
    action, rule, detail = case.ask("ledger.parquet", closing_row) if case.has("ledger.parquet") else ("", "", "")
    return case.found(pieces, detail=f"{action}: {rule}{f' ({detail})' if detail else ''}" if action else "")


def _decontaminate(case: Case) -> Holding:
    """As the other stages of the corpus, and a list of passages that quotes the documents."""
    held = _table(case)
    return replace(held, parts=held.parts | {CONTAMINATED}) if case.has(CONTAMINATED) and case.ask(CONTAMINATED, has_document) else held


def _audit(case: Case) -> Holding:
    """The audit quotes passages that stand in two splits."""
    columns = {"leaks.parquet": ("id", "train_id", "val_id"), "leaked_documents.parquet": ("id",)}
    quoted = {file for file, named in columns.items() if case.has(file) and case.ask(file, partial(has_document, columns=named))}
    return case.found(quoted, detail="quoted as a leak" if quoted else "")


def _examples(case: Case) -> Holding:
    """Examples of a universe are made from its truth alone; those of other books name the books in every line."""
    if case.artifact.config.get("kind") != "corpus":
        return case.found()
    parts, certain, lines = set[str](), True, 0
    for file in (known.path for known in case.artifact.files if known.path.endswith(".jsonl")):
        found, told = case.ask(file, lines_naming)
        reached = any(held.parts & {"", "train.parquet"} for held in case.of("splits"))
        if found or (not told and reached):
            parts.add(file)
        certain, lines = certain and (told or not reached), lines + len(found)
    return case.found(parts, certain=certain, detail=f"{lines} lines" if lines else "")


def _encode(case: Case) -> Holding:
    """Rows made from the lines that hold it."""
    files = {part for held in case.of("conversations") for part in held.parts}
    folders = {"instructions": "sft", "preferences": "preference"}
    parts = {f"{folders[stem]}/{split}" for stem in folders for split in ("train", "val") if files & {"", f"{stem}_{split}.jsonl"}}
    return case.found(parts, certain=all(held.certain for held in case.of("conversations")))


def _pack(case: Case) -> Holding:
    rows = case.ask(DOCUMENTS, splits_of)
    mixed = any(held.parts for held in case.of("conversations"))
    where = ", ".join(f"{split} rows {first} to {last}" for split, (first, last) in sorted(rows.items()))
    return case.found({*rows, *(("train",) if mixed else ())}, detail=where)


def _tokenizer(case: Case) -> Holding:
    deciding = [held for held in case.of("train") if held.parts]
    detail = "its vocabulary was counted on it" if deciding else ""
    shown = {CUTS} if deciding and case.has(CUTS) and case.ask(CUTS, _shows) else set()
    return case.found(shown, learned=bool(deciding), certain=all(held.certain for held in deciding), detail=detail)


def _shows(report: IO[bytes], identity: str) -> bool:
    """Whether a tokenizer's report shows the beginning of the document, cut into tokens."""
    return any(sample["id"] == identity for sample in json.load(report)["samples"])


def _train(case: Case) -> Holding:
    """A model learned from it by its training rows or by the model that it began as."""
    shards, before = case.of("shards"), [held for held in case.of("model") if held.learned]
    rows = [held for held in shards if any(part == "" or part.split("/")[0] == "train" for part in held.parts)]
    validated = any(part == "" or part.split("/")[0] == "val" for held in shards for part in held.parts)
    deciding = [*rows, *before]
    detail = "trained on it" if rows else _from("tuned", before) if before else "validated on it" if validated else ""
    certain = any(held.certain for held in deciding) if deciding else all(held.certain for held in shards)
    return case.found(learned=bool(deciding), measured=validated, certain=certain, detail=detail)


def _derived(case: Case) -> Holding:
    """quantize, export: another form of a model."""
    before = [held for held in case.of("model", "int8") if held.learned]
    detail = _from("made", before) if before else ""
    return case.found(learned=bool(before), certain=not before or any(held.certain for held in before), detail=detail)


def _from(how: str, before: list[Holding]) -> str:
    return f"{how} from {before[0].artifact.location}" if before[0].certain else before[0].detail


def _evaluate(case: Case) -> Holding:
    """Measured on the splits that its configuration names; its samples may quote the training rows."""
    splits = case.artifact.config.get("splits", SPLITS)
    held = {part.split("/")[0] for given in case.of("packed") for part in given.parts}
    measured = [split for split in splits if held & {"", split}]
    quotes: dict[str, int] = {}
    if held & {"", "train"} and case.has("samples.jsonl"):
        quotes["samples.jsonl"] = len(case.ask("samples.jsonl", lambda stream, _: lines_quoting(stream, case.text())))
    for file in (f"answers_{name}.jsonl" for name in ("seen", "heldout") if case.has(f"answers_{name}.jsonl")):
        quotes[file] = len(case.ask(file, lines_naming)[0])
    quotes = {file: count for file, count in quotes.items() if count}
    detail = [f"measured on {', '.join(measured)}"] if measured else []
    detail += [f"{file} quotes it, lines: {count}" for file, count in quotes.items()]
    certain = all(given.certain for given in case.of("packed"))
    return case.found(set(quotes), measured=bool(measured), certain=certain, detail="; ".join(detail))


def _nothing(case: Case) -> Holding:
    return case.found()


def _unknown(case: Case) -> Holding:
    """A stage that nothing is known of holds whatever it was given."""
    reached = [held for held in case.given.values() if held.parts or held.learned]
    learned = any(held.learned for held in reached)
    return case.found({""} if reached else None, learned=learned, certain=not reached, detail="made from what holds it" if reached else "")


RULES: dict[str, Callable[[Case], Holding]] = {
    "universe": _universe,
    "synthesize": _synthesize,
    "ingest": _table,
    "clean": _table,
    "quality": _nothing,
    "filter": _table,
    "dedup": _table,
    "decontaminate": _decontaminate,
    "split": _table,
    "audit": _audit,
    "examples": _examples,
    "tokenizer": _tokenizer,
    "encode": _encode,
    "pack": _pack,
    "pretrain": _train,
    "sft": _train,
    "dpo": _train,
    "evaluate": _evaluate,
    "gate": _nothing,
    "quantize": _derived,
    "export": _derived,
}


def plain(held: Holding) -> dict[str, object]:
    """A holding for machines."""
    artifact = held.artifact
    named = {"stage": artifact.stage, "location": artifact.location, "key": artifact.key, "digest": artifact.digest}
    judged = {"learned": held.learned, "measured": held.measured, "certain": held.certain, "detail": held.detail}
    return named | {"parts": sorted(held.parts)} | judged
