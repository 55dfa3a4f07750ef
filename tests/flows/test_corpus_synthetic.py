"""The corpus chapter, run for real with a synthetic source and an evaluation set to keep out."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.documents.words import spans
from flows.recipe.initialize import write_recipe
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from flows.recipe.validation import RecipeError
from tasks.stage.store.artifact import Artifact
from tests.data.dedup.books import prose
from tests.flows.test_corpus import make, planned

GRAMMAR = (
    "{kind: templates, count: 60, templates: ['The {who} of {where} went out at {when}. {why} {end} {more} {more} {more}'], "
    "lists: {who: [miller, baker, sexton], where: [Holm, Velden], when: [dawn, noon, dusk], "
    "why: ['Nobody had asked the {who} to go so far from {where}.'], end: ['The {who} came home late and told of {where}.'], "
    "more: ['It rained on {where} all that week.', 'The {who} slept until {when} and woke.', 'No letter ever came from {where}.']}}"
)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Forty books, sixty texts from templates, and an exam that quotes one of the books."""
    place = tmp_path_factory.mktemp("synthetic")
    folder = place / "books"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:03}.txt").write_text(prose(number, paragraphs=4))
    text, words = prose(7, paragraphs=4), spans(prose(7, paragraphs=4))
    (folder / "exam.jsonl").write_text(json.dumps({"question": text[words[60][0] : words[79][1]]}) + "\n")
    write_recipe(folder)
    plain = load(str(folder))
    paths = json.dumps([f"{number:03}.txt" for number in range(40)])
    changes = (
        f"ingest.sources=[{{kind: files, name: books, paths: {paths}}}, {{kind: synthetic, name: robot, maker: {GRAMMAR}}}]",
        "ingest.shards=2",
        "dedup.near.threshold=0.95",
        "dedup.paragraph.enabled=false",
        "decontaminate.against=[{name: exam, paths: [exam.jsonl]}]",
        "split.synthetic_share=0.05",
        "gates.corpus.bounds=[{metric: corpus.balanced, minimum: 1}]",
    )
    recipe = load(str(folder), changes).model_copy(update={"store": str(place / "store"), "tracking": "none"})
    assert plain.synthetic is None and recipe.synthetic is not None
    return recipe


@pytest.fixture(scope="module")
def made(prefect: None, recipe: Recipe) -> dict[str, Artifact]:
    return make(recipe)


def _rows(recipe: Recipe, artifact: Artifact, file: str) -> list[dict[str, object]]:
    return pq.read_table(Path(recipe.store) / artifact.location / file).to_pylist()


def test_synthetic_texts_pass_every_stage_marked_and_enter_train_up_to_their_share(recipe: Recipe, made: dict[str, Artifact]) -> None:
    assert made["synthesize"].metrics["texts"] == 60
    assert sum(made[f"ingest[{number}]"].metrics["documents.robot"] for number in range(2)) == 60
    for place, file in [("clean[0]", "documents"), ("dedup", "documents"), ("decontaminate", "documents"), ("split", "train")]:
        rows = _rows(recipe, made[place], f"{file}.parquet")
        assert {row["source"] for row in rows if row["synthetic"]} == {"robot"}
        assert {row["source"] for row in rows if not row["synthetic"]} == {"books"}
    assert not any(row["synthetic"] for part in ("val", "test") for row in _rows(recipe, made["split"], f"{part}.parquet"))
    split = made["split"].metrics
    assert 0 < split["synthetic_share"] <= 0.05 and split["synthetic_dropped"] > 0


def test_the_exam_is_cut_from_the_corpus_and_every_document_is_accounted_for(recipe: Recipe, made: dict[str, Artifact]) -> None:
    assert made["decontaminate"].metrics["items_hit_exam"] == made["decontaminate"].metrics["documents_contaminated"] == 1
    (found,) = _rows(recipe, made["decontaminate"], "contaminated.parquet")
    assert found["words"] == 20 and found["place"] == 61
    texts = [str(row["text"]) for part in ("train", "val", "test") for row in _rows(recipe, made["split"], f"{part}.parquet")]
    assert not any(str(found["excerpt"]) in text for text in texts)
    assert made["audit"].metrics["balanced"] == 1


def test_what_is_unchanged_is_reused_and_an_edited_exam_or_grammar_is_seen(recipe: Recipe, made: dict[str, Artifact]) -> None:
    assert {decision.action for decision in planned(recipe).values()} == {"reuse"}
    exam = Path(recipe.root) / "exam.jsonl"
    before = exam.read_bytes()
    try:
        exam.write_text('{"question": "another"}\n')
        plan = planned(recipe)
        assert plan["decontaminate"].action == "run" and "exam/exam.jsonl" in plan["decontaminate"].causes[0]
        assert plan["dedup"].action == "reuse"
    finally:
        exam.write_bytes(before)
    source = recipe.synthetic
    assert source is not None
    other = source.model_copy(update={"maker": source.maker.model_copy(update={"seed": 3})})
    ingest = recipe.ingest.model_copy(update={"sources": (recipe.ingest.sources[0], other)})
    plan = planned(recipe.model_copy(update={"ingest": ingest}))
    assert plan["synthesize"].action == "run" and plan["ingest[0]"].action != "reuse"


def test_stages_with_nothing_to_do_are_left_out(recipe: Recipe) -> None:
    bare = load(recipe.root).model_copy(update={"store": recipe.store, "tracking": "none"})
    assert not {"synthesize", "decontaminate"} & set(planned(bare))


def test_a_share_of_nothing_is_refused(recipe: Recipe) -> None:
    with pytest.raises(RecipeError, match=r"split.synthetic_share=0.2 does nothing without a source of kind synthetic"):
        load("universe", ("split.synthetic_share=0.2",))
