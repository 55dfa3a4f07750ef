"""A machine's text can be taken down like a book, and what a model wrote is never called clean of what it may have learned."""

from __future__ import annotations

from pathlib import Path

from data.documents.schema import document_id
from data.provenance.tables import Document
from data.synthetic.write import COLUMNS
from tasks.lineage.holdings import find_holdings
from tasks.lineage.hook import Holding
from tasks.stage.store.store import Store
from tests.tasks.lineage.corpus_store import Corpus

PATH = "templates/abc.txt"


def _held(tmp_path: Path, source: str, path: str, kind: str) -> Holding:
    corpus = Corpus(Store(str(tmp_path / f"{kind}{source}"), tmp_path / "cache"))
    corpus.version, corpus.texts = "1", {}
    row = {"path": PATH, "maker": kind, "text": "Words of a machine."}
    corpus.commit("synthesize", {"texts.parquet": (COLUMNS, [row])}, config={"name": "robot", "maker": {"kind": kind}})
    (held,) = find_holdings(corpus.snapshot, Document(document_id(source, path), source, path, "A title"))
    return held


def test_the_table_of_a_machines_texts_holds_its_own_and_no_others(tmp_path: Path) -> None:
    assert _held(tmp_path, "robot", PATH, "templates").parts == {"texts.parquet"}
    for source, path in (("robot", "templates/other.txt"), ("books", PATH)):
        held = _held(tmp_path, source, path, "templates")
        assert not held.affected and held.certain


def test_what_a_model_wrote_may_come_of_any_document(tmp_path: Path) -> None:
    held = _held(tmp_path, "books", "alice.txt", "model")
    assert held.learned and not held.certain and held.detail == "written by a model that may have learned from it"
