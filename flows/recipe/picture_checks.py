"""Checks of recipes with pictures or sounds: cut in two ways, read by nothing, taken for words, or with frames that nobody sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from data.dedup.config import MediaRule
from data.examples.config import PictureExamples
from data.sources.config import CaptionedSource, PicturesSource, SoundsSource

LONGEST = 3.2  # of the sentences that are spoken; seconds

if TYPE_CHECKING:
    from flows.recipe.schema import Recipe


def picture_problems(recipe: Recipe) -> Iterator[str]:
    """Yield one sentence for each thing about pictures and sounds that does not fit the recipe."""
    sources = {source.kind for source in recipe.ingest.sources if isinstance(source, CaptionedSource)}
    if len(sources) > 1:
        yield "ingest.sources has pictures and sounds, and rows have one column of patches; read them by two recipes"
        return
    for kind in ("pictures", "sounds"):
        cut, read = getattr(recipe.pack, kind), getattr(recipe.model, kind)
        given = {"encode." + kind: getattr(recipe.encode, kind), f"the input of kind {kind} in model.inputs": read and read.grid}
        for key, other in given.items():
            if cut != other:
                said = ["null" if one is None else one.model_dump_json() for one in (cut, other)]
                yield f"pack.{kind}={said[0]} and {key} has {said[1]}; {kind} are cut in one way, so give both the same, or neither"
        if cut is not None and kind not in sources:
            yield f"pack.{kind} does nothing while no source of ingest.sources is of kind {kind}; add one, or leave it out"
        if cut is None and kind in sources:
            yield (
                f"ingest.sources has {kind}, and pack.{kind}=null would leave their names among the words; say there, in encode.{kind} "
                f"and by an input of kind {kind} how they are read"
            )
    told = isinstance(recipe.examples, PictureExamples)
    if not sources:
        if told:
            yield "examples.kind=pictures does nothing while no source of ingest.sources is of kind pictures or sounds; add one"
        if recipe.dedup.media != MediaRule():
            yield "dedup.media does nothing while no source of ingest.sources is of kind pictures or sounds; leave it out"
        return
    (kind,) = sources
    yield from _seconds(recipe)
    yield from _frames(recipe, 1 if recipe.pack.pictures is None else recipe.pack.pictures.frames)
    if not told:
        yield f"ingest.sources has {kind}, and examples of kind={recipe.examples.kind} takes their names for words; use kind: pictures"
    for step in (*recipe.tuning, *recipe.adapters):
        if step.READS != "sft" or step.pairing is not None:
            yield f"{step.name} of kind={step.kind} reads {step.READS}, and {kind} are in rows of instructions alone; use kind: sft"
    for chapter in ("base", "chat", "release"):
        for key in ("copying", "thinking", "earlier_questions"):
            if getattr(getattr(recipe.evaluate, chapter), key):
                yield f"evaluate.{chapter}.{key} gives prompts without their {kind}; leave it out"


def _seconds(recipe: Recipe) -> Iterator[str]:
    """Sounds that are read and would not fit."""
    for number, source in enumerate(recipe.ingest.sources):
        if not isinstance(source, SoundsSource) or recipe.pack.sounds is None:
            continue
        room = recipe.pack.sounds.seconds
        if source.collection and room < LONGEST:
            yield f"pack.sounds.seconds={room:g}, and spoken sentences take up to {LONGEST:g}; raise it"
        elif source.paths and room < source.max_seconds:
            yield (
                f"ingest.sources[{number}].max_seconds={source.max_seconds:g}, and pack.sounds.seconds={room:g} has no room for that; "
                "set both alike"
            )


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
