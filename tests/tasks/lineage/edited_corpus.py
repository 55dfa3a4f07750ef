"""A corpus whose every edit is known: a few documents removed_rows through all stages by hand, with the ledgers, edits and removed
tables that the stages write, and a real audit of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.audit.config import AuditConfig
from data.documents.ledger import EDITS, REMOVED
from data.documents.rows import DOCUMENTS, LEDGER, QUARANTINE
from data.documents.sharding import document_id
from data.splits.config import LARGE_CLUSTERS, LargeCluster
from tasks.stage.store.artifact import Artifact, InputRecord
from tasks.stage.store.store import Store
from tests.data.audit.sharded import audit_shards
from tests.tasks.lineage.corpus_store import SHARDS, Corpus, shard_of

PAIRS = pa.schema([(name, pa.float64() if name == "jaccard" else pa.string()) for name in ("a", "b", "jaccard", "rule")])
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Op:
    """What a rule does to a passage: `after` None removes it. `found`: what the edit records instead of the passage."""

    rule: str
    before: str
    after: str | None
    round: int = 1
    detail: str = ""
    found: str = ""


@dataclass(frozen=True)
class Text:
    """A document: what each stage does to it, and (stage, action, rule, detail) of its removal, if any."""

    name: str
    text: str
    title: str
    ops: Mapping[str, tuple[Op, ...]]
    end: tuple[str, str, str, str] | None = None
    split: str = "train"
    metadata: str = "{}"
    synthetic: bool = False

    @property
    def id(self) -> str:
        """The id that ingest gives it."""
        return document_id("books", self.name)


def _id(name: str) -> str:
    return document_id("books", name)


WHITE = "Oh dear! Oh dear! I shall be late, said the Rabbit to itself, and hurried on along the bank."
ALICE = f'ALICE IN WONDERLAND\nAlice was tired -- "very" tired.\nShe had nothing to do.\nALICE IN WONDERLAND   12\n{WHITE}'
SHELF = (
    Text(
        "alice.txt",
        ALICE,
        "Alice in Wonderland",
        {
            "clean": (
                Op("running heads", "ALICE IN WONDERLAND", None),
                Op("quotes", 'Alice was tired -- "very" tired.', "Alice was tired -- “very” tired."),
                Op("dashes", "Alice was tired -- “very” tired.", "Alice was tired — “very” tired."),
                Op("running heads", "ALICE IN WONDERLAND   12", None),
                Op("misread words", "She had nothing to do.", "She had nothing at all to do.", round=2),
            )
        },
    ),
    Text(
        "copy.txt",
        "Call me Ishmael, said the man who had come to the inn.",
        "A copy",
        {},
        ("dedup", "duplicate", "exact_document", "moby.txt"),
    ),
    Text("moby.txt", "Call me Ishmael, said the man who had come to the inn.", "Moby Dick", {}, metadata='{"title_mismatch": true}'),
    Text(
        "quoting.txt",
        f"A new book begins so.\n\n{WHITE}",
        "Quoting",
        {"dedup": (Op("paragraph", f"\n\n{WHITE}", None, detail="alice.txt"),)},
        split="val",
    ),
    Text(
        "letter.txt",
        "Write to ann@example.org or to me.",
        "A letter",
        {"filter": (Op("e-mail", "ann@example.org", "<email>", found="e-mail, 15 characters"),)},
        split="test",
    ),
    Text(
        "french.txt",
        "Il était une fois une petite fille.",
        "Le chaperon",
        {},
        ("filter", "removed", "language", "fr, and only en is asked for"),
    ),
    Text(
        "exam.txt",
        "What is the capital of the country of which Paris is the capital?",
        "Exam",
        {},
        ("decontaminate", "removed", "contaminated", ""),
    ),
    Text("stub.txt", "No.", "Stub", {}, ("clean", "removed", "too short", "")),
    Text("robot.txt", "A goat lives in Velden, as a machine says.", "Robot", {}, synthetic=True),
)
IDS = {text.name: text.id for text in SHELF}
PHOTO = ("books", "photo.txt", "no text: it begins like a PNG image")


class EditedCorpus(Corpus):
    """Writes every stage of a corpus. `without`: stages that the recipe leaves out."""

    def __init__(self, store: Store, recipe: str = "books", without: Iterable[str] = (), large: Sequence[LargeCluster] = ()) -> None:
        super().__init__(store, recipe)
        self.without, self.large = set(without), large
        self.last: list[Artifact] = []

    def write(self) -> EditedCorpus:
        """Write every stage, the audit, and the run in the journal."""
        self.texts, self.version = {text.name: text.text for text in SHELF}, "1"
        texts = [
            replace(text, end=None) if text.end and text.end[0] in self.without else text for text in sorted(SHELF, key=lambda t: t.id)
        ]
        for stage in ("ingest", "clean", "filter", "dedup", "decontaminate"):
            if stage not in self.without:
                texts = self._stage(stage, texts)
        for number in range(SHARDS):
            here = [text for text in texts if shard_of(text.id) == number]
            parts = {f"{split}.parquet": (DOCUMENTS, [_row(text) for text in here if text.split == split]) for split in SPLITS}
            kept = [_ledger_row("split", text.id, "kept", text.split, characters=len(text.text)) for text in here]
            self.commit(f"split[{number}]", {**parts, "ledger.parquet": (LEDGER, kept)}, self._inputs(number))
        if self.large:
            self.commit(
                "assign",
                {LARGE_CLUSTERS: json.dumps([large.model_dump() for large in self.large])},
                {},
                metrics={"large_clusters": float(len(self.large))},
            )
        self._audit()
        self.record(f"20261125T130501-{self.recipe.encode().hex()[:6]:0<6}")
        return self

    def folders(self, stage: str) -> list[Any]:
        """Return the folders of a stage's shards."""
        return [self.store.local(made) for made in self.made.values() if made.stage == stage]

    def _inputs(self, number: int | None) -> dict[str, InputRecord]:
        """The documents of the previous stage: of a shard, or of all."""
        if number is not None and len(self.last) == 1:
            return {"documents": self.last[0].part(f"documents/{number:04}.parquet").reference()}
        before = self.last if number is None else [made for made in self.last if made.label.endswith(f"-{number}")]
        return {
            f"documents[{n}]" if len(before) > 1 else "documents": made.part("documents.parquet").reference()
            for n, made in enumerate(before)
        }

    def _stage(self, stage: str, texts: list[Text]) -> list[Text]:
        sharded = stage != "dedup"
        remaining: list[Text] = []
        artifacts: list[Artifact] = []
        for number in range(SHARDS if sharded else 1):
            here = [text for text in texts if not sharded or shard_of(text.id) == number]
            made = [self._apply(stage, text) for text in here]
            kept = [text for text, *_ in made if text is not None]
            removed: dict[str, list[dict[str, Any]]] = {}
            for _, _, _, removed_rows in made:
                for rule, row in removed_rows:
                    removed.setdefault(f"removed/{rule.replace(' ', '_')}.parquet", []).append(row)
            ledger = [row for _, rows, _, _ in made for row in rows]
            files: dict[str, Any] = {"documents.parquet": (DOCUMENTS, [_row(text) for text in kept])}
            if stage == "ingest":
                quarantined = [dict(zip(("source", "path", "reason"), PHOTO, strict=True))] if number == 0 else []
                ledger += [_ledger_row("ingest", _id("photo.txt"), "quarantined", "no text", detail="photo.txt") for _ in quarantined]
                files["quarantine.parquet"] = (QUARANTINE, quarantined)
            elif stage == "dedup":
                pair = {
                    "a": min(IDS["copy.txt"], IDS["moby.txt"]),
                    "b": max(IDS["copy.txt"], IDS["moby.txt"]),
                    "jaccard": 1.0,
                    "rule": "exact",
                }
                files["pairs.parquet"] = (PAIRS, [pair])
                del files["documents.parquet"]
                for shard in range(SHARDS):
                    files[f"documents/{shard:04}.parquet"] = (DOCUMENTS, [_row(text) for text in kept if shard_of(text.id) == shard])
            elif stage != "decontaminate":
                files["edits.parquet"] = (EDITS, [row for _, _, rows, _ in made for row in rows])
            files["ledger.parquet"] = (LEDGER, ledger)
            files |= {file: (REMOVED, rows) for file, rows in removed.items()}
            described = {"config": {"sources": [self.source]}} if stage == "ingest" else {}
            before = self._inputs(number if sharded else None) if stage != "ingest" else None
            artifacts.append(self.commit(f"{stage}[{number}]" if sharded else stage, files, before, **described))
            remaining += kept
        self.last = artifacts
        return sorted(remaining, key=lambda text: text.id)

    def _apply(
        self, stage: str, text: Text
    ) -> tuple[Text | None, list[dict[str, Any]], list[dict[str, Any]], list[tuple[str, dict[str, Any]]]]:
        """Apply a stage: return the document, and its rows of the ledger, the edits and the removed tables."""
        now, rows, edits, removed_rows = text.text, [], [], []
        for op in text.ops.get(stage, ()):
            assert op.before in now, (op, now)
            place = text.text.find(op.before) + 1 if op.found else _line(text.text, op)
            now = now.replace(op.before if op.after is not None or stage != "clean" else f"{op.before}\n", op.after or "", 1)
            detail = _replace_name(op.detail)
            if op.after is None:
                removed_rows.append(
                    (op.rule, {"id": text.id, "place": place, "text": op.before.strip("\n"), "detail": detail or f"round {op.round}"})
                )
            else:
                edits.append(
                    {"id": text.id, "round": op.round, "rule": op.rule, "place": place, "before": op.found or op.before, "after": op.after}
                )
            net = len(op.before) - len(op.after or "") + (op.after is None and stage == "clean")
            action = "cut" if op.after is None else "changed"
            rows.append(_ledger_row(stage, text.id, action, op.rule, characters=len(op.before), net=net, detail=detail))
        rows = _merge_by_rule(rows)
        if text.end and text.end[0] == stage:
            _, action, rule, detail = text.end
            reason = f"the words of {_replace_name(detail)}" if action == "duplicate" else detail
            removed_rows.append((rule, {"id": text.id, "place": 0, "text": now, "detail": reason}))
            return (
                None,
                [*rows, _ledger_row(stage, text.id, action, rule, characters=len(now), net=len(now), detail=reason)],
                edits,
                removed_rows,
            )
        found = json.loads(text.metadata) | {"path": text.name, "encoding": "utf-8", "format": "txt"}
        found |= {"language": "en", "language_probability": 0.98} if stage == "filter" else {}
        closing = _ledger_row(stage, text.id, "kept", "read" if stage == "ingest" else "", characters=len(now))
        return replace(text, text=now, metadata=json.dumps(found, sort_keys=True)), [*rows, closing], edits, removed_rows

    def _audit(self) -> None:
        stages = ("ingest", "clean", "filter", "dedup", "decontaminate", "split")
        ledgers = {stage: self.folders(stage) for stage in stages if self.folders(stage)}
        folder = self.store.scratch("audit")
        limits: dict[str, Any] = {"threads": 1, "memory": "500MB", "scratch": folder / "scratch"}
        metrics = audit_shards(ledgers, self.folders("split"), folder / "made", AuditConfig(words=5), **limits)
        files: dict[str, Any] = {file.name: file.read_text() for file in (folder / "made").glob("*.json")}
        for file in (folder / "made").glob("*.parquet"):
            table = pq.read_table(file)
            files[file.name] = (table.schema, table.to_pylist())
        self.commit("audit", files, self.splits(), metrics=metrics)


def _line(text: str, op: Op) -> int:
    lines = text.split("\n")
    return next((number for number, line in enumerate(lines, start=1) if line == op.before), 2)


def _replace_name(text: str) -> str:
    return IDS.get(text, text)


def _row(text: Text) -> dict[str, Any]:
    return {
        "id": text.id,
        "title": text.title,
        "source": "books",
        "text": text.text,
        "metadata": text.metadata,
        "synthetic": text.synthetic,
    }


def _ledger_row(
    stage: str, identity: str, action: str, rule: str, *, characters: int = 0, net: int = 0, detail: str = ""
) -> dict[str, Any]:
    return {
        "id": identity,
        "stage": stage,
        "action": action,
        "rule": rule,
        "count": 1,
        "characters": characters,
        "net": net,
        "detail": detail,
    }


def _merge_by_rule(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge rows into one per rule."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        one = found.setdefault((row["action"], row["rule"]), {**row, "count": 0, "characters": 0, "net": 0})
        one |= {key: one[key] + row[key] for key in ("count", "characters", "net")}
    return sorted(found.values(), key=lambda row: (row["action"], row["rule"]))
