"""Plain data checked as a recipe, with errors that name the key, its value and the way out.

A key that does not exist is answered with the nearest ones.
"""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from data.sources.fetching.urls import hide_secrets
from flows.recipe.schema import Recipe
from flows.recipe.shorthands import LISTS, written_key, written_text
from flows.recipe.wording import given, sentence
from model.training.flat_keys import IDLE
from tasks.stage.system.nearest import did_you_mean


class RecipeError(ValueError):
    """A recipe can't be found, read or accepted. The message repeats what was given without the secrets of its URLs."""

    def __init__(self, message: str) -> None:
        super().__init__(hide_secrets(message))


def validate(data: dict[str, Any], where: str) -> Recipe:
    """Return the recipe that `data`, read from `where`, describes. Raises RecipeError with one line for each error."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        found = error.errors()
        # An entry that is wrong counts as none.
        inner = {tuple(item["loc"][:length]) for item in found for length in range(len(item["loc"]))}
        wrong = [item for item in found if item["type"] != "too_short" or item["loc"] not in inner]
        raise RecipeError(f"{where} is not a valid recipe:\n" + "\n".join(_explain(item, data) for item in wrong)) from error


def _explain(item: Any, data: dict[str, Any]) -> str:
    key, value = ".".join(str(part) for part in written_key(tuple(_without_kinds(item["loc"])), data)), item["input"]
    if item["type"] == "extra_forbidden":
        word, known = str(item["loc"][-1]), _sibling_keys(item["loc"])
        hint = did_you_mean(word, known) or _other_kinds(item["loc"]) or _elsewhere(word) or f"; known keys here: {', '.join(known)}."
        return f"  {key}: unknown key (value {given(value)}){hint}"
    if item["type"] == "missing":
        return f"  {key}: missing; every recipe needs it"
    if item["type"] == "union_tag_not_found":
        return f"  {key}: no kind; say which it is, such as `kind: files`"
    if item["type"] == IDLE:
        return f"  {key}.{item['msg'].replace(' while ', f' while {key}.', 1)}"
    if item["type"] == "union_tag_invalid":
        return f"  {key}.kind: {sentence(item)} (given: {given(item['ctx']['tag'])})"
    shown = "" if isinstance(value, (dict, BaseModel)) and item["type"] == "value_error" else f" (given: {given(value)})"
    return f"  {key or 'recipe'}: {written_text(sentence(item), data)}{shown}"


def _other_kinds(location: tuple[Any, ...]) -> str:
    """Return `; only kind ... has it.` if the section that a location begins with has the key in another kind; empty if none has."""
    section, word = Recipe.model_fields.get(str(location[0])), str(location[-1])
    models = _models(section.annotation) if section and len(location) > 1 else []
    kinds = [model.model_fields["kind"].default for model in models if word in model.model_fields and "kind" in model.model_fields]
    return f"; only kind {' or '.join(map(str, kinds))} has it." if kinds else ""


def _elsewhere(word: str) -> str:
    """Return `; section has a key of that name` for the sections that have it; empty if none has."""
    sections = {name: _models(field.annotation) for name, field in Recipe.model_fields.items()}
    having = [name for name, models in sections.items() if any(word in model.model_fields for model in models)]
    return f"; write it as {' or '.join(f'{name}.{word}' for name in having)}." if having else ""


def _without_kinds(location: tuple[Any, ...]) -> list[Any]:
    """Return an error's location without the kind of a section, which is not a key of the recipe. An entry of a list keeps its kind."""
    models: list[type[BaseModel]] = [Recipe]
    kept: list[Any] = []
    for part in location:
        inside, chosen = _entered(models, part)
        kept += [] if chosen and not isinstance(kept[-1], int) else [part]
        models = inside or chosen or models
    return kept


def _sibling_keys(location: tuple[Any, ...]) -> list[str]:
    """Return the keys that exist next to the last part of an error's location."""
    models: list[type[BaseModel]] = [Recipe]
    for part in location[:-1]:
        inside, chosen = _entered(models, part)
        models = inside or chosen or models
    shorthands = LISTS if models == [Recipe] else ()
    return sorted({*shorthands, *(name for model in models for name in model.model_fields)})


def _entered(models: list[type[BaseModel]], part: Any) -> tuple[list[type[BaseModel]], list[type[BaseModel]]]:
    """Return the models inside the field that a part of a location names and, if it names none, those of the kind that it is.

    A part that is neither is an index in a list.
    """
    inside = [found for model in models if part in model.model_fields for found in _models(model.model_fields[part].annotation)]
    field = any(part in model.model_fields for model in models)
    chosen = [model for model in models if "kind" in model.model_fields and model.model_fields["kind"].default == part]
    return inside, [] if field else chosen


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models in an annotation such as `tuple[A | B, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]
