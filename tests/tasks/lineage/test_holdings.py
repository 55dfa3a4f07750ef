"""What stages' hooks answer: generated texts, texts by a model, stages that are unknown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from data.documents.sharding import document_id
from data.provenance.tables import IngestedDocument
from data.synthetic.text_table import COLUMNS
from tasks.lineage.corpus_run import find_document
from tasks.lineage.holdings import find_holdings
from tasks.lineage.hook import Holding
from tasks.stage.stage import STAGES
from tasks.stage.store.store import Store
from tests.tasks.lineage.corpus_store import ALICE, MOBY, PRIDE, Corpus, shard_of

PATH = "templates/abc.txt"


def _holding_of_synthetic(tmp_path: Path, source: str, path: str, kind: str) -> Holding:
    corpus = Corpus(Store(str(tmp_path / f"{kind}{source}"), tmp_path / "cache"))
    corpus.version, corpus.texts = "1", {}
    row = {"path": PATH, "maker": kind, "text": "Words of a machine."}
    corpus.commit("synthesize", {"texts.parquet": (COLUMNS, [row])}, config={"name": "robot", "maker": {"kind": kind}})
    (held,) = find_holdings(corpus.snapshot, IngestedDocument(document_id(source, path), source, path, "A title"))
    return held


def test_a_table_of_generated_texts_holds_its_own_texts_and_no_others(tmp_path: Path) -> None:
    assert _holding_of_synthetic(tmp_path, "robot", PATH, "templates").parts == {"texts.parquet"}
    for source, path in (("robot", "templates/other.txt"), ("books", PATH)):
        held = _holding_of_synthetic(tmp_path, source, path, "templates")
        assert not held.affected and held.certain


def test_text_by_a_model_may_have_been_learned_from_any_document(tmp_path: Path) -> None:
    held = _holding_of_synthetic(tmp_path, "books", "alice.txt", "model")
    assert held.learned and not held.certain and held.detail == "written by a model that may have learned from it"


def test_a_stage_that_is_unknown_or_has_no_hook_may_hold_whatever_it_read(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    corpus.run()
    corpus.commit("summarize", {"summary.txt": "words"}, {"packed": corpus.made["pack"].reference()})
    corpus.commit("grade", {"grade.txt": "passed"}, {"verdict": corpus.made["gate.base"].reference()})
    corpus.commit("fetch", {"page.html": "words"})
    found = find_document(corpus.snapshot, MOBY)
    assert found is not None
    by_stage = {holding.artifact.stage: holding for holding in find_holdings(corpus.snapshot, found[0])}
    for stage in ("summarize", "fetch"):
        assert set(by_stage[stage].parts) == {""} and not by_stage[stage].certain
        assert f"stage {stage} is unknown" in by_stage[stage].detail
    assert not by_stage["grade"].affected
    hookless = replace(corpus.snapshot, stages={name: replace(stage, hooks=()) for name, stage in STAGES.items()})
    assert all(holding.affected and not holding.certain for holding in find_holdings(hookless, found[0]))


def test_a_survey_holds_the_titles_of_its_documents_and_the_overlap_of_a_shard_nothing(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    corpus.run()
    described = pa.schema([("id", pa.string()), ("title", pa.string())])
    splits = corpus.splits()
    corpus.commit("survey", {"described.parquet": (described, [{"id": MOBY, "title": "Call me Ishmael"}])}, splits)
    corpus.commit("overlap", {"seen.parquet": (described, [{"id": MOBY, "title": ""}])}, splits)
    held = {}
    for book in (MOBY, PRIDE):
        found = find_document(corpus.snapshot, book)
        assert found is not None
        held[book] = {one.artifact.stage: one for one in find_holdings(corpus.snapshot, found[0])}
    assert held[MOBY]["survey"].parts == {"described.parquet"} and held[MOBY]["survey"].detail == "its title"
    assert not any(one.affected for one in (held[PRIDE]["survey"], held[MOBY]["overlap"]))


def test_what_a_shard_sets_apart_for_a_sample_holds_the_documents_whose_chunks_it_has(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    corpus.run()
    set_apart = pa.schema([("id", pa.string()), ("numbers", pa.list_(pa.int32())), ("chunks", pa.list_(pa.string()))])
    corpus.commit("allot", {"share.json": {"halvings": 1}})
    corpus.commit("sample", {"chunks.parquet": (set_apart, [{"id": MOBY, "numbers": [3], "chunks": ["Call me"]}])}, corpus.splits("train"))
    for book, parts in ((MOBY, {"chunks.parquet"}), (PRIDE, set())):
        found = find_document(corpus.snapshot, book)
        assert found is not None
        held = {one.artifact.stage: one for one in find_holdings(corpus.snapshot, found[0])}
        assert held["sample"].parts == parts and held["sample"].certain
        assert not held["allot"].affected


def test_a_tokenizer_has_learned_what_it_was_fitted_on_and_its_shards_and_report_may_quote_it(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    corpus.run()
    train = corpus.splits("train")
    fitted = corpus.commit("fit", {"tokenizer.json": "{}", "fitted.json": "{}"}, train)
    for number, split in enumerate(train.values()):
        inputs = {"train": split, "fitted": fitted.part("tokenizer.json").reference()}
        shown = [{"key": 1, "id": MOBY, "source": "books", "text": "Call me Ishmael."}] if number == shard_of(MOBY) else []
        corpus.commit(f"restore[{number}]", {"counts.json": "{}", "shown.json": json.dumps(shown)}, inputs)
    report = json.dumps({"samples": [{"id": MOBY, "tokens": [[9, "Call me"]]}]})
    counted = {f"counted[{number}]": corpus.made[f"restore[{number}]"].reference() for number in range(len(train))}
    corpus.commit("tokenizer", {"tokenizer.json": "{}", "report.json": report}, {"fitted": fitted.reference(), **counted})
    for book, learned, quoted in ((MOBY, True, True), (ALICE, True, False), (PRIDE, False, False)):
        found = find_document(corpus.snapshot, book)
        assert found is not None
        held = {one.artifact.address: one for one in find_holdings(corpus.snapshot, found[0])}
        here = {position: held[corpus.made[position].address] for position in ("fit", "restore[0]", "restore[1]", "tokenizer")}
        parts = {"tokenizer": {"report.json"}, f"restore[{shard_of(MOBY)}]": {"shown.json"}} if quoted else {}
        assert {position: set(one.parts) for position, one in here.items() if one.parts} == parts
        assert {position for position, one in here.items() if one.learned} == ({"fit", "tokenizer"} if learned else set())
        assert all(one.certain for one in here.values())
        assert not learned or here["tokenizer"].detail == here["fit"].detail == "its vocabulary was counted on it"


def test_replies_that_a_model_sampled_to_questions_are_kept_with_the_words_of_the_questions(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    corpus.run()
    lines = {"questions_seen.jsonl": [{"question": "Who called?", "answers": ["Ishmael"], "books": [MOBY]}]}
    examples = corpus.commit("examples", lines, corpus.splits(), config={"kind": "corpus"})
    inputs = {"model": corpus.made["tune.sft"].reference(), "questions": examples.part("questions_seen.jsonl").reference()}
    learned = {"model.bin": "rewarded", "rollouts/cycle-000000/replies.jsonl": [{"question": "Who called?", "reply": "Ishmael."}]}
    rewarded = corpus.commit("tune.grpo", learned, inputs)
    held = {}
    for book in (MOBY, PRIDE):
        found = find_document(corpus.snapshot, book)
        assert found is not None
        held[book] = next(one for one in find_holdings(corpus.snapshot, found[0]) if one.artifact.key == rewarded.key)
    assert set(held[MOBY].parts) == {"rollouts"} and held[MOBY].learned and held[MOBY].detail == "trained on it"
    assert not held[PRIDE].parts


def test_pairs_that_a_model_made_are_found_by_the_books_that_their_lines_name_or_quote(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    corpus.run()
    inputs = {"model": corpus.made["tune.sft"].reference(), "examples": corpus.made["examples"].reference()}
    pairs = [{"messages": [], "chosen": "a", "rejected": "b", "books": [MOBY], "own": False}]
    rows = {f"preference/{split}/shards.json": "{}" for split in ("train", "val")}
    made = corpus.commit("pair.dpo", {"pairs_train.jsonl": pairs, "pairs_val.jsonl": [], **rows}, inputs)
    tuned = corpus.commit("tune.dpo", {"model.bin": "preferring"}, {"shards": made.part("preference").reference()})
    held = {}
    for book in (MOBY, PRIDE):
        found = find_document(corpus.snapshot, book)
        assert found is not None
        held[book] = {one.artifact.key: one for one in find_holdings(corpus.snapshot, found[0])}
    assert set(held[MOBY][made.key].parts) == {"pairs_train.jsonl", "preference/train"}
    assert held[MOBY][tuned.key].learned and held[MOBY][tuned.key].detail == "trained on it"
    assert not held[PRIDE][made.key].parts


def test_pairs_by_principles_are_found_in_what_was_set_aside_too(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    corpus.run()
    inputs = {"model": corpus.made["tune.sft"].reference(), "examples": corpus.made["examples"].reference()}
    told = {"messages": [], "answer": "a", "books": [MOBY], "rounds": []}
    files = {"pairs_train.jsonl": [], "pairs_val.jsonl": [], "set_aside.jsonl": [told]}
    made = corpus.commit("revise.dpo", files, inputs)
    found = find_document(corpus.snapshot, MOBY)
    assert found is not None
    held = next(one for one in find_holdings(corpus.snapshot, found[0]) if one.artifact.key == made.key)
    assert set(held.parts) == {"set_aside.jsonl"}


def test_a_model_that_replayed_rows_of_a_document_has_learned_from_it(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    corpus.run()
    tuned = corpus.commit("tune.other", {"model.bin": "replayed"}, {"replayed": corpus.made["pack"].reference()})
    found = find_document(corpus.snapshot, MOBY)
    assert found is not None
    holding = next(one for one in find_holdings(corpus.snapshot, found[0]) if one.artifact.key == tuned.key)
    assert holding.learned and holding.detail == "trained on it"


@pytest.mark.parametrize("name", ["judge", "an_input_of_next_year"])
def test_a_model_that_was_rewarded_by_what_learned_a_document_has_learned_from_it(tmp_path: Path, name: str) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    corpus.run()
    inputs = {"model": corpus.made["tune.sft"].reference(), "shards": corpus.made["encode"].part("preference").reference()}
    judge = corpus.commit("tune.reward", {"model.bin": "judging"}, inputs)
    corpus.texts["other.txt"] = "A text of another corpus."
    clean = corpus.commit("adopt", {"model/model.bin": "an open model"})
    given = {"model": clean.part("model").reference(), name: judge.reference(), "tokenizer": corpus.made["tokenizer"].reference()}
    policy = corpus.commit("tune.ppo", {"model.bin": "rewarded"}, given)
    small = corpus.commit("quantize.int8", {"model.bin": "small"}, {"model": policy.reference()})
    alone = corpus.commit("tune.alone", {"model.bin": "by itself"}, {name: given[name] for name in ("model", "tokenizer")})
    for book, learned in ((MOBY, True), (PRIDE, False)):
        found = find_document(corpus.snapshot, book)
        assert found is not None
        held = {one.artifact.address: one for one in find_holdings(corpus.snapshot, found[0])}
        assert [held[made.address].learned for made in (judge, policy, small, alone)] == [learned] * 3 + [False]
        assert not learned or judge.location in held[policy.address].detail


def test_what_a_model_wrote_after_it_had_learned_a_document_passes_that_on(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    corpus.run()
    inputs = {"model": corpus.made["tune.sft"].reference(), "examples": corpus.made["examples"].reference()}
    rows = {f"preference/{split}/shards.json": "{}" for split in ("train", "val")}
    pairs = [{"messages": [], "chosen": "a", "rejected": "b", "books": []}]
    made = corpus.commit("pair.own", {"pairs_train.jsonl": pairs, "pairs_val.jsonl": [], **rows}, inputs)
    clean = corpus.commit("adopt", {"model/model.bin": "an open model"})
    given = {"model": clean.part("model").reference(), "shards": made.part("preference").reference()}
    tuned = corpus.commit("tune.dpo", {"model.bin": "preferring"}, given)
    found = find_document(corpus.snapshot, MOBY)
    assert found is not None
    held = {one.artifact.address: one for one in find_holdings(corpus.snapshot, found[0])}
    assert held[made.address].learned and not held[made.address].parts
    assert held[tuned.address].learned


def test_a_run_that_begins_with_a_released_model_has_learned_what_that_had(tmp_path: Path) -> None:
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"))
    corpus.run()
    (weights,) = corpus.made["export"].files
    seen = {"observed.model/model.safetensors": weights.sha256}
    adopted = corpus.commit("adopt", {"model/model.safetensors": "converted"}, ingredients=seen)
    tuned = corpus.commit("tune.again", {"model.bin": "tuned"}, {"model": adopted.part("model").reference()})
    other = corpus.commit("adopt.other", {"model/model.safetensors": "foreign"}, ingredients={"observed.model/model.safetensors": "0" * 64})
    found = find_document(corpus.snapshot, MOBY)
    assert found is not None
    held = {one.artifact.address: one for one in find_holdings(corpus.snapshot, found[0])}
    assert held[adopted.address].detail == f"made from a copy of {corpus.made['export'].location}"
    assert [held[made.address].learned for made in (adopted, tuned, other)] == [True, True, False]
