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
from tasks.stage.store.artifact import Artifact, without_shard
from tasks.stage.tracking.run_page import summed_metrics
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


def _rows(recipe: Recipe, made: dict[str, Artifact], stage: str, file: str) -> list[dict[str, object]]:
    """The rows of a file, or of the files of a folder, of all shards."""
    folders = [Path(recipe.store) / artifact.location for place, artifact in made.items() if without_shard(place) == stage]
    return [row for folder in folders for path in sorted(folder.glob(file)) for row in pq.read_table(path).to_pylist()]


def _total(made: dict[str, Artifact], stage: str) -> dict[str, float]:
    return summed_metrics(artifact for place, artifact in made.items() if without_shard(place) == stage)


def test_synthetic_texts_pass_every_stage_marked_and_enter_train_up_to_their_share(recipe: Recipe, made: dict[str, Artifact]) -> None:
    assert made["synthesize"].metrics["texts"] == 60
    assert sum(made[f"ingest[{number}]"].metrics["documents.robot"] for number in range(2)) == 60
    kept = "documents.parquet"
    for stage, file in [("clean", kept), ("dedup", "documents/*.parquet"), ("decontaminate", kept), ("split", "train.parquet")]:
        rows = _rows(recipe, made, stage, file)
        assert {row["source"] for row in rows if row["synthetic"]} == {"robot"}
        assert {row["source"] for row in rows if not row["synthetic"]} == {"books"}
    assert not any(row["synthetic"] for part in ("val", "test") for row in _rows(recipe, made, "split", f"{part}.parquet"))
    split, share = _total(made, "split"), made["assign"].metrics["synthetic_share"]
    assert 0 < share == split["synthetic_characters"] / split["characters_train"] <= 0.05 and split["synthetic_dropped"] > 0


def test_the_exam_is_cut_from_the_corpus_and_every_document_is_accounted_for(recipe: Recipe, made: dict[str, Artifact]) -> None:
    assert made["contamination"].metrics["items_hit_exam"] == _total(made, "decontaminate")["documents_contaminated"] == 1
    (found,) = _rows(recipe, made, "decontaminate", "contaminated.parquet")
    assert found["words"] == 20 and found["place"] == 61
    texts = [str(row["text"]) for part in ("train", "val", "test") for row in _rows(recipe, made, "split", f"{part}.parquet")]
    assert not any(str(found["excerpt"]) in text for text in texts)
    assert made["audit"].metrics["balanced"] == 1


def test_what_is_unchanged_is_reused_and_an_edited_exam_or_grammar_is_seen(recipe: Recipe, made: dict[str, Artifact]) -> None:
    assert {decision.action for decision in planned(recipe).values()} == {"reuse"}
    exam = Path(recipe.root) / "exam.jsonl"
    before = exam.read_bytes()
    try:
        exam.write_text('{"question": "another"}\n')
        plan = planned(recipe)
        for number in range(2):
            assert plan[f"search[{number}]"].action == "run" and "exam/exam.jsonl" in plan[f"search[{number}]"].causes[0]
        assert plan["dedup"].action == "reuse"
    finally:
        exam.write_bytes(before)
    shorter = recipe.decontaminate.model_copy(update={"window": 150})
    plan = planned(recipe.model_copy(update={"decontaminate": shorter}))
    assert {place for place, decision in plan.items() if decision.action == "run"} == {"decontaminate[0]", "decontaminate[1]"}
    plan = planned(recipe.model_copy(update={"decontaminate": recipe.decontaminate.model_copy(update={"common": 11})}))
    assert {place for place, decision in plan.items() if decision.action == "run"} == {"contamination"}
    source = recipe.synthetic
    assert source is not None
    other = source.model_copy(update={"maker": source.maker.model_copy(update={"seed": 3})})
    ingest = recipe.ingest.model_copy(update={"sources": (recipe.ingest.sources[0], other)})
    plan = planned(recipe.model_copy(update={"ingest": ingest}))
    assert plan["synthesize"].action == "run" and plan["ingest[0]"].action != "reuse"


def test_stages_with_nothing_to_do_are_left_out(recipe: Recipe) -> None:
    bare = load(recipe.root).model_copy(update={"store": recipe.store, "tracking": "none"})
    assert not {"synthesize", "search[0]", "contamination", "decontaminate[0]"} & set(planned(bare))


def test_a_share_of_nothing_is_refused(recipe: Recipe) -> None:
    with pytest.raises(RecipeError, match=r"split.synthetic_share=0.2 does nothing without a source of kind synthetic"):
        load("universe", ("split.synthetic_share=0.2",))
