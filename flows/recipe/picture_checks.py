"""Checks of recipes with pictures: cut in two ways, read by nothing, taken for words, or with frames that nobody sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from data.examples.config import PictureExamples
from data.sources.config import PicturesSource

if TYPE_CHECKING:
    from flows.recipe.schema import Recipe


def picture_problems(recipe: Recipe) -> Iterator[str]:
    """Yield one sentence for each thing about pictures that does not fit the recipe."""
    cut, read = recipe.pack.pictures, recipe.model.pictures
    for key, other in (("encode.pictures", recipe.encode.pictures), ("the input of kind pictures in model.inputs", read and read.grid)):
        if cut != other:
            said = ["null" if one is None else one.model_dump_json() for one in (cut, other)]
            yield f"pack.pictures={said[0]} and {key} has {said[1]}; pictures are cut in one way, so give both the same, or neither"
    told = isinstance(recipe.examples, PictureExamples)
    if not recipe.ingest.has_pictures:
        for key, given in (("pack.pictures", cut is not None), ("examples.kind=pictures", told)):
            if given:
                yield f"{key} does nothing while no source of ingest.sources is of kind pictures; add one, or leave it out"
        return
    if cut is None:
        yield (
            "ingest.sources has pictures, and pack.pictures=null would leave their names among the words; say there, in encode.pictures "
            "and by an input of kind pictures how they are read"
        )
    yield from _frames(recipe, 1 if cut is None else cut.frames)
    if not told:
        yield f"ingest.sources has pictures, and examples of kind={recipe.examples.kind} takes their names for words; use kind: pictures"
    for step in (*recipe.tuning, *recipe.adapters):
        if step.READS != "sft" or step.pairing is not None:
            yield f"{step.name} of kind={step.kind} reads {step.READS}, and pictures are in rows of instructions alone; use kind: sft"
    for chapter in ("base", "chat", "release"):
        for key in ("copying", "thinking", "earlier_questions"):
            if getattr(getattr(recipe.evaluate, chapter), key):
                yield f"evaluate.{chapter}.{key} gives prompts without their pictures; leave it out"


def _frames(recipe: Recipe, frames: int) -> Iterator[str]:
    """Frames that are read and not seen, seen and not read, or shuffled where none are."""
    moving = any(isinstance(source, PicturesSource) and source.moves for source in recipe.ingest.sources)
    if moving and frames == 1:
        yield "a source of pictures reads frames, and pack.pictures.frames=1 would show the first alone; raise it, or read one frame"
    if frames > 1 and not moving:
        yield f"pack.pictures.frames={frames} repeats one frame, since every source of pictures has frames=1; read several, or leave it out"
    for chapter in ("base", "chat", "release"):
        if "shuffled" in getattr(recipe.evaluate, chapter).question_sets and not moving:
            yield f"evaluate.{chapter}.question_sets has shuffled, and no source of pictures reads frames; leave it out"
