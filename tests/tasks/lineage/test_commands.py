"""`folio lineage` and `folio takedown` as text, as data and as a drawing."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from flows.cli.views.lineage import show_lineage
from flows.cli.views.takedown import show_takedown
from tasks.stage.store.store import Store
from tests.tasks.lineage.corpus_store import ALICE, COPY, MOBY, PRIDE, Corpus
from tests.tasks.records import accepted

RUN = "20261125T130501-3fa2bc"
PRICED = {"rates": {"currency": "CHF", "cpu_hour": 1800.0, "gpu_hour": 0.0}}


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """A run in the journal, in a store on disk; nothing else is at home, where a takedown looks, too."""
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "home"))
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    corpus.run()
    corpus.record(RUN, configuration=PRICED)
    return corpus


def test_a_lineage_ends_with_cost_in_the_recipe_s_currency_seeds_and_commits(corpus: Corpus) -> None:
    text = show_lineage("export/books", store=corpus.store.url)
    # Fourteen executions, two of them shards of ingest, two of clean and two of split, of a second of work and two of CPU each.
    assert "cost of all of it: 14.0 s of work, 28.0 s of CPU, 14.00 CHF" in text
    assert "seeds: pretrain.seed=1" in text
    assert "git commit abc, 14 of 14 artifacts" in text
    assert "documents: ingest x 2  books" in text


def test_all_shards_are_shown_on_request(corpus: Corpus) -> None:
    text = show_lineage("export/books", unfold=True, store=corpus.store.url)
    assert f"documents[1]: {corpus.made['clean[1]'].location}" in text
    assert " x 2" not in text


def test_the_lineage_of_a_run_starts_from_its_final_artifacts(corpus: Corpus) -> None:
    lines = show_lineage("books", store=corpus.store.url).splitlines()
    assert lines[0].startswith(f"run {RUN} of books: finished, started ")
    assert [line for line in lines if line.startswith(("gate/", "export/"))]


def test_a_forward_lineage_of_a_document_follows_its_words_and_what_learned_from_them(corpus: Corpus) -> None:
    seen = show_lineage(MOBY, forward=True, store=corpus.store.url)
    assert "export/books-" in seen
    assert "gate/books-" not in seen
    held_back = show_lineage(PRIDE, forward=True, store=corpus.store.url)
    assert "as shards: pretrain/books-" in held_back
    assert "export/books-" not in held_back
    removed = show_lineage(COPY, forward=True, store=corpus.store.url)
    assert "dedup/" in removed and "split/" not in removed


def test_lineage_json_has_nodes_edges_and_what_each_artifact_was_made_with(corpus: Corpus) -> None:
    found = json.loads(show_lineage("folio-books@champion", as_json=True, store=corpus.store.url))
    nodes = {node["address"]: node for node in found["nodes"]}
    assert found["thing"]["kind"] == "model"
    assert found["roots"] == [corpus.made["export"].key]
    assert {(nodes[e["from"]]["stage"], nodes[e["to"]]["stage"], e["as"]) for e in found["edges"]} >= {
        ("tune", "export", "model"),
        ("ingest", "clean", "documents"),
        ("clean", "dedup", "documents[1]"),
    }
    measured = json.loads(show_lineage("evaluate/books-base", as_json=True, store=corpus.store.url), parse_constant=pytest.fail)["nodes"][0]
    assert measured["metrics"]["diverged"] == "NaN", "JSON has no word for it"
    trained = nodes[corpus.made["pretrain"].key]
    assert trained["config"]["train"] == {"rate": 0.5}
    assert trained["seeds"] == {"seed": 1}
    assert trained["origin"]["git_commit"] == "abc"
    assert nodes[corpus.made["clean[1]"].key]["shard"] == "1 of 2"
    assert found["cost"] == {"wall_seconds": 14.0, "cpu_seconds": 28.0, "gpu_seconds": 0.0, "money": 14.0, "currency": "CHF"}


def test_lineage_json_has_missing_and_accepted_artifacts(corpus: Corpus) -> None:
    accepted(corpus.store, corpus.made["pack"], "k" * 64, "only a comment")
    corpus.store.fs.rm(f"{corpus.store.root}/{corpus.made['tokenizer'].location}", recursive=True)
    nodes = {node["location"]: node for node in json.loads(show_lineage("export/books", as_json=True, store=corpus.store.url))["nodes"]}
    assert nodes[corpus.made["tokenizer"].location]["gone"] is True
    assert nodes[corpus.made["pack"].location]["accepted"] == [{"key": "k" * 64, "reason": "only a comment"}]


def test_a_drawing_is_an_svg_file_with_one_box_for_shards_and_one_for_a_missing_artifact(corpus: Corpus, tmp_path: Path) -> None:
    corpus.store.fs.rm(f"{corpus.store.root}/{corpus.made['tokenizer'].location}", recursive=True)
    show_lineage("export/books", drawing=tmp_path / "drawn.svg", store=corpus.store.url)
    root = ElementTree.parse(tmp_path / "drawn.svg").getroot()
    words = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert words.count("× 2") == 3
    assert {"ingest", "clean", "export", "tokenizer"} <= set(words)
    boxes = [element.get("class") for element in root.iter() if element.tag.endswith("}g")]
    assert boxes.count("node elsewhere") == 1


def test_the_text_of_a_takedown_names_every_group_and_what_to_do(corpus: Corpus) -> None:
    text = show_takedown("copy of alice.txt", store=corpus.store.url)
    for expected in (
        f"document {COPY}: books/copy of alice.txt",
        "contain it: 3",
        "learned from it: none",
        "learned its text from the document kept in its place: 4",
        f"{ALICE} (books/alice.txt, 'Alice') was kept in its place",
        "folio-books version 1 (champion)",
        f"runs that used it: {RUN}",
        "1. delete or move the file copy of alice.txt of source books, below the recipe's root; the same for books/alice.txt",
    ):
        assert expected in text, expected
    assert json.loads(show_takedown(COPY, as_json=True, store=corpus.store.url))["without"] == [COPY, ALICE]
    with pytest.raises(LookupError, match="is called 'Moby Dick'; give its id, its path or its title"):
        show_takedown("Moby Dick", store=corpus.store.url)
