"""The lineage of a real run: what made its model, and where each book is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.parquet as pq

from flows.cli.snapshot import open_snapshot
from flows.cli.views.lineage import show_lineage
from flows.cli.views.takedown import show_takedown
from flows.services.home import store_url
from tasks.lineage.corpus_run import find_document
from tasks.lineage.holdings import find_holdings
from tests.end_to_end.conftest import FinishedRun


def ids(four_books: FinishedRun, place: str, file: str) -> list[str]:
    """Return the documents of a table of the run."""
    return [row["id"] for row in pq.read_table(four_books.folder(place) / file, columns=["id"]).to_pylist()]


def test_a_copy_of_the_exported_model_file_leads_to_everything_it_was_made_from(four_books: FinishedRun, tmp_path: Path) -> None:
    copied = tmp_path / "someone's model.bin"
    copied.write_bytes((four_books.folder("export") / "model.safetensors").read_bytes())
    lineage = json.loads(show_lineage(str(copied), as_json=True))
    assert {node["stage"] for node in lineage["nodes"]} >= {"ingest", "clean", "dedup", "tokenizer", "pretrain", "tune", "export"}
    assert lineage["cost"]["cpu_seconds"] > 0
    assert any(node["seeds"] for node in lineage["nodes"])
    drawing = tmp_path / "lineage.svg"
    text = show_lineage(str(copied), drawing=drawing)
    assert "is a copy of a file of export/four_books-" in text
    assert "shards: pack/four_books-" in text
    assert drawing.read_text().startswith("<svg xmlns=")


def test_a_takedown_agrees_with_the_tables_of_a_real_run(four_books: FinishedRun) -> None:
    snapshot = open_snapshot(store_url())
    for identity in ids(four_books, "dedup", "documents/0000.parquet"):
        found = find_document(snapshot, identity)
        assert found is not None
        held = {h.artifact.address: h for h in find_holdings(snapshot, found[0])}
        assert all(h.certain for h in held.values()), [h for h in held.values() if not h.certain]
        split = held[four_books.artifacts["split[0]"].address].parts
        tables = [f"{name}.parquet" for name in ("train", "val", "test")]
        assert split == {file for file in tables if identity in ids(four_books, "split[0]", file)}
        assert held[four_books.artifacts["export"].address].learned == ("train.parquet" in split)
        examples = held[four_books.artifacts["examples"].address]
        lines = (four_books.folder("examples") / "instructions_train.jsonl").read_text().splitlines()
        named = any(identity in json.loads(line)["books"] for line in lines)
        assert ("instructions_train.jsonl" in examples.parts) == named


def test_a_takedown_of_a_real_book_says_which_file_to_delete_and_what_to_run(four_books: FinishedRun) -> None:
    (first, *_) = sorted(Path("flows/recipe/four_books").glob("*.txt"))
    text = show_takedown(str(first))
    assert f"delete or move the file four_books/{first.name} of source four_books" in text
    assert re.search(r"folio run \S*four_books", text)
    assert "export/four_books-" in text
