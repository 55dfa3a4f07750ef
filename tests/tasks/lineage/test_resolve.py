"""Artifacts, files, runs, models and documents are found by any of their names, from the store alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from flows.cli.snapshot import find_in_store
from tasks.lineage.resolve import resolve
from tasks.stage.store.journal import Journal
from tests.tasks.lineage.corpus_store import ALICE, COPY, TEXTS, Corpus

RUN = "20261125T130501-3fa2bc"


def test_an_artifact_is_found_by_its_location_and_its_key(corpus: Corpus) -> None:
    model = corpus.made["pretrain"]
    for name in (model.location, "pretrain/books", model.key[:10], model.digest):
        found = resolve(corpus.snapshot, name)
        assert (found.kind, found.roots) == ("artifact", (model,))


def test_a_sharded_stage_is_all_its_shards(corpus: Corpus) -> None:
    assert resolve(corpus.snapshot, "ingest/books").roots == (corpus.made["ingest[0]"], corpus.made["ingest[1]"])


def test_a_copy_of_a_file_anywhere_on_disk_is_known_by_its_bytes(corpus: Corpus, tmp_path: Path) -> None:
    copied = tmp_path / "downloaded.bin"
    copied.write_bytes(corpus.store.fs.cat_file(f"{corpus.store.root}/{corpus.made['export'].files_at}/model.safetensors"))
    found = resolve(corpus.snapshot, str(copied))
    assert (found.kind, found.roots) == ("file", (corpus.made["export"],))
    assert "is a copy of a file of export/books-" in found.description


def test_a_file_in_the_store_means_the_artifact_it_is_in_even_if_others_have_the_same_bytes(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    if corpus.store.local_root is None:
        pytest.skip("far files have no path here")
    train = corpus.made["pack"].location + "/train/shards.json"
    assert resolve(corpus.snapshot, f"{corpus.store.root}/{train}").roots == (corpus.made["pack"],)
    monkeypatch.chdir(corpus.store.root)
    assert resolve(corpus.snapshot, train).roots == (corpus.made["pack"],)


def test_a_run_is_found_by_its_ids_and_as_the_newest_of_its_recipe_and_means_its_final_artifacts(corpus: Corpus) -> None:
    corpus.record("20261125T120000-000000")
    run = corpus.record(RUN)
    for name in (RUN, RUN[:15], f"mlflow-{RUN}", f"flow-{RUN}", "books"):
        found = resolve(corpus.snapshot, name)
        assert (found.kind, found.run) == ("run", run)
        assert {artifact.stage for artifact in found.roots} == {"gate", "export"}
    earlier = resolve(corpus.snapshot, "books~1").run
    assert earlier is not None
    assert earlier.id == "20261125T120000-000000"


def test_a_run_whose_process_is_gone_says_so(corpus: Corpus) -> None:
    run = corpus.record(RUN)
    Journal(corpus.store).write(run.model_copy(update={"status": "running"}))
    assert "running, but its process is gone" in resolve(corpus.snapshot, RUN).description


def test_a_registered_model_is_found_by_name_version_and_alias_without_mlflow(corpus: Corpus) -> None:
    corpus.record(RUN)
    first = corpus.made["export"]
    second = corpus.run("2", rate=0.25)["export"]
    corpus.record("20261125T140000-000000")
    snapshot = corpus.snapshot
    for name, exported in (("folio-books", second), ("folio-books/1", first), ("folio-books/2", second), ("folio-books@champion", second)):
        found = resolve(snapshot, name)
        assert (found.kind, found.roots) == ("model", (exported,)), name
    assert resolve(snapshot, "folio-books/2").description == "folio-books version 2 (champion), registered by run 20261125T140000-000000"
    assert resolve(snapshot, "folio-books/1").description == "folio-books version 1, registered by run 20261125T130501-3fa2bc", (
        "the alias moved on"
    )
    corpus.store.fs.rm(f"{corpus.store.root}/{first.location}", recursive=True)
    with pytest.raises(LookupError, match=r"folio-books version 1 is export/books-.*, whose record is gone"):
        resolve(corpus.snapshot, "folio-books/1")


def test_a_document_is_found_by_id_path_title_and_file_and_means_the_shard_that_read_it(corpus: Corpus, tmp_path: Path) -> None:
    book = tmp_path / "alice.txt"
    book.write_text("whatever it holds now")
    for name in (ALICE, "alice.txt", "books/alice.txt", "Alice", str(book)):
        found = resolve(corpus.snapshot, name)
        assert found.document is not None
        assert (found.kind, found.document.id) == ("document", ALICE)
        assert [artifact.stage for artifact in found.roots] == ["ingest"]


def test_an_ambiguous_document_name_is_an_error_that_lists_the_candidates(corpus: Corpus) -> None:
    corpus.run("2", {**TEXTS, "old/alice.txt": "Another Alice altogether, in a wood."})
    with pytest.raises(
        LookupError, match=rf"'alice.txt' means 2 documents; give the id of one:\n  document .*{ALICE}: books/alice.txt"
    ) as error:
        resolve(corpus.snapshot, "alice.txt")
    assert "books/old/alice.txt" in str(error.value)
    assert resolve(corpus.snapshot, COPY).kind == "document"


def test_a_file_or_folder_of_somebody_else_is_said_to_be_none_of_folio_s(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "alien.safetensors").write_bytes(b"\x00\xff weights of another house")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    for name, why in (("alien.safetensors", "its sha256, [0-9a-f]{16}..., is that of no file of the 16 artifacts"),
                      ("empty", "its sha256, e3b0c44298fc1c14"), ("folder", "it is no folder of the 16 artifacts")):  # fmt: skip
        for ask in (partial(resolve, corpus.snapshot), partial(find_in_store, corpus.snapshot)):
            with pytest.raises(LookupError, match=f"{name} was not made by folio: {why}.*, and no document was read from"):
                ask(str(tmp_path / name))


@pytest.mark.parametrize("name", ["", "clean", "0000000", "no/such-artifact", "/no/such/file", "books~7", "folio-books/9"])
def test_an_unknown_name_is_an_error_that_lists_what_can_be_given(corpus: Corpus, name: str) -> None:
    with pytest.raises(LookupError, match=f"Nothing in the store is called '{name}': give a location such as .*, or a document's id"):
        resolve(corpus.snapshot, name)
