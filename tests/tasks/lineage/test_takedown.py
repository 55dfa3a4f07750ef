"""Exactly what holds a document, and what must be done for it to be gone."""

from __future__ import annotations

import json
from pathlib import Path

from data.documents.sharding import document_id, text_digest
from tasks.lineage.corpus_run import find_document
from tasks.lineage.removal import instructions, takedown_json
from tasks.lineage.takedown import Takedown, plan_takedown
from tasks.stage.store.store import Store
from tests.tasks.lineage.corpus_store import ALICE, COPY, MOBY, PRIDE, SHORT, TALE, TEXTS, Corpus, shard_of
from tests.tasks.lineage.edited_corpus import IDS, EditedCorpus
from tests.tasks.records import committed


def takedown_of(corpus: Corpus, name: str) -> Takedown:
    """Plan the take-down of a document."""
    found = find_document(corpus.snapshot, name)
    assert found is not None
    return plan_takedown(corpus.snapshot, *found)


def positions(corpus: Corpus, found: Takedown, group: str) -> dict[str, set[str]]:
    """Return position -> parts, of one group of holdings."""
    names = {artifact.key: position for position, artifact in corpus.made.items()}
    return {names[held.artifact.address]: set(held.parts) for held in getattr(found, group)}


def test_a_training_document_is_in_its_shard_and_all_parts_made_from_it_and_every_model_learned_it(corpus: Corpus) -> None:
    found = takedown_of(corpus, MOBY)
    shard = shard_of(MOBY)
    assert positions(corpus, found, "contains") == {
        f"ingest[{shard}]": {"documents.parquet"},
        f"clean[{shard}]": {"documents.parquet"},
        "dedup": {f"documents/{shard:04}.parquet"},
        f"split[{shard}]": {"train.parquet"},
        "examples": {"instructions_train.jsonl", "preferences_train.jsonl"},
        "pack": {"train"},
        "encode": {"sft/train", "preference/train", "labels/train"},
        "evaluate.base": {"samples.jsonl"},
    }
    assert set(positions(corpus, found, "learned")) == {"tokenizer", "pretrain", "tune.sft", "export"}
    assert found.measured == []
    assert all(held.certain for held in found.holdings)


def test_a_tokenizer_whose_report_quotes_a_document_holds_its_words(corpus: Corpus) -> None:
    report = json.dumps({"samples": [{"id": MOBY, "tokens": [[9, "Call me"]]}]})
    corpus.commit("tokenizer", {"tokenizer.json": "{}", "report.json": report}, corpus.splits("train"), config={"kind": "word"})
    assert positions(corpus, takedown_of(corpus, MOBY), "contains")["tokenizer"] == {"report.json"}
    assert "tokenizer" not in positions(corpus, takedown_of(corpus, ALICE), "contains")


def test_a_validation_document_was_only_measured_on(corpus: Corpus) -> None:
    found = takedown_of(corpus, PRIDE)
    assert set(positions(corpus, found, "contains")) == {
        f"ingest[{shard_of(PRIDE)}]",
        f"clean[{shard_of(PRIDE)}]",
        "dedup",
        f"split[{shard_of(PRIDE)}]",
        "pack",
    }
    assert positions(corpus, found, "contains")["pack"] == {"val"}
    assert found.learned == []
    assert set(positions(corpus, found, "measured")) == {"pretrain", "evaluate.base"}


def test_a_document_of_a_split_that_nothing_measures_is_only_held(corpus: Corpus) -> None:
    found = takedown_of(corpus, TALE)
    assert positions(corpus, found, "contains")["pack"] == {"test"}
    assert (found.learned, found.measured) == ([], [])


def test_a_removed_duplicate_was_learned_through_the_document_kept_instead(corpus: Corpus) -> None:
    corpus.record("20261125T130501-3fa2bc")
    found = takedown_of(corpus, COPY)
    assert positions(corpus, found, "contains") == {
        f"ingest[{shard_of(COPY)}]": {"documents.parquet"},
        f"clean[{shard_of(COPY)}]": {"documents.parquet"},
        "dedup": {"removed/exact_document.parquet"},
    }
    assert found.learned == []
    assert [(held.artifact.stage, held.detail) for held in found.left_corpus] == [
        ("dedup", f"duplicate: exact_document (the words of {ALICE})")
    ]
    assert found.related[ALICE].kept_instead
    assert found.names[ALICE] == "books/alice.txt, 'Alice'"
    assert set(positions(corpus, found, "learned_elsewhere")) == {"tokenizer", "pretrain", "tune.sft", "export"}
    assert found.without == [COPY, ALICE]
    assert [model.name for model, _ in found.registered] == ["folio-books"]


