"""What `folio recipe` prints: a recipe explained key by key, two recipes compared, and the JSON schema for editors."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from flows.recipe.commented_yaml import MARK, commented, commented_key
from flows.recipe.differences import compare_recipes
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from flows.recipe.validation import RecipeError, did_you_mean


def show_recipe(name: str, section: str = "", changes: tuple[str, ...] = ()) -> str:
    """Return every key of a recipe, or of a section such as dedup.near, as YAML with meaning, unit and default. Raises RecipeError."""
    recipe = load(name, changes)
    if not section:
        return commented(recipe, f"Recipe {recipe.name}, every key. Those marked {MARK} differ from their default.")
    model: BaseModel = recipe
    *parents, last = section.split(".")
    for depth, part in enumerate([*parents, last]):
        known = list(type(model).model_fields) if isinstance(model, BaseModel) else []
        if part not in known:
            where = ".".join(section.split(".")[:depth]) or "a recipe"
            hint = did_you_mean(part, known) or (f"; it has {', '.join(known)}." if known else "; it is a single value.")
            raise RecipeError(f"{section!r}: {where} has no key {part!r}{hint}")
        if depth < len(parents):
            model = getattr(model, part)
    return commented_key(model, last)


def diff_recipes(first: str, second: str) -> str:
    """Return each key that differs between two recipes, with both values. Raises RecipeError."""
    one, other = load(first), load(second)
    lines = [f"{name}: {a or 'not there'} -> {b or 'not there'}" for name, a, b in compare_recipes(one, other)]
    return "\n".join(lines) or f"{first} and {second} say the same."


def recipe_schema() -> str:
    """Return the JSON schema of a recipe file, by which editors complete, explain and check its keys."""
    schema: dict[str, Any] = Recipe.model_json_schema()
    schema["properties"]["extends"] = {
        "type": "string",
        "title": "Extends",
        "description": "recipe that this one builds on: a name that comes with folio, or a path relative to this file",
    }
    # What a recipe extends may bring what it must have.
    schema["anyOf"] = [{"required": ["extends"]}, {"required": schema.pop("required")}]
    schema["$defs"]["IngestConfig"].pop("required")
    return json.dumps(schema, indent=1)
