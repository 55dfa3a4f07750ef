"""Trainings that need validation rows in a recipe that holds none out, each with the way out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from data.examples.config import ConversationExamples
from data.universe.config import UniverseExamples
from model.pairing.config import ConstitutionPairs

if TYPE_CHECKING:
    from flows.recipe.schema import Recipe
    from model.training.config import TuningStep


def validation_problems(recipe: Recipe) -> Iterator[str]:
    """Yield one sentence for each training whose weights or gate follow from validation rows that there can't be."""
    if recipe.pretrains and (setting := recipe.pretrain.needs_validation) and (key := nothing_held_out(recipe, "val")):
        yield f"pretrain.{setting} needs validation rows, and {key}=0 leaves none; raise that, or leave {setting} out"
    for name in ("tuning", "adapters"):
        for at, step in enumerate(getattr(recipe, name)):
            needing = step.needs_validation or ("gate" if step.gate else "")
            if needing and (keys := _no_rows(recipe, step)):
                yield (
                    f"{name}[{at}].{needing} needs validation rows of {step.name}, and {' and '.join(f'{key}=0' for key in keys)} "
                    f"leaves none; raise that, or leave {needing} out"
                )


def nothing_held_out(recipe: Recipe, split: str) -> str:
    """Return the key of 0 that leaves a split of the corpus empty; empty if none does."""
    if split == "train" or recipe.split.mode == "all_train":
        return ""
    key = f"{split}_documents" if recipe.split.mode == "counts" else split
    return "" if getattr(recipe.split, key) else f"split.{key}"


def _no_rows(recipe: Recipe, step: TuningStep) -> list[str]:
    """Return the keys of 0 that together leave a step no validation rows; empty if it may have some."""
    examples = recipe.examples
    mixed = isinstance(examples, ConversationExamples)
    generated, key = (examples.generated, "examples.generated") if isinstance(examples, ConversationExamples) else (examples, "examples")
    if step.READS == "questions" or (mixed and examples.validation_fraction):
        return []
    keys = ["examples.validation_fraction"] if mixed else []
    if generated is None:
        return keys
    # The last wording of a question about a universe is validated on, whatever the share of its pairs is.
    instructs = step.READS == "sft" or isinstance(step.pairing, ConstitutionPairs)
    if generated.validation_fraction or (instructs and isinstance(generated, UniverseExamples)):
        return []
    return [*keys, f"{key}.validation_fraction"]
