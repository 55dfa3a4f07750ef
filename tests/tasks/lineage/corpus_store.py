"""A store with a corpus of a few books, laid out as a run leaves it: files as the stages write them, models that are text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import flows.pipeline  # noqa: F401  # its chapters import every stage, and so fill STAGES
from data.documents.ledger import REMOVED
from data.documents.rows import DOCUMENTS, LEDGER, QUARANTINE, write_rows
from data.documents.sharding import document_id
from data.sources.formats import type_from_name
from tasks.lineage.graph import StoreSnapshot
from tasks.stage.stage import STAGES
from tasks.stage.store.artifact import Artifact, InputRecord
from tasks.stage.store.journal import Journal, PositionRecord, RegisteredModel, RunRecord
from tasks.stage.store.origin import now
from tasks.stage.store.store import Store
from tasks.stage.store.traces import save_trace
from tests.tasks.records import artifact, commit

SHARDS = 2
TEXTS = {
    "alice.txt": "Alice was beginning to get very tired of sitting by her sister on the bank. She had nothing to do.",
    "copy of alice.txt": "Alice was beginning to get very tired of sitting by her sister on the bank. She had nothing to do.",
    "moby.txt": "Call me Ishmael. Some years ago I thought I would sail about a little and see the watery part of the world.",
    "pride.txt": "It is a truth universally acknowledged that a single man must be in want of a wife. So they say.",
    "tale.txt": "It was the best of times and it was the worst of times. It was the age of wisdom.",
    "short.txt": "No.",
}
IDS = {name: document_id("books", name) for name in TEXTS}
NAMES = {identity: name for name, identity in IDS.items()}
ALICE, COPY, MOBY, PRIDE, TALE, SHORT = (IDS[name] for name in TEXTS)
SPLIT = {ALICE: "train", MOBY: "train", PRIDE: "val", TALE: "test"}


def _place(identity: str) -> tuple[int, str]:
    return shard_of(identity), SPLIT.get(identity, "train")


def shard_of(identity: str) -> int:
    """Return the shard that a document belongs to."""
    return int(identity, 16) * SHARDS >> 64


class Corpus:
    """Writes a run's artifacts into a store. `version` tells runs apart; `texts` are the books it read."""

    def __init__(self, store: Store, recipe: str = "books", *, source: Mapping[str, Any] | None = None) -> None:
        self.store, self.recipe = store, recipe
        self.source = dict(source or {"kind": "files", "name": "books", "encoding": "detect"})
        self.source_name = "books"
        self.made: dict[str, Artifact] = {}

    @property
    def snapshot(self) -> StoreSnapshot:
        """The store as it is now."""
        return StoreSnapshot.load(self.store, STAGES)

    def run(self, version: str = "1", texts: Mapping[str, str] = TEXTS, *, rate: float = 0.5) -> dict[str, Artifact]:
        """Write every stage; return the artifacts by position."""
        self.version, self.texts, self.made = version, dict(texts), {}
        for number in range(SHARDS):
            self._ingest(number)
        for number in range(SHARDS):
            self._clean(number)
        self._deduplicated()
        self._trained(rate)
        return self.made

    def record(self, run_id: str, *, reused: Iterable[str] = (), causes: Mapping[str, str] | None = None, **more: Any) -> RunRecord:
        """Write the journal's record of the last run."""
        places = {
            place: PositionRecord(
                stage=a.stage, key=a.key, address=a.address, digest=a.digest, location=a.location,
                action="reused" if place in reused else "executed",
                causes=tuple(filter(None, [(causes or {}).get(place, "")])), accepted=more.get("accepted", {}).get(place, ""),
            )
            for place, a in self.made.items()
        }  # fmt: skip
        exported = [made for made in self.made.values() if made.stage == "export"]
        registered = tuple(RegisteredModel(name=f"folio-{self.recipe}", version=self.version, alias="champion",
                                      location=made.location, digest=made.digest) for made in exported)  # fmt: skip
        record = RunRecord(
            id=run_id, recipe=self.recipe, status="finished", started=now(), ended=now(), host="h", pid=1, git_commit="abc",
            git_dirty=False,
            configuration=more.get("configuration", {}), positions=places,
            mlflow_run_id=f"mlflow-{run_id}", flow_run_id=f"flow-{run_id}",
            registered=registered,
        )  # fmt: skip
        Journal(self.store).write(record)
        return record

    def commit(
        self, position: str, files: Mapping[str, Any], inputs: Mapping[str, InputRecord] | None = None, **described: Any
    ) -> Artifact:
        """Commit an artifact at a position. A .parquet file is given as (schema, rows), others as text or JSON rows."""
        stage, _, number = position.rstrip("]").partition("[")
        stage, _, where = stage.partition(".")
        output = self.store.scratch(position) / "output"
        for name, content in files.items():
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            if name.endswith(".parquet"):
                schema, rows = content
                write_rows(output / name, schema, rows)
            else:
                (output / name).write_text(content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content))
        if number:
            described["ingredients"] = {"shard": f"{number} of {SHARDS}", **described.get("ingredients", {})}
        label = f"{self.recipe}-{number or where}" if number or where else self.recipe
        # As in a run, inputs decide the key.
        given = json.dumps([position, self.recipe, [i.digest for i in (inputs or {}).values()], described], sort_keys=True, default=str)
        name = hashlib.sha256(f"{given}{'' if inputs else sorted(self.texts.items())}".encode()).hexdigest()
        made = artifact(output, stage=stage, label=label, name=name, inputs=inputs, **described)
        self.made[position] = commit(self.store, output, made)
        return self.made[position]

    def _ingest(self, number: int) -> None:
        here = [self._row(name) for name in sorted(self.texts, key=_id) if shard_of(_id(name)) == number]
        ledger = [_ledger_row("ingest", row["id"], "kept", "read") for row in here]
        files = {"documents.parquet": (DOCUMENTS, here), "ledger.parquet": (LEDGER, ledger), "quarantine.parquet": (QUARANTINE, [])}
        seen = {f"observed.books/{json.loads(row['metadata'])['path']}": hashlib.sha256(row["text"].encode()).hexdigest() for row in here}
        self.commit(
            f"ingest[{number}]", files, config={"sources": [self.source]}, ingredients=seen, metrics={"documents": float(len(here))}
        )

    def _clean(self, number: int) -> None:
        here = [self._row(name) for name in sorted(self.texts, key=_id) if shard_of(_id(name)) == number]
        kept = [row for row in here if len(row["text"]) > 10]
        ledger = [_ledger_row("clean", row["id"], *(("kept", "document") if row in kept else ("removed", "too short"))) for row in here]
        files = {"documents.parquet": (DOCUMENTS, kept), "ledger.parquet": (LEDGER, ledger)}
        files |= {"removed/too_short.parquet": (REMOVED, [_removed_row(row) for row in here if row not in kept])} if kept != here else {}
        inputs = {"documents": self.made[f"ingest[{number}]"].part("documents.parquet").reference()}
        self.commit(f"clean[{number}]", files, inputs)

    def _deduplicated(self) -> None:
        cleaned = [self._row(name) for name in sorted(self.texts, key=_id) if len(self.texts[name]) > 10]
        kept = [row for row in cleaned if row["id"] != COPY]
        ledger = [_ledger_row("dedup", row["id"], "kept", "") for row in kept]
        if len(kept) < len(cleaned):
            ledger.append(_ledger_row("dedup", COPY, "duplicate", "exact_document", f"the words of {ALICE}"))
        files: dict[str, Any] = {"ledger.parquet": (LEDGER, sorted(ledger, key=lambda row: row["id"]))}
        files |= {f"documents/{n:04}.parquet": (DOCUMENTS, [row for row in kept if shard_of(row["id"]) == n]) for n in range(SHARDS)}
        files |= (
            {"removed/exact_document.parquet": (REMOVED, [_removed_row(row) for row in cleaned if row not in kept])}
            if kept != cleaned
            else {}
        )
        inputs = {f"documents[{n}]": self.made[f"clean[{n}]"].part("documents.parquet").reference() for n in range(SHARDS)}
        dedup = self.commit("dedup", files, inputs)
        for number in range(SHARDS):
            parts = {
                f"{split}.parquet": (DOCUMENTS, [row for row in kept if _place(row["id"]) == (number, split)])
                for split in ("train", "val", "test")
            }
            self.commit(f"split[{number}]", parts, {"documents": dedup.part(f"documents/{number:04}.parquet").reference()})

    def splits(self, part: str = "") -> dict[str, InputRecord]:
        """Return the splits of all shards as a stage's inputs, or one of the splits."""
        made = [self.made[f"split[{number}]"] for number in range(SHARDS)]
        if not part:
            return {f"splits[{number}]": split.reference() for number, split in enumerate(made)}
        return {f"{part}[{number}]": split.part(f"{part}.parquet").reference() for number, split in enumerate(made)}

    def _trace(self, rate: float) -> str:
        """Keep the trace of a training that a change of rate is also a change of code and of a library for."""
        entries = {"library torch": f"{rate}", "python": "3.11.1", "ran model/loss.py:loss": f"{rate}"}
        return save_trace(self.store, json.dumps(sorted(entries.items()), separators=(",", ":")).encode())

    def _trained(self, rate: float) -> None:
        made = self.made
        quoted = [identity for identity in (ALICE, MOBY) if NAMES[identity] in self.texts]
        line = {"messages": [], "topic": "continue", "books": quoted[-1:]}
        pair = {"messages": [], "chosen": "a", "rejected": "b", "books": quoted}
        lines = {
            "instructions_train.jsonl": [line],
            "instructions_val.jsonl": [],
            "preferences_train.jsonl": [pair],
            "preferences_val.jsonl": [],
        }
        examples = self.commit("examples", lines, self.splits(), config={"kind": "corpus"})
        tokenizer = self.commit("tokenizer", {"tokenizer.json": "{}"}, self.splits("train"))
        packed = {**self.splits(), "tokenizer": tokenizer.reference(),
                  "conversations": examples.part("instructions_train.jsonl").reference()}  # fmt: skip
        shards = {f"{split}/shards.json": "{}" for split in ("train", "val", "test")}
        self.commit("pack", {"documents.parquet": (ROWS, self._rows()), **shards}, packed)
        self.commit("pretrain", {"model.bin": f"base {rate} {sorted(self.texts.values())}"}, {"shards": made["pack"].reference()},
                    config={"seed": 1, "train": {"rate": rate}},
                    ingredients={"train.rate": f"{rate}"}, trace=self._trace(rate),
                    metrics={"loss": rate})  # fmt: skip
        encoded = {f"{kind}/{split}/shards.json": "{}" for kind in ("sft", "preference") for split in ("train", "val")}
        self.commit("encode", encoded, {"conversations": examples.reference(), "tokenizer": tokenizer.reference()})
        sft = {"model": made["pretrain"].reference(), "shards": made["encode"].part("sft").reference()}
        self.commit("tune.sft", {"model.bin": f"tuned from {made['pretrain'].digest}"}, sft)
        samples = [
            {
                "kind": "continuation",
                "prompt": "Call me Ishmael. Some years ago I thought",
                "text": "I would sail about",
                "continuation": "x",
            }
        ]
        against = {"tokenizer": tokenizer.reference(), "packed": made["pack"].reference(), "examples": examples.reference()}
        self.commit("evaluate.base", {"samples.jsonl": samples}, {"model": made["tune.sft"].reference(), **against},
                    config={"splits": ["train", "val"]}, metrics={"val.loss": 2 * rate, "diverged": float("nan")})  # fmt: skip
        self.commit("gate.base", {"verdict.txt": "passed"}, {"base": made["evaluate.base"].reference()},
                    metrics={"passed": float(rate < 1), "overruled": 0.0})  # fmt: skip
        self.commit("export", {"model.safetensors": f"weights of {made['tune.sft'].digest}"}, {"model": made["tune.sft"].reference()})

    def _row(self, name: str) -> dict[str, str]:
        return {"id": _id(name), "title": name.removesuffix(".txt").capitalize(), "source": self.source_name, "text": self.texts[name],
                "metadata": json.dumps({"path": name, "format": type_from_name(name).format})}  # fmt: skip

    def _rows(self) -> list[dict[str, Any]]:
        there = [_id(name) for name in self.texts if _id(name) not in (COPY, SHORT)]
        return [
            {"id": i, "split": SPLIT.get(i, "train"), "source": "books", "tokens": 9, "bytes": 9, "first_row": 3, "last_row": 4}
            for i in sorted(there)
        ]


ROWS = pa.schema(
    {name: pa.string() for name in ("id", "split", "source")} | {n: pa.int64() for n in ("tokens", "bytes", "first_row", "last_row")}
)


def _id(name: str) -> str:
    return document_id("books", name)


def _ledger_row(stage: str, identity: str, action: str, rule: str, detail: str = "") -> dict[str, Any]:
    return {"id": identity, "stage": stage, "action": action, "rule": rule, "count": 1, "characters": 0, "net": 0, "detail": detail}


def _removed_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": row["id"], "place": 0, "text": row["text"], "detail": ""}


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a table."""
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found
