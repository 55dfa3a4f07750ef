"""What holds a document, exactly, and what must be done for it to be gone."""

from __future__ import annotations

import json
from pathlib import Path

from tasks.lineage.documents import find_document
from tasks.lineage.takedown import Takedown, instructions, plan_takedown, takedown_json
from tasks.stage.store.store import Store
from tests.tasks.lineage.corpus_store import ALICE, COPY, MOBY, PRIDE, SHORT, TALE, TEXTS, Corpus, shard_of
from tests.tasks.lineage.edited_corpus import IDS, Account
from tests.tasks.records import committed


def taken(corpus: Corpus, name: str) -> Takedown:
    """The takedown of a document."""
    found = find_document(corpus.snapshot, name)
    assert found is not None
    return plan_takedown(corpus.snapshot, *found)


def places(corpus: Corpus, told: Takedown, group: str) -> dict[str, set[str]]:
    """Place -> parts, of one of the groups."""
    names = {artifact.key: place for place, artifact in corpus.made.items()}
    return {names[held.artifact.key]: set(held.parts) for held in getattr(told, group)}


def test_a_document_of_the_training_split_is_in_its_shard_and_in_the_parts_made_from_it_and_every_model_learned_it(corpus: Corpus) -> None:
    told = taken(corpus, MOBY)
    shard = shard_of(MOBY)
    assert places(corpus, told, "contains") == {
        f"ingest[{shard}]": {"documents.parquet"},
        f"clean[{shard}]": {"documents.parquet"},
        "dedup": {"documents.parquet"},
        "split": {"train.parquet"},
        "examples": {"instructions_train.jsonl", "preferences_train.jsonl"},
        "pack": {"train"},
        "encode": {"sft/train", "preference/train"},
        "evaluate.base": {"samples.jsonl"},
    }
    assert set(places(corpus, told, "learned")) == {"tokenizer", "pretrain", "sft", "export"}
    assert told.measured == []
    assert all(held.certain for held in told.holdings)


def test_a_tokenizer_whose_report_shows_a_documents_beginning_holds_its_words(corpus: Corpus) -> None:
    report = json.dumps({"samples": [{"id": MOBY, "tokens": [[9, "Call me"]]}]})
    given = {"train": corpus.made["split"].part("train.parquet").reference()}
    corpus.commit("tokenizer", {"tokenizer.json": "{}", "report.json": report}, given, config={"kind": "word"})
    assert places(corpus, taken(corpus, MOBY), "contains")["tokenizer"] == {"report.json"}
    assert "tokenizer" not in places(corpus, taken(corpus, ALICE), "contains")


def test_a_document_of_the_validation_split_was_only_measured_on(corpus: Corpus) -> None:
    told = taken(corpus, PRIDE)
    assert set(places(corpus, told, "contains")) == {f"ingest[{shard_of(PRIDE)}]", f"clean[{shard_of(PRIDE)}]", "dedup", "split", "pack"}
    assert places(corpus, told, "contains")["pack"] == {"val"}
    assert told.learned == []
    assert set(places(corpus, told, "measured")) == {"pretrain", "evaluate.base"}


def test_a_split_that_nothing_measures_is_held_and_no_more(corpus: Corpus) -> None:
    told = taken(corpus, TALE)
    assert places(corpus, told, "contains")["pack"] == {"test"}
    assert (told.learned, told.measured) == ([], [])


def test_a_duplicate_left_before_training_and_lives_on_in_what_was_kept_in_its_place(corpus: Corpus) -> None:
    corpus.record("20261125T130501-3fa2bc")
    told = taken(corpus, COPY)
    assert places(corpus, told, "contains") == {
        f"ingest[{shard_of(COPY)}]": {"documents.parquet"},
        f"clean[{shard_of(COPY)}]": {"documents.parquet"},
        "dedup": {"removed/exact_document.parquet"},
    }
    assert told.learned == []
    assert [(held.artifact.stage, held.detail) for held in told.left_corpus] == [
        ("dedup", f"duplicate: exact_document (the words of {ALICE})")
    ]
    assert told.related[ALICE].kept_instead
    assert told.names[ALICE] == "books/alice.txt, 'Alice'"
    assert set(places(corpus, told, "learned_elsewhere")) == {"tokenizer", "pretrain", "sft", "export"}
    assert told.without == [COPY, ALICE]
    assert [model.name for model, _ in told.registered] == ["folio-books"]