def test_duplicates_of_a_document_would_replace_it_and_are_excluded_too(corpus: Corpus) -> None:
    found = takedown_of(corpus, ALICE)
    assert found.related[COPY].how == "was removed as its duplicate and would take its place"
    assert found.without == [ALICE, COPY]
    assert found.learned_elsewhere == ()


def test_a_document_that_cleaning_removed_is_in_ingest_and_in_the_removed_table(corpus: Corpus) -> None:
    found = takedown_of(corpus, SHORT)
    shard = shard_of(SHORT)
    assert positions(corpus, found, "contains") == {
        f"ingest[{shard}]": {"documents.parquet"},
        f"clean[{shard}]": {"removed/too_short.parquet"},
    }
    assert [held.detail for held in found.left_corpus] == ["removed: too short"]


def test_each_version_of_an_artifact_is_judged_by_its_own_files(corpus: Corpus) -> None:
    first = dict(corpus.made)
    second = corpus.run("2", {name: text for name, text in TEXTS.items() if name != "moby.txt"})
    found = takedown_of(corpus, MOBY)
    holding = {held.artifact.address for held in (*found.contains, *found.learned)}
    assert first["export"].key in holding
    assert second["export"].key not in holding
    assert second["pack"].key not in holding


def test_a_missing_input_makes_a_holding_uncertain_never_absent(corpus: Corpus) -> None:
    corpus.store.fs.rm(f"{corpus.store.root}/{corpus.made['pack'].location}", recursive=True)
    found = takedown_of(corpus, PRIDE)
    judged = {held.artifact.stage: held for held in found.learned}
    assert set(judged) == {"pretrain", "tune", "export"}
    assert not any(held.certain for held in judged.values())
    assert judged["pretrain"].detail == "trained on it" or "is gone" in judged["pretrain"].detail


def test_missing_files_make_a_holding_uncertain_never_absent(corpus: Corpus) -> None:
    corpus.store.fs.rm(f"{corpus.store.root}/{corpus.made[f'split[{shard_of(PRIDE)}]'].files_at}/train.parquet")
    found = takedown_of(corpus, PRIDE)
    (held,) = (held for held in found.contains if held.artifact.stage == "split")
    assert (held.certain, held.parts) == (False, frozenset({""}))


def test_a_document_is_followed_through_optional_stages_and_into_what_rules_removed(tmp_path: Path) -> None:
    for number, without in enumerate([(), ("filter",), ("decontaminate", "filter")]):
        account = EditedCorpus(Store(str(tmp_path / f"store{number}"), tmp_path / "cache"), without=without).write()
        stages = [stage for stage in ("ingest", "clean", "filter", "dedup", "decontaminate", "split") if stage not in without]

        def held(name: str, made: EditedCorpus = account) -> dict[str, set[str]]:
            return {one.artifact.stage: set(one.parts) for one in takedown_of(made, name).contains}

        found = held("alice.txt")
        assert list(found) == stages and found["clean"] == {"documents.parquet", "edits.parquet", "removed/running_heads.parquet"}
        assert held("quoting.txt")["dedup"] == {f"documents/{shard_of(IDS['quoting.txt']):04}.parquet", "removed/paragraph.parquet"}
        assert held("robot.txt")["split"] == {"train.parquet"}
        left = {one.artifact.stage: one.detail for one in takedown_of(account, "exam.txt").left_corpus}
        assert left == ({} if "decontaminate" in without else {"decontaminate": "removed: contaminated"})
        assert takedown_of(account, "alice.txt").related[IDS["quoting.txt"]].how == "lost copies of its passages and would keep them"
        assert takedown_of(account, "quoting.txt").related[IDS["alice.txt"]].how == "keeps the first copy of passages that both had"


def test_affected_runs_and_registered_versions_are_named(corpus: Corpus) -> None:
    corpus.record("20261125T130501-3fa2bc")
    corpus.run("2", {name: text for name, text in TEXTS.items() if name != "moby.txt"}, rate=0.25)
    corpus.record("20261125T140000-000000")
    found = takedown_of(corpus, MOBY)
    assert [run.id for run in found.runs] == ["20261125T130501-3fa2bc"]
    assert [(model.name, model.version) for model, _ in found.registered] == [("folio-books", "1")]
    assert [model.version for model, _ in takedown_of(corpus, PRIDE).registered] == []


def test_the_document_s_shard_and_everything_after_it_may_rerun(corpus: Corpus) -> None:
    corpus.record("20261125T130501-3fa2bc")
    shard, other = shard_of(MOBY), 1 - shard_of(MOBY)
    again = takedown_of(corpus, MOBY).rerun["books"]
    assert {f"ingest[{shard}]", f"clean[{shard}]", "dedup", f"split[{shard}]", "pretrain", "export"} <= set(again)
    assert not {f"ingest[{other}]", f"clean[{other}]"} & set(again)


