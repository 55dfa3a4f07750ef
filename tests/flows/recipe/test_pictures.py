"""Recipes with pictures: what does not fit together is refused by name."""

from __future__ import annotations

import pytest

from flows.recipe.loading import load
from flows.recipe.validation import RecipeError


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("encode.pictures=null", "encode.pictures has null; pictures are cut in one way"),
        ("encode.pictures.patch=4", '"patch":4'),
        ("model.inputs[1].patch=4", "pack.patches=4 is the width of a column that rows get, and model.inputs reads 16 numbers of it"),
        ("model.inputs[1].height=4", "the input of kind pictures in model.inputs has"),
        ("pack.method=cut", "method='cut' with pictures: they would be cut"),
        ("examples.kind=corpus", "examples"),
        ("tuning[0]={kind: dpo}", "reads preference, and pictures are in rows of instructions alone"),
        ("evaluate.chat.copying=true", "evaluate.chat.copying gives prompts without their pictures"),
        ("ingest.sources[0]={kind: files, paths: [x]}", "does nothing while no source of ingest.sources is of kind pictures"),
        ("ingest.sources[0].paths=[x]", "has one of them, not both"),
        ("export.format=huggingface", "no class of transformers computes this model"),
        ("resources.training.parallel={workers: 2, pipeline: 2}", "model.inputs with resources.training.parallel.pipeline=2"),
        ("pack.augment.paragraphs=true", "augment=True with pictures"),
    ],
)
def test_what_does_not_fit_pictures_is_refused_by_name(change: str, fault: str) -> None:
    with pytest.raises(RecipeError) as error:
        load("digits", (change,))
    assert fault in str(error.value)


def test_pictures_that_the_model_does_not_read_are_not_packed() -> None:
    with pytest.raises(RecipeError, match=r"pack\.patches=4 is the width of a column that rows get, and model\.inputs reads 0"):
        load("four_books", ("pack.method=best_fit", "pack.pictures={height: 8, width: 8, patch: 2}"))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("ingest.sources[0].collection=universe", "repeats one frame, since every source of pictures has frames=1"),
        ("ingest.sources[0].frames=4", "frames=4 does nothing with collection='walks'"),
        ("model.inputs[1].places=sinusoidal", "waves tell rows and columns alone; use places: learned"),
        ("gates.chat.bounds[0]={metric: chat.questions.seen, above: shuffled}", "questions.heldout alone are asked so again"),
    ],
)
def test_what_does_not_fit_moving_pictures_is_refused_by_name(change: str, fault: str) -> None:
    with pytest.raises(RecipeError) as error:
        load("moving", (change,))
    assert fault in str(error.value)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("encode.sounds=null", "encode.sounds has null; sounds are cut in one way"),
        ("model.inputs[1].seconds=1.6", "the input of kind sounds in model.inputs has"),
        ("pack.sounds.stack=7", "320 frames, which stack=7 does not divide"),
        ("pack.method=cut", "method='cut' with sounds: they would be cut"),
        ("pack.pictures={height: 8, width: 8, patch: 2}", "rows have one column of patches; keep one of the two"),
        ("ingest.sources=[{kind: files, paths: [x]}]", "pack.sounds does nothing while no source of ingest.sources is of kind sounds"),
        ("ingest.sources=[{kind: pictures, collection: digits}]", "ingest.sources has pictures, and pack.pictures=null would leave"),
        ("ingest.sources[0]={kind: sounds, paths: [x]}", "max_seconds=30, and pack.sounds.seconds=3.2 has no room for that"),
        ("tuning[0]={kind: dpo}", "reads preference, and sounds are in rows of instructions alone"),
        ("export.format=huggingface", "no class of transformers computes this model"),
    ],
)
def test_what_does_not_fit_sounds_is_refused_by_name(change: str, fault: str) -> None:
    with pytest.raises(RecipeError) as error:
        load("spoken", (change,))
    assert fault in str(error.value)


def test_a_corpus_has_pictures_or_sounds() -> None:
    both = "ingest.sources=[{kind: sounds, collection: spoken}, {kind: pictures, collection: digits}]"
    with pytest.raises(RecipeError, match="has pictures and sounds, and rows have one column of patches"):
        load("spoken", (both,))


def test_frames_that_are_read_and_not_seen_are_refused_by_name() -> None:
    with pytest.raises(RecipeError, match=r"reads frames, and pack\.pictures\.frames=1 would show the first alone"):
        load("illustrated", ("ingest.sources[0].collection=walks",))
    with pytest.raises(RecipeError, match=r"question_sets has shuffled, and no source of pictures reads frames"):
        load("illustrated", ("evaluate.chat.question_sets=[blind, shuffled]",))