def test_what_was_removed_as_its_duplicate_would_take_its_place_and_goes_with_it(corpus: Corpus) -> None:
    told = taken(corpus, ALICE)
    assert told.related[COPY].how == "was removed as its duplicate and would take its place"
    assert told.without == [ALICE, COPY]
    assert told.learned_elsewhere == ()


def test_a_document_that_cleaning_removed_is_in_its_shard_of_ingest_and_among_what_was_removed(corpus: Corpus) -> None:
    told = taken(corpus, SHORT)
    shard = shard_of(SHORT)
    assert places(corpus, told, "contains") == {
        f"ingest[{shard}]": {"documents.parquet"},
        f"clean[{shard}]": {"removed/too_short.parquet"},
    }
    assert [held.detail for held in told.left_corpus] == ["removed: too short"]


def test_every_generation_is_judged_by_its_own_files(corpus: Corpus) -> None:
    first = dict(corpus.made)
    second = corpus.run("2", {name: text for name, text in TEXTS.items() if name != "moby.txt"})
    told = taken(corpus, MOBY)
    holding = {held.artifact.key for held in (*told.contains, *told.learned)}
    assert first["export"].key in holding
    assert second["export"].key not in holding
    assert second["pack"].key not in holding


def test_an_input_that_is_gone_makes_uncertain_never_absent(corpus: Corpus) -> None:
    corpus.store.fs.rm(f"{corpus.store.root}/{corpus.made['pack'].location}", recursive=True)
    told = taken(corpus, PRIDE)
    judged = {held.artifact.stage: held for held in told.learned}
    assert set(judged) == {"pretrain", "sft", "export"}
    assert not any(held.certain for held in judged.values())
    assert judged["pretrain"].detail == "trained on it" or "is gone" in judged["pretrain"].detail


def test_files_that_are_gone_make_uncertain_never_absent(corpus: Corpus) -> None:
    corpus.store.fs.rm(f"{corpus.store.root}/{corpus.made['split'].location}/train.parquet")
    told = taken(corpus, PRIDE)
    (held,) = (held for held in told.contains if held.artifact.stage == "split")
    assert (held.certain, held.parts) == (False, {""})


def test_a_document_is_followed_through_stages_that_a_recipe_may_leave_out_and_into_what_rules_took_of_it(tmp_path: Path) -> None:
    for number, without in enumerate([(), ("filter",), ("decontaminate", "filter")]):
        account = Account(Store(str(tmp_path / f"store{number}"), tmp_path / "cache"), without=without).told()
        stages = [stage for stage in ("ingest", "clean", "filter", "dedup", "decontaminate", "split") if stage not in without]

        def held(name: str, made: Account = account) -> dict[str, set[str]]:
            return {one.artifact.stage: set(one.parts) for one in taken(made, name).contains}

        found = held("alice.txt")
        assert list(found) == stages and found["clean"] == {"documents.parquet", "edits.parquet", "removed/running_heads.parquet"}
        assert held("quoting.txt")["dedup"] == {"documents.parquet", "removed/paragraph.parquet"}
        assert held("robot.txt")["split"] == {"train.parquet"}
        left = {one.artifact.stage: one.detail for one in taken(account, "exam.txt").left_corpus}
        assert left == ({} if "decontaminate" in without else {"decontaminate": "removed: contaminated"})
        assert taken(account, "alice.txt").related[IDS["quoting.txt"]].how == "lost copies of its passages and would keep them"
        assert taken(account, "quoting.txt").related[IDS["alice.txt"]].how == "keeps the first copy of passages that both had"


