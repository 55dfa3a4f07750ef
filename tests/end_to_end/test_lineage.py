"""A real run told afterwards: what made its model, where each book is, and how it differs from another run."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from flows.cli.snapshot import open_snapshot
from flows.cli.views.lineage import show_lineage
from flows.cli.views.takedown import show_takedown
from flows.services.home import store_url
from tasks.lineage.documents import find_document
from tasks.lineage.holdings import find_holdings
from tests.end_to_end.conftest import Ran


def ids(four_books: Ran, place: str, file: str) -> list[str]:
    """The documents of a table of the run."""
    return list(pq.read_table(four_books.folder(place) / file, columns=["id"])["id"].to_pylist())


def test_the_exported_model_file_copied_anywhere_tells_all_that_it_was_made_from(four_books: Ran, tmp_path: Path) -> None:
    copied = tmp_path / "someone's model.bin"
    copied.write_bytes((four_books.folder("export") / "model.safetensors").read_bytes())
    told = json.loads(show_lineage(str(copied), as_json=True))
    assert {node["stage"] for node in told["nodes"]} >= {"ingest", "clean", "dedup", "tokenizer", "pretrain", "sft", "dpo", "export"}
    assert told["cost"]["cpu_seconds"] > 0
    assert any(node["seeds"] for node in told["nodes"])
    drawing = tmp_path / "lineage.svg"
    text = show_lineage(str(copied), drawing=drawing)
    assert "is a copy of a file of export/four_books-" in text
    assert "shards: pack/four_books-" in text
    assert drawing.read_text().startswith("<svg xmlns=")


def test_what_tables_of_a_real_run_hold_is_what_a_takedown_says(four_books: Ran) -> None:
    snapshot = open_snapshot(store_url())
    for identity in ids(four_books, "dedup", "documents.parquet"):
        found = find_document(snapshot, identity)
        assert found is not None
        held = {h.artifact.key: h for h in find_holdings(snapshot, found[0])}
        assert all(h.certain for h in held.values()), [h for h in held.values() if not h.certain]
        split = held[four_books.artifacts["split"].key].parts
        assert split == {f"{name}.parquet" for name in ("train", "val", "test") if identity in ids(four_books, "split", f"{name}.parquet")}
        assert held[four_books.artifacts["export"].key].learned == ("train.parquet" in split)
        examples = held[four_books.artifacts["examples"].key]
        lines = (four_books.folder("examples") / "instructions_train.jsonl").read_text().splitlines()
        named = any(identity in json.loads(line)["books"] for line in lines)
        assert ("instructions_train.jsonl" in examples.parts) == named


def test_a_takedown_of_a_real_book_says_which_file_to_delete_and_what_runs_again(four_books: Ran) -> None:
    (first, *_) = sorted(Path("flows/recipe/four_books").glob("*.txt"))
    text = show_takedown(str(first))
    assert f"delete or move the file four_books/{first.name} of source four_books" in text
    assert "folio run four_books" in text
    assert "export/four_books-" in text
