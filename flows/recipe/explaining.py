"""What `folio recipe` prints: a recipe explained key by key, two recipes compared, and the JSON schema for editors."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from flows.recipe.commented_yaml import MARK, commented, commented_key, commented_section, compare_recipes
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from flows.recipe.shorthands import QUANTIZE, STEPS, TUNING
from flows.recipe.validation import RecipeError
from tasks.stage.system.command_line import did_you_mean


def show_recipe(name: str, section: str = "", changes: tuple[str, ...] = ()) -> str:
    """Return every key of a recipe, or of a section such as dedup.near, as YAML with meaning, unit and default. Raises RecipeError."""
    recipe = load(name, changes)
    if not section:
        return commented(recipe, f"Recipe {recipe.name}, every key. Those marked {MARK} differ from their default.")
    *parents, last = section.replace("[", ".").replace("]", "").split(".")
    holder: Any = recipe
    for depth, part in enumerate(parents):
        holder = _inside(holder, part, section, depth)
    value = _inside(holder, last, section, len(parents))
    return commented_key(holder, last) if last in _fields(holder) else commented_section(last, value)


def _inside(holder: Any, part: str, section: str, depth: int) -> Any:
    """Return the key `part` of a model, or the entry of a list by its number or its name. Raises RecipeError if it is not there."""
    inside: dict[str, Any] = {name: getattr(holder, name) for name in _fields(holder)}
    if isinstance(holder, tuple):
        inside = {str(number): item for number, item in enumerate(holder)} | {item.name: item for item in holder if hasattr(item, "name")}
    known = [name for name in inside if not name.isdigit()]
    if isinstance(holder, Recipe):
        # A step of tuning can be given as a section of its name.
        inside |= {step.name: step for step in holder.tuning if step.name in STEPS}
        known = list(inside)
    if part not in inside:
        where = ".".join(section.split(".")[:depth]) or "a recipe"
        hint = did_you_mean(part, known) or (f"; it has {', '.join(known)}." if known else "; it is a single value.")
        raise RecipeError(f"{section!r}: {where} has no key {part!r}{hint}")
    return inside[part]


def _fields(holder: Any) -> list[str]:
    return list(type(holder).model_fields) if isinstance(holder, BaseModel) else []


def diff_recipes(first: str, second: str) -> str:
    """Return each key that differs between two recipes, with both values. Raises RecipeError."""
    one, other = load(first), load(second)
    lines = [f"{name}: {a or 'not there'} -> {b or 'not there'}" for name, a, b in compare_recipes(one, other)]
    return "\n".join(lines) or f"{first} and {second} say the same."


def recipe_schema() -> str:
    """Return the JSON schema of a recipe file, with which editors complete, explain and check its keys."""
    schema: dict[str, Any] = Recipe.model_json_schema()
    schema["properties"]["extends"] = {
        "type": "string",
        "title": "Extends",
        "description": "recipe that this one builds on: a name that comes with folio, or a path relative to this file",
    }
    for step in TUNING:
        schema["properties"][step.name] = {"$ref": f"#/$defs/{type(step).__name__}"}
    schema["properties"][QUANTIZE] = {"oneOf": schema["$defs"]["Releasing"]["properties"]["variants"]["items"]["oneOf"]}
    # What a recipe extends may bring what it must have.
    schema["anyOf"] = [{"required": ["extends"]}, {"required": schema.pop("required")}]
    schema["$defs"]["IngestConfig"].pop("required")
    return json.dumps(schema, indent=1)