def test_runs_and_registered_versions_that_hold_it_are_named(corpus: Corpus) -> None:
    corpus.record("20261125T130501-3fa2bc")
    corpus.run("2", {name: text for name, text in TEXTS.items() if name != "moby.txt"}, rate=0.25)
    corpus.record("20261125T140000-000000")
    told = taken(corpus, MOBY)
    assert [run.id for run in told.runs] == ["20261125T130501-3fa2bc"]
    assert [(model.name, model.version) for model, _ in told.registered] == [("folio-books", "1")]
    assert [model.version for model, _ in taken(corpus, PRIDE).registered] == []


def test_what_runs_again_is_the_document_s_shard_and_all_that_follows_it(corpus: Corpus) -> None:
    corpus.record("20261125T130501-3fa2bc")
    shard, other = shard_of(MOBY), 1 - shard_of(MOBY)
    again = taken(corpus, MOBY).rerun["books"]
    assert {f"ingest[{shard}]", f"clean[{shard}]", "dedup", "split", "pretrain", "export"} <= set(again)
    assert not {f"ingest[{other}]", f"clean[{other}]"} & set(again)


def test_the_way_out_names_the_file_the_ids_the_commands_and_the_versions(corpus: Corpus) -> None:
    corpus.record("20261125T130501-3fa2bc")
    steps = "\n".join(instructions(taken(corpus, ALICE)))
    ids = json.dumps([ALICE, COPY])
    assert "delete or move the file alice.txt of source books" in steps
    assert f"ingest.without: {ids}" in steps
    assert f"folio plan books --set 'ingest.without={ids}'" in steps
    assert "folio run books" in steps
    assert "folio gc --delete" in steps
    assert "retire version 1 of folio-books in the model registry, which is champion" in steps


def test_a_text_of_a_package_can_be_excluded_by_a_glob_that_matches_it_and_nothing_else(tmp_path: Path) -> None:
    source = {"kind": "package", "name": "", "package": "books", "version": "1", "exclude": []}
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"), source=source)
    corpus.run(texts={**TEXTS, "odd [1]*.txt": "An odd name for a book that tells of nothing odd at all."})
    steps = "\n".join(instructions(taken(corpus, "odd [1]*.txt")))
    assert "or exclude" not in steps.splitlines()[0]
    assert 'exclude it from source books: exclude: ["odd [[]1][*].txt"]' in steps
    assert "delete or move" not in steps


def test_a_book_of_a_generated_universe_is_in_the_universe_too_and_books_of_other_sources_are_not(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"), source={"kind": "universe", "seed": 1})
    corpus.source_name = "universe"
    files = {"books/alice.txt": "Alice was", "truth/books.json": "{}"}
    committed(corpus.store, {name: text.encode() for name, text in files.items()}, stage="universe", config={"kind": "universe", "seed": 1})
    corpus.run(texts={"books/alice.txt": TEXTS["alice.txt"], **TEXTS})
    told = taken(corpus, "books/alice.txt")
    assert {part for held in told.contains if held.artifact.stage == "universe" for part in held.parts} == {"books/alice.txt", "truth"}
    assert "universe" not in {held.artifact.stage for held in taken(corpus, "moby.txt").contains}


def test_a_takedown_is_plain_data_for_machines(corpus: Corpus) -> None:
    corpus.record("20261125T130501-3fa2bc")
    told = json.loads(json.dumps(takedown_json(taken(corpus, COPY))))
    assert told["document"]["id"] == COPY
    assert {held["stage"] for held in told["contains"]} == {"ingest", "clean", "dedup"}
    assert [held["stage"] for held in told["left_the_corpus"]] == ["dedup"]
    assert {held["stage"] for held in told["learned_from_what_was_kept_in_its_place"]} == {"tokenizer", "pretrain", "sft", "export"}
    assert told["registered"][0]["alias"] == "champion"
    assert told["shares_text"][0]["id"] == ALICE