def test_the_instructions_name_the_file_the_ids_the_commands_and_the_versions(corpus: Corpus) -> None:
    corpus.record("20261125T130501-3fa2bc")
    steps = "\n".join(map(str, instructions(takedown_of(corpus, ALICE))))
    ids = json.dumps([ALICE, COPY])
    assert "delete or move the file alice.txt of source books" in steps
    assert f"ingest.without: {ids}" in steps
    assert f"folio plan books --set 'ingest.without={ids}'" in steps
    assert "folio run books" in steps
    assert f"folio gc --delete --without {ALICE} --without {COPY}" in steps
    assert "retire version 1 of folio-books in the model registry, which is champion" in steps


def test_a_text_of_a_package_can_be_excluded_by_a_glob_that_matches_only_it(tmp_path: Path) -> None:
    source = {"kind": "package", "name": "", "package": "books", "version": "1", "exclude": []}
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"), source=source)
    corpus.run(texts={**TEXTS, "odd [1]*.txt": "An odd name for a book that tells of nothing odd at all."})
    steps = "\n".join(map(str, instructions(takedown_of(corpus, "odd [1]*.txt"))))
    assert "or exclude" not in steps.splitlines()[0]
    assert 'exclude it from source books: exclude: ["odd [[]1][*].txt"]' in steps
    assert "delete or move" not in steps


def test_a_book_of_a_generated_universe_is_in_the_universe_too_and_other_books_are_not(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"), source={"kind": "universe", "seed": 1})
    corpus.source_name = "universe"
    files = {"books/alice.txt": "Alice was", "truth/books.json": "{}"}
    committed(corpus.store, {name: text.encode() for name, text in files.items()}, stage="universe", config={"kind": "universe", "seed": 1})
    corpus.run(texts={"books/alice.txt": TEXTS["alice.txt"], **TEXTS})
    found = takedown_of(corpus, "books/alice.txt")
    assert {part for held in found.contains if held.artifact.stage == "universe" for part in held.parts} == {"books/alice.txt", "truth"}
    assert "universe" not in {held.artifact.stage for held in takedown_of(corpus, "moby.txt").contains}


def test_a_takedown_as_json(corpus: Corpus) -> None:
    corpus.record("20261125T130501-3fa2bc")
    found = json.loads(json.dumps(takedown_json(takedown_of(corpus, COPY))))
    assert found["document"]["id"] == COPY
    assert {held["stage"] for held in found["contains"]} == {"ingest", "clean", "dedup"}
    assert [held["stage"] for held in found["left_the_corpus"]] == ["dedup"]
    assert {held["stage"] for held in found["learned_from_what_was_kept_in_its_place"]} == {"tokenizer", "pretrain", "tune", "export"}
    assert found["registered"][0]["alias"] == "champion"
    assert found["shares_text"][0]["id"] == ALICE


def test_a_file_with_a_hash_sign_in_its_name_is_a_file(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    corpus.run(texts={**TEXTS, "Notes on C#.txt": "A file of its own, whose name has the sign that stands between a file and its record."})
    found = takedown_of(corpus, "Notes on C#.txt")
    assert found.never_read == [document_id("books", "Notes on C#.txt")]
    assert "delete or move the file Notes on C#.txt of source books" in "\n".join(map(str, instructions(found)))


def test_a_record_is_to_be_left_out_by_its_text_and_found_by_its_id(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    text = "A record of many, whose number is another record's as soon as a line before it is gone."
    corpus.run(texts={**TEXTS, "talks.jsonl#7": text})
    found = takedown_of(corpus, "talks.jsonl#7")
    identity = document_id("books", "talks.jsonl#7")
    assert (found.without, found.never_read) == ([identity], [text_digest(text)])
    steps = "\n".join(map(str, instructions(found)))
    assert "take record 7 out of the file talks.jsonl of source books" in steps and "talks.jsonl#7" not in steps
    assert f'ingest.without: ["{text_digest(text)}"]' in steps
    assert f"folio gc --delete --without {identity}" in steps


def test_a_member_of_an_archive_is_to_be_taken_out_of_it_and_its_records_out_of_the_member(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    names = {"old/books.zip/in/one.txt": "A tale that lies in an archive.", "books.tar.gz/talks.jsonl#7": "A record that lies in another."}
    corpus.run(texts={**TEXTS, **names})
    whole, record = ("\n".join(map(str, instructions(takedown_of(corpus, name)))) for name in names)
    assert "take out the member in/one.txt of the archive old/books.zip of source books" in whole
    assert "take record 7 out of the member talks.jsonl of the archive books.tar.gz of source books" in record
