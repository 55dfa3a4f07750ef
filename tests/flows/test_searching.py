"""`folio search`: an index of a recipe's passages as stages, what a question finds in it, and what becomes of it when documents change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from prefect import flow

from data.documents.sharding import DOCUMENTS, document_id
from data.searching.passages import POSTINGS_FILE, VECTORS_FILE
from data.tokens.config import TokenizerConfig
from data.tokens.tokenizer import fit_tokenizer
from flows.cli import chat_session
from flows.cli.commands import recipe as recipe_command
from flows.cli.planning import plan_recipe
from flows.cli.searching import open_passages, search_passages
from flows.cli.views.takedown import show_takedown
from flows.recipe.loading import built_in, load
from flows.recipe.schema import Recipe
from flows.recipe.validation import RecipeError
from flows.release import embedded, opened_reader
from model.inference.chat_format import ChatFormat
from model.inference.documents import Citation
from model.inference.embed import Embedder
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import save_model
from tasks.corpus import index, ingest
from tasks.stage.execution.plan import Decision
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.execution.run_context import begin_flow, open_run
from tasks.stage.store.artifact import Artifact, PendingArtifact
from tests.data.searching.handbook import Fact, handbook, write_documents

HANDBOOK, FACTS = handbook(12)
TEXTS = {f"texts/{name}": text for name, text in HANDBOOK.items()}

CHANGES: dict[str, tuple[str, ...]] = {"plain": (), "index": ("index={}",), "vectors": ("index={vectors: {}}",)}


def compose(recipe: Recipe) -> None:
    """What is read, indexed: the stages between change nothing of that."""
    read = ingest.over(1)(recipe.ingest)
    assert recipe.index and recipe.index.vectors and recipe.index.vectors.model
    indexed = index.over(1)(recipe.index.indexing, documents=read.part(DOCUMENTS))
    reader = opened_reader(recipe.index.vectors)
    assert reader is not None
    embedded(recipe.index.vectors, indexed, reader)


def make(recipe: Recipe) -> dict[str, Artifact]:
    begun: list[str] = []

    @flow(name="indexed")
    def alone() -> dict[str, Artifact]:
        begun.append(recipe.name)
        with open_run(**recipe.run_settings()) as run:
            compose(recipe)
            return run.artifacts

    return begin_flow(alone, begun=lambda: bool(begun))


def planned(recipe: Recipe) -> dict[str, Decision]:
    with use_options(RunOptions(planning=True)), open_run(**recipe.run_settings()) as run:
        compose(recipe)
    return {decision.position: decision for decision in run.decisions}


def model(folder: Path) -> None:
    """A small model of random weights, with its tokenizer beside it."""
    fit_tokenizer(write_documents(folder.parent / "words.parquet", TEXTS), folder, TokenizerConfig(vocab_size=300))
    chat_format = ChatFormat(folder)
    network = Decoder(
        DecoderConfig(width=32, layers=1, heads=4, context=1024, initial_std=0.4), chat_format.tokenizer.get_vocab_size(), seed=1
    )
    save_model(network, folder)


@pytest.fixture(scope="module")
def made(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, dict[str, Artifact]]:
    """The index of a handbook, in a home of its own."""
    place = tmp_path_factory.mktemp("handbook")
    (place / "texts").mkdir()
    for name, text in TEXTS.items():
        (place / name).write_text(text, encoding="utf-8")
    model(place / "model")
    recipe = {
        "name": "ordane",
        "ingest": {"sources": [{"kind": "files", "name": "handbook", "paths": ["texts"]}], "shards": 1},
        "clean": {"minimum_characters": 1},
        "dedup": {"near": {"enabled": False}, "paragraph": {"enabled": False}},
        "index": {"passage_characters": 120, "vectors": {"model": {"kind": "folder", "path": "model"}}},
        "tracking": "none",
    }
    (place / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    loaded = load(str(place / "recipe.yaml")).model_copy(update={"store": str(place / "store")})
    return loaded, make(loaded)


def test_a_question_finds_its_passage_with_document_and_place(made: tuple[Recipe, dict[str, Artifact]]) -> None:
    recipe, _ = made
    with open_passages("ordane", recipe.store) as opened:
        assert opened.by_meaning
        for fact in FACTS[::6]:
            assert any(fact.sentence in hit.text for hit in opened.by_words(fact.question, 5)), fact.question
            both = {hit.id for hit in (*opened.by_words(fact.question, 5), *opened.by_vectors(fact.question, 5))}
            assert {hit.id for hit in opened.search(fact.question, 1)} <= both
    fact = FACTS[3]
    (first, *_) = json.loads(search_passages("ordane", fact.question, 5, by_words=True, as_json=True, store=recipe.store))
    assert first["document"] == f"handbook/texts/{fact.document}"
    assert HANDBOOK[fact.document][first["start"] : first["end"]] == first["text"] and fact.sentence in first["text"]
    shown = search_passages("ordane", fact.question, 1, by_words=True, store=recipe.store)
    assert f"1. handbook/texts/{fact.document}, characters {first['start']:,} to {first['end']:,}" in shown
    assert fact.sentence in " ".join(shown.split())


def test_a_conversation_with_documents_shows_the_model_passages_and_names_their_documents(
    made: tuple[Recipe, dict[str, Artifact]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, _ = made
    monkeypatch.setattr(chat_session, "model_directory", lambda *given: Path(recipe.root) / "model")
    asked = {"temperature": 0.0, "max_new_tokens": 4}
    chat_session.talk("ordane", None, asked, None, FACTS[3].question, recipe.store, documents=True)
    assert "  no passage is cited; it was shown " in (shown := capsys.readouterr().out) and "handbook/texts/hall_" in shown
    chat_session.talk("ordane", None, asked, None, FACTS[3].question, recipe.store)
    assert "passage" not in capsys.readouterr().out


def test_what_a_reply_cites_is_shown_with_its_place_and_marked_where_the_passage_lacks_its_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    place: dict[str, Any] = {"document": "handbook/a.txt", "start": 1200, "end": 1300}
    citations = [Citation(1, **place, supported=True), Citation(2, **place, supported=False), Citation(9, supported=False)]
    chat_session.show_citations([*citations, Citation(3, **place, cited=False)])
    where = "handbook/a.txt, characters 1,200 to 1,300"
    assert capsys.readouterr().out.splitlines() == [
        f"  [1] {where}", f"  [2] {where}; NOT SUPPORTED: it lacks these words", "  [9] no such passage"
    ]  # fmt: skip


def test_vectors_are_those_that_the_model_makes_of_each_passage(made: tuple[Recipe, dict[str, Artifact]]) -> None:
    recipe, artifacts = made
    folder = Path(recipe.root) / "model"
    with open_passages("ordane", recipe.store) as opened:
        hits = opened.by_vectors(FACTS[0].question, 3)
        asked, *passages = Embedder(folder, folder).vectors([FACTS[0].question, *(hit.text for hit in hits)])
    assert [hit.score for hit in hits] == pytest.approx([float(asked @ passage) for passage in passages], abs=1e-5)
    stored = np.load(Path(recipe.store, artifacts["vectors[0]"].files_at, VECTORS_FILE))
    assert np.allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-5)


def test_the_index_is_reused_until_something_of_it_changes_and_the_plan_says_what(made: tuple[Recipe, dict[str, Artifact]]) -> None:
    recipe, _ = made
    finer = recipe.model_copy(update={"index": recipe.index.model_copy(update={"passage_characters": 90})})  # type: ignore[union-attr]
    again = {position: decision for position, decision in planned(finer).items() if decision.action != "reuse"}
    assert set(again) == {"index[0]", "vectors[0]"} and again["index[0]"].causes == ("passage_characters: 120 -> 90",)


def test_a_take_down_names_index_and_vectors_and_the_document_leaves_both(
    made: tuple[Recipe, dict[str, Artifact]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, artifacts = made
    fact: Fact = FACTS[0]
    identity = document_id("handbook", f"texts/{fact.document}")
    told = json.loads(show_takedown(identity, as_json=True, store=recipe.store))
    held = {entry["location"]: set(entry["parts"]) for entry in told["contains"]}
    assert POSTINGS_FILE in held[artifacts["index[0]"].location] and held[artifacts["vectors[0]"].location] == {VECTORS_FILE}
    without = recipe.model_copy(update={"ingest": recipe.ingest.model_copy(update={"without": (identity,)})})
    make(without)
    with open_passages("ordane", recipe.store) as opened:
        assert all(hit.id != identity for hit in opened.search(fact.question, 1000))


def test_a_run_indexes_behind_the_gate_of_the_corpus_and_makes_vectors_with_its_own_model_only_where_asked() -> None:
    plans = {name: plan_recipe("four_books", changes, frozenset(), False) for name, changes in CHANGES.items()}
    asked = {name: [decision.position for decision in plan.decisions] for name, plan in plans.items()}
    assert not any(position.startswith(("index", "vectors")) for position in asked["plain"])
    assert set(asked["index"]) == {*asked["plain"], "index[0]"} and set(asked["vectors"]) == {*asked["index"], "vectors[0]"}
    assert asked["index"].index("gate.corpus") < asked["index"].index("index[0]")


def test_what_has_no_index_says_how_to_make_one(made: tuple[Recipe, dict[str, Artifact]]) -> None:
    with pytest.raises(LookupError, match=r"'nothing' never ran in .*--set 'index=\{\}'"):
        search_passages("nothing", "Who?", 5, store=made[0].store)
    with pytest.raises(RecipeError, match=r"index\.vectors needs hidden vectors, and model\.kind=ngram"):
        load(str(Path(made[0].root) / "recipe.yaml"), ("index={vectors: {model: null}}", "model.kind=ngram"))


def test_a_teacher_is_asked_about_training_documents_alone_before_what_it_wrote_is_filtered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    teacher = "examples={kind: documents, teacher: {url: 'http://127.0.0.1:9/v1', model: m}}"
    plan = plan_recipe("four_books", (teacher, "tuning=[{kind: sft}]", "split.mode=passages"), frozenset(), False)
    asked = {decision.position: decision for decision in plan.decisions}
    steps = ["index.examples[0]", "teach", "search.examples[0]", "contamination.examples", "examples"]
    assert [position for position in asked if position in steps] == steps
    assert "test[0]" in asked["search.examples[0]"].inputs and "contaminated" in asked["examples"].inputs
    source = asked["index.examples[0]"].inputs["documents"]
    assert isinstance(source, PendingArtifact) and source.position == "split[0]"
    with pytest.raises(RecipeError, match=r"learns from preference rows, and examples\.kind=documents makes none"):
        load("four_books", (teacher,))


def test_an_untouched_open_model_is_asked_the_same_and_the_recipe_that_shows_it_is_read_where_neither_package_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    decisions = {decision.position: decision for decision in plan_recipe("handbook", (), frozenset(), False).decisions}
    untouched, tuned = (decisions[position].inputs for position in ("consult.untouched", "consult"))
    assert "untouched" in tuned and {name for name in tuned if name != "untouched"} == set(untouched)
    made = {name: given["model"].position for name, given in (("untouched", untouched), ("tuned", tuned))}  # type: ignore[union-attr]
    assert made == {"untouched": "adopt", "tuned": "tune.answers"}
    bounded = load("handbook", ("gates.release={bounds: [{metric: documents.tuning.documents, minimum: 0, certain: true}]}",))
    assert bounded.gates.release.bounds[0].certain
    with pytest.raises(RecipeError, match=r"names 'documents\.tuning\.documents'"):
        load("four_books", ("index={evaluate: {}}", "gates.release={bounds: [{metric: documents.tuning.documents, minimum: 0}]}"))


def test_a_recipe_that_cannot_be_read_says_so_on_its_line_and_the_others_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lost.yaml").write_text("name: lost\ningest: {sources: [{kind: files, paths: [x]}]}\nbase: {kind: folder, path: nowhere}\n")
    known = built_in()
    monkeypatch.setattr(recipe_command, "built_in", lambda: {"four_books": known["four_books"], "handbook": known["handbook"]})
    monkeypatch.setattr(recipe_command, "load", lambda name: load(str(tmp_path / "lost.yaml") if name == "four_books" else name))
    recipe_command.recipes()
    told = " ".join(capsys.readouterr().out.split())
    assert "four_books cannot be read: " in told and "handbook SmolLM2 135M" in told


def test_answers_from_documents_are_measured_before_the_gate_of_the_release_which_may_bound_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    asked = ("index={evaluate: {}}", "gates.release={bounds: [{metric: documents.recall_at_5, minimum: 0.95}]}")
    decisions = {decision.position: decision for decision in plan_recipe("four_books", asked, frozenset(), False).decisions}
    assert set(decisions["consult"].inputs) == {"index[0]", "model", "tokenizer", "questions"}
    assert "documents" in decisions["gate.release"].inputs
    with pytest.raises(RecipeError, match=r"names 'documents\.recall_at_5', but what is measured there is"):
        load("four_books", asked[1:])
