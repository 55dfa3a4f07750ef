"""A document's words are found wherever folio keeps files, and each place is told with what removes it."""

from __future__ import annotations

import gzip
import json
import sqlite3
from pathlib import Path

import pytest

from data.searching.decoding import Wanted
from flows.cli.views.takedown import show_takedown
from tasks.lineage.corpus_run import find_document
from tasks.lineage.holdings import own_phrases
from tasks.lineage.removal import unreachable
from tasks.lineage.word_search import Search, WordSearch
from tasks.stage.store.store import Store
from tests.tasks.lineage.brute_force import files_with
from tests.tasks.lineage.corpus_store import ALICE, COPY, MOBY, TEXTS, Corpus

SENTENCE = "Some years ago I thought I would sail about a little"
RUN = "20261125T130501-3fa2bc"


@pytest.fixture
def home(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which a sentence of a book lies in every kind of place."""
    home = tmp_path / "home"
    monkeypatch.setenv("FOLIO_HOME", str(home))
    books = tmp_path / "recipe" / "books"
    books.mkdir(parents=True)
    for name, text in TEXTS.items():
        (books / name).write_text(text)
    source = {"kind": "files", "name": "books", "paths": ["books"]}
    training = {"training": {"keep_in": "retained"}}
    corpus.record(RUN, configuration={"root": str(tmp_path / "recipe"), "ingest": {"sources": [source]}, "resources": training,
                                      "tracking": "http://mlflow.example"})  # fmt: skip
    (tmp_path / "recipe" / "retained").mkdir()
    (tmp_path / "recipe" / "retained" / "notes.txt").write_text(SENTENCE)
    words = " ".join(f"<b>{word}</b>" for word in SENTENCE.split())
    for name, content in {
        "reports/books.html": f"<p>{words}</p>".encode(),
        "mlflow/1/artifacts/samples.json": json.dumps({"sample": SENTENCE.replace(" ", "\n")}).encode(),
        "logs/old.log.gz": gzip.compress(SENTENCE.encode()),
        "prefect-results/abc": json.dumps(json.dumps({"x": SENTENCE})).encode(),
        "cache/pages/d.drawing": f"sum\n<svg><title>{SENTENCE}</title></svg>".encode(),
        "cache/artifacts/0a1b/train.txt": SENTENCE.encode(),
        "chat-history": SENTENCE.encode(),
        "mlflow/1/artifacts/harmless.txt": b"Call me soon about some of the watery years",
        "logs/names.log": f"reading document {MOBY}".encode(),
        "mlflow/1/models/m/model.safetensors": f"weights of {corpus.made['tune.sft'].digest}".encode(),
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(content)
    with sqlite3.connect(home / "mlflow.db") as connection:
        connection.execute("CREATE TABLE tags (value TEXT)")
        connection.execute("INSERT INTO tags VALUES (?)", (SENTENCE,))
    for path in (".staging/pack-1/scratch/part", ".quarantine/x-1/text", ".runs/note", "clean/half/documents.txt"):
        corpus.store.put(path, SENTENCE.encode())
    return home


def searched(corpus: Corpus, home: Path, identity: str = MOBY) -> Search:
    """Search for a document's own phrases and its id."""
    snapshot = corpus.snapshot
    return WordSearch(snapshot, home, Wanted(own_phrases(snapshot, identity).phrases, (identity,)), [corpus.made["export"]]).run()


def test_every_place_is_found_with_its_kind_and_what_removes_it(corpus: Corpus, home: Path) -> None:
    found = searched(corpus, home)
    kinds = {
        (holder.place.kind, holder.place.removal) for holder in found.holders if holder.how in ("copy", "words") and not holder.location
    }
    assert kinds == {
        ("report", "person"), ("MLflow's copy", "person"), ("MLflow's database", "person"), ("log", "person"),
        ("Prefect's result", "person"), ("kept part of a page", "person"), ("local copy of a remote artifact", "person"),
        ("file in folio's home", "person"), ("work in progress", "gc"), ("quarantined artifact", "gc"), ("journal", "person"),
        ("file beside the artifacts", "person"), ("source", "person"), ("retained model", "person"),
    }  # fmt: skip
    by_name = {Path(holder.path).name: holder for holder in found.holders}
    assert by_name["moby.txt"].how == "copy"
    assert (by_name["mlflow.db"].how, by_name["mlflow.db"].inside) == ("words", ("tags",))
    assert by_name["mlflow.db"].quote == SENTENCE.lower()
    assert by_name["names.log"].how == "name"
    assert by_name["model.safetensors"].how == "learned"
    assert not {"harmless.txt", "alice.txt"} & by_name.keys()


def test_an_own_brute_force_search_finds_no_file_that_is_not_named(corpus: Corpus, home: Path) -> None:
    if corpus.store.local_root is None:
        pytest.skip("the brute force reads files on disk")
    named = {Path(holder.path) for holder in searched(corpus, home).holders}
    found = files_with([SENTENCE, "see the watery part of the world"], [home, corpus.store.local_root, home.parent / "recipe"])
    assert len(found) >= 15
    assert found <= named


def test_artifacts_are_searched_too_in_an_object_store_as_on_disk(corpus: Corpus, home: Path) -> None:
    found = {holder.location for holder in searched(corpus, home).holders if holder.how != "name"}
    lineage = {corpus.made[f"{stage}[{int(MOBY, 16) * 2 >> 64}]"].location for stage in ("ingest", "clean", "split")}
    assert found - {""} == lineage | {corpus.made[stage].location for stage in ("dedup", "pretrain", "evaluate.base")}


def test_words_of_other_documents_are_no_document_s_own_unless_that_document_is_a_copy(corpus: Corpus) -> None:
    alone = own_phrases(corpus.snapshot, MOBY)
    assert (len(alone.phrases), alone.copies) == (alone.all, {})
    twin = own_phrases(corpus.snapshot, ALICE)
    assert twin.copies == {COPY: 1.0} and len(twin.phrases) == twin.all
    quoting = {**TEXTS, "quoting.txt": "A friend of mine said that it was the age of wisdom. " + "Nothing else was said by anyone. " * 9}
    corpus.run("2", quoting)
    tale = own_phrases(corpus.snapshot, "tale")
    assert tale.all == 0


def test_a_takedown_tells_all_and_its_commands_name_the_recipe_the_documents_and_the_files(corpus: Corpus, home: Path) -> None:
    (home.parent / "recipe" / "books.yaml").write_text("name: books\n")
    text = show_takedown(MOBY, store=corpus.store.url)
    for expected in (
        "searched for 18 phrases of 5 words that no other document has",
        "reports/books.html: 7 phrases such as",
        "weights that learned from it, outside the artifacts: 1",
        "http://mlflow.example: MLflow outside folio's home: search it there",
        f"folio run {home.parent}/recipe/books.yaml --set 'ingest.without=[\"{MOBY}\"]'",
        f"folio gc --delete --without {MOBY} --store ",
        f"rm {home}/reports/books.html",
    ):
        assert expected in text, expected
    found = json.loads(show_takedown(MOBY, as_json=True, store=corpus.store.url))
    assert {holder["removed_by"] for holder in found["searched"]["holders"]} == {"gc", "person"}
    assert json.loads(show_takedown(MOBY, search=False, as_json=True, store=corpus.store.url))["searched"] is None


def test_a_text_that_folio_did_not_read_is_said_to_be_none_of_its_and_its_words_are_searched_all_the_same(
    corpus: Corpus, home: Path, tmp_path: Path
) -> None:
    foreign, copied = tmp_path / "foreign.txt", tmp_path / "copied.txt"
    foreign.write_text("Not a word of this was ever in any of the books.")
    copied.write_text(TEXTS["moby.txt"])
    text = show_takedown(str(foreign), store=corpus.store.url)
    assert "foreign.txt was not made by folio: its sha256, " in text and "hold its words outside the artifacts: none" in text
    assert f"{MOBY} has 100% of its phrases: folio takedown {MOBY}" in show_takedown(str(copied), store=corpus.store.url)
    found = json.loads(show_takedown(str(copied), as_json=True, store=corpus.store.url))
    assert str(home / "reports/books.html") in {holder["path"] for holder in found["searched"]["holders"]}


def test_an_mlflow_elsewhere_is_named_as_out_of_reach(corpus: Corpus, tmp_path: Path) -> None:
    runs = [corpus.record(f"{number}", configuration={"tracking": tracking}) for number, tracking in enumerate(
        ("", "none", f"sqlite:///{tmp_path}/mlflow.db", "sqlite:////elsewhere/mlflow.db"))]  # fmt: skip
    assert [address for address, _ in unreachable(runs, tmp_path)] == ["sqlite:////elsewhere/mlflow.db"]


def test_a_store_below_the_home_is_searched_once(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    corpus.run()
    paths = [holder.path for holder in searched(corpus, tmp_path).holders]
    assert paths and len(paths) == len(set(paths))


def test_weights_that_no_record_tells_of_may_have_learned_from_it_and_known_ones_are_told_apart(corpus: Corpus, home: Path) -> None:
    tuned = corpus.store.fs.cat_file(f"{corpus.store.root}/{corpus.made['export'].files_at}/model.safetensors")
    foreign = corpus.commit("adopt", {"model.safetensors": "an open model"})
    opened = corpus.store.fs.cat_file(f"{corpus.store.root}/{foreign.files_at}/model.safetensors")
    unknown = (".quarantine/tune-1/model.safetensors", ".staging/pretrain-1/resume/step-3/state.pt", "tune/half/model.safetensors")
    for path in unknown:
        corpus.store.put(path, b"weights of nobody")
    corpus.store.put(".quarantine/export-1/model.safetensors", tuned)
    corpus.store.put(".quarantine/adopt-1/model.safetensors", opened)
    (home.parent / "recipe" / "retained" / "model.safetensors").write_bytes(b"weights of a step")
    found = find_document(corpus.snapshot, MOBY)
    assert found is not None
    snapshot = corpus.snapshot
    wanted = Wanted(own_phrases(snapshot, MOBY).phrases, (MOBY,))
    holders = WordSearch(snapshot, home, wanted, [corpus.made["export"]], found[0]).run().holders
    how = {Path(holder.path).relative_to(Path(corpus.store.root)).as_posix() if holder.path.startswith(corpus.store.root) else
           Path(holder.path).parent.name: holder.how for holder in holders}  # fmt: skip
    if corpus.store.local_root is not None:
        assert how[".quarantine/export-1/model.safetensors"] == "learned"
        assert ".quarantine/adopt-1/model.safetensors" not in how
    assert [how[path] for path in unknown] == ["unknown"] * 3
    assert {holder.how for holder in holders if holder.path.endswith("retained/model.safetensors")} == {"unknown"}


def test_the_file_that_a_document_was_read_from_is_named_though_its_bytes_show_no_words_and_another_path_is_gone(
    corpus: Corpus, home: Path
) -> None:
    books = home.parent / "recipe" / "books"
    (books / "moby.txt").write_bytes(TEXTS["moby.txt"].encode("utf-16-be"))
    source = {"kind": "files", "name": "books", "paths": ["gone", "*.txt"]}
    corpus.record("20261125T130502-3fa2bc", configuration={"root": str(books), "ingest": {"sources": [source]}})
    text = show_takedown(MOBY, store=corpus.store.url)
    assert "it was read from, though no words show in the bytes: 1" in text and str(books / "moby.txt") in text
