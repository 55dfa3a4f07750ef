"""Conversations from files: read in every format, compared and held out as books are, and mixed with generated examples."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from data.decontamination.config import DecontaminateConfig
from data.dedup.dedup import dedup
from data.documents.sharding import SHARD_DOCUMENTS, document_id, text_digest
from data.examples.config import ConversationExamples, CorpusExamples
from data.examples.make import make_examples
from data.sources.files import source_state
from data.sources.ingest import IngestInputs, ingest
from tests.data.decontamination.sharded import decontaminate_shards
from tests.data.sources.reading import digests, limits
from tests.data.splits.sharded import split_shards

HELD_OUT = "the old queen walked slowly down to the river and counted every single white stone twice"
TALKS = [
    {
        "messages": [
            {"role": "user", "content": f"What colour is thing {n}?"},
            {"role": "assistant", "content": f"Thing {n} is red, or {n}."},
        ]
    }
    for n in range(20)
]
QUOTING = {"messages": [{"role": "user", "content": f"Who says that {HELD_OUT}?"}, {"role": "assistant", "content": "Nobody."}]}
QUESTION = "which of the many small ships in the harbour belongs to the baker"
ASKING = {"messages": [{"role": "user", "content": f"Tell me {QUESTION}?"}, {"role": "assistant", "content": "The blue one."}]}
PAIRS = [{"prompt": f"Pick {n}.", "chosen": f"I pick {n}.", "rejected": f"No {n}."} for n in range(3)]
LABELS = [{"prompt": f"Say {n}.", "completion": f"{n}!", "label": n % 2 == 0} for n in range(3)]


def config(**changes: Any) -> ConversationExamples:
    """Two sources, of which one is a table."""
    sources = [
        {"kind": "files", "name": "chats", "paths": ["chats"]},
        {"kind": "files", "name": "feedback", "paths": ["*.parquet"], "licence": "mit"},
    ]
    return ConversationExamples.model_validate({"sources": sources, "validation_fraction": 0.2, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conversations in JSON lines, plain and compressed, in a table with nested columns, and in a CSV; then every stage's output."""
    folder = tmp_path_factory.mktemp("talks")
    (folder / "chats").mkdir()
    with gzip.open(folder / "chats" / "talks.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in [*TALKS, QUOTING, ASKING, TALKS[0], {"text": "no talk"}, {"messages": []}])
    with (folder / "chats" / "alpaca.csv").open("w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table)
        rows.writerows([("instruction", "input", "output"), *((f"Name fruit {n}.", "", "Apple.") for n in range(3))])
    (folder / "chats" / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in LABELS), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(PAIRS), folder / "feedback.parquet")
    (folder / "held_out").mkdir()
    pq.write_table(pa.Table.from_pylist([{"text": f"Once. {HELD_OUT.capitalize()}. The end."}]), folder / "held_out" / "test.parquet")
    (folder / "held_out" / "questions.jsonl").write_text(
        json.dumps({"question": QUESTION, "answers": ["x"], "fact": "f"}) + "\n", encoding="utf-8"
    )
    make(folder, config())
    return folder


def make(folder: Path, examples: ConversationExamples) -> dict[str, dict[str, float]]:
    """Pass the stages that the flow calls; return the metrics of each."""
    reading, around = examples.reading(()), limits(folder / "scratch")
    inputs = IngestInputs(folder, folder, observed=source_state(reading, folder, None, digests))
    found = {"ingest": ingest(reading, folder / "ingest", inputs, None, **around)}
    found["dedup"] = dedup([folder / "ingest" / "documents.parquet"], folder / "dedup", examples.deduplicating, **around)
    held_out = {"test": [folder / "held_out" / "test.parquet"], "questions": [folder / "held_out" / "questions.jsonl"]}
    dropping, unique = DecontaminateConfig(action="drop"), [folder / "dedup" / SHARD_DOCUMENTS.format(0)]
    found["decontaminate"] = decontaminate_shards(unique, folder / "clean", dropping, root=folder, held_out=held_out, **around)
    clusters, clean = folder / "dedup" / "clusters.parquet", [folder / "clean" / "0" / "documents.parquet"]
    splits, found["split"] = split_shards(clean, clusters, folder / "split", examples.splitting, **around)
    found["examples"] = make_examples(splits, None, folder / "examples", examples)
    (folder / "metrics.json").write_text(json.dumps(found), encoding="utf-8")
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(path: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file."""
    return pq.read_table(path).to_pylist()


def test_every_record_is_a_document_or_quarantined_with_its_reason(folder: Path) -> None:
    kept, ledger = table(folder / "ingest" / "documents.parquet"), table(folder / "ingest" / "ledger.parquet")
    assert len(kept) == 23 + 3 + 3 + 3
    assert {row["reason"].partition(":")[0] for row in table(folder / "ingest" / "quarantine.parquet")} == {
        "unknown shape", "no conversation",
    }  # fmt: skip
    assert len(ledger) == len(kept) + 2
    first = next(row for row in kept if row["id"] == document_id("chats", "chats/talks.jsonl.gz#1"))
    assert (first["title"], first["text"]) == (
        "What colour is thing 0?", "user:\nWhat colour is thing 0?\n\nassistant:\nThing 0 is red, or 0.",
    )  # fmt: skip
    assert json.loads(json.loads(first["metadata"])["conversation"]) == TALKS[0]


def test_equal_conversations_and_those_that_hold_held_out_text_are_removed(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["dedup"]["documents_exact"] == 1
    assert metrics["decontaminate"]["documents_dropped"] == 2
    assert (metrics["decontaminate"]["items_hit_test"], metrics["decontaminate"]["items_hit_questions"]) == (1, 1)
    text = "".join(path.read_text() for path in (folder / "examples").glob("*.jsonl"))
    assert "queen" not in text and "baker" not in text


def test_each_kind_goes_into_its_file_and_names_its_conversation_and_source(folder: Path) -> None:
    found = {kind: [line for part in ("train", "val") for line in lines(folder / "examples" / f"{kind}_{part}.jsonl")]
             for kind in ("instructions", "preferences", "labels")}  # fmt: skip
    assert {kind: len(told) for kind, told in found.items()} == {"instructions": 23, "preferences": 3, "labels": 3}
    assert lines(folder / "examples" / "instructions_val.jsonl")
    pair = next(line for line in found["preferences"] if line["chosen"] == "I pick 1.")
    assert pair == {
        "messages": [{"role": "user", "content": "Pick 1."}], "chosen": "I pick 1.", "rejected": "No 1.",
        "topic": "feedback", "books": [document_id("feedback", "feedback.parquet#2")],
    }  # fmt: skip
    sources = json.loads((folder / "examples" / "sources.json").read_text())
    assert sources.keys() == {"chats", "feedback"}
    assert sum(source["documents"] for source in sources.values()) == sum(
        len(lines(folder / "examples" / f"{kind}_train.jsonl")) for kind in found
    )


def test_generated_examples_are_mixed_in_and_give_the_questions(folder: Path, tmp_path: Path) -> None:
    generated = tmp_path / "generated"
    generated.mkdir()
    told = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "topic": "t"}
    for name in ("instructions_train", "instructions_val", "preferences_train", "preferences_val", "questions_seen", "questions_rare"):
        (generated / f"{name}.jsonl").write_text(json.dumps(told) + "\n", encoding="utf-8")
    (generated / "questions_heldout.jsonl").write_text("", encoding="utf-8")
    metrics = make_examples([folder / "split" / "0"], None, tmp_path / "mixed", config(generated=CorpusExamples()), generated)
    assert metrics["instructions_train"] == metrics["instructions_train_read"] + 1
    assert {**told, "books": []} in lines(tmp_path / "mixed" / "instructions_train.jsonl")
    assert (tmp_path / "mixed" / "questions_rare.jsonl").read_bytes() == (generated / "questions_rare.jsonl").read_bytes()


def test_an_excluded_conversation_is_not_read_and_the_ledger_says_so(folder: Path, tmp_path: Path) -> None:
    identity = document_id("feedback", "feedback.parquet#2")
    (text,) = (row["text"] for row in table(folder / "ingest" / "documents.parquet") if row["id"] == identity)
    reading = config().reading((text_digest(text),))
    assert set(source_state(reading, folder, None, digests)) > {f"document {text_digest(text)} (never to be read)"}
    ingest(reading, tmp_path / "out", IngestInputs(folder, folder), None, **limits(tmp_path / "scratch"))
    assert identity not in {row["id"] for row in table(tmp_path / "out" / "documents.parquet")}
    assert [row["rule"] for row in table(tmp_path / "out" / "ledger.parquet") if row["id"] == identity] == ["never to be read"]


def test_keys_of_texts_and_sources_of_one_name_are_refused() -> None:
    for key in ("text_field", "title_field", "join"):
        with pytest.raises(ValidationError, match=key):
            config(sources=[{"kind": "files", "paths": ["x"], key: "x"}])
    with pytest.raises(ValidationError, match="two are called 'conversations'"):
        config(sources=[{"kind": "files", "paths": ["x"]}, {"kind": "files", "paths": ["y"]}])
