"""Changes from the command line: `--set key.path=value` applied to a recipe's plain data.

Name an entry of a list by its number or its name: `tuning[0].steps=40` or `tuning.sft.steps=40`."""

from __future__ import annotations

import re
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from flows.recipe.schema import Recipe
from flows.recipe.shorthands import LISTS, expand_shorthands
from flows.recipe.validation import RecipeError
from tasks.stage.system.command_line import did_you_mean

# What YAML's reader says -> what to do about it.
ADVICE = {
    "but found '<stream end>'": "the text ends too early; close the bracket, or give the value",
    "mapping values are not allowed here": "a second colon in one line; put a text that holds one in quotes",
    "found character '\\t' that cannot start any token": "a tab; indent with spaces",
    "found unexpected end of stream": "the text ends inside a quote; close it",
    "expected ',' or ']'": "a list that begins with [ needs commas between its entries and a ] at its end",
    "expected ',' or '}'": "a section that begins with { needs commas between its keys and a } at its end",
    "expected <block end>": "a line that is indented unlike its neighbours",
    "could not find expected ':'": "a key without a colon; write key: value",
    "found undefined alias": "a word that begins with *; put it in quotes",
    "found character '%'": "a word that begins with %; put it in quotes",
    "found character '@'": "a word that begins with @; put it in quotes",
    "could not determine a constructor for the tag": "a word that begins with !; put it in quotes",
}


def yaml_error(where: str, error: yaml.YAMLError) -> str:
    """Return the message for a text from `where`, a file or an option, that can't be read as YAML."""
    advice = what_to_write(error)
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return f"{where} can't be read as YAML: {advice}"
    shown = mark.get_snippet(indent=2) or ""
    place = f"{where}, line {mark.line + 1}, column {mark.column + 1}: {advice}"
    return f"{place}\n{shown}".rstrip() if shown.partition("\n")[0].strip() else place


def what_to_write(error: yaml.YAMLError) -> str:
    """Return what is wrong in words that say what to write."""
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    return next((words for said, words in ADVICE.items() if said in problem), problem)


NUMBER = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")


def apply_change(data: dict[str, Any], change: str) -> None:
    """Set `a.b[0].c=value`, the value in YAML, inside plain data. Raises RecipeError."""
    key, sign, text = change.partition("=")
    if not sign or not key:
        raise RecipeError(f"--set {change!r}: write key=value, such as sft.learning_rate=0.001.")
    parts = key.replace("[", ".").replace("]", "").split(".")
    if any(tuple(parts[: len(path)]) == path for path in LISTS.values()):
        # Expand shorthands first: they may stand for an entry of the list that is changed.
        expanded = _expanded(data, change)
        data.clear()
        data.update(expanded)
    target: Any = data
    for depth, part in enumerate(parts[:-1], start=1):
        # What the file does not give starts from its default, so an entry of a default list can be changed.
        inside = parts[:depth]
        target = target[_index(target, part, change)] if isinstance(target, list) else target.setdefault(part, _default(inside))
        if not isinstance(target, (dict, list)):
            raise RecipeError(f"--set {change!r}: {part!r} is a single value, so nothing can be set inside it.")
    value = parse_value(text, change)
    if isinstance(target, list):
        target[_index(target, parts[-1], change)] = value
    else:
        target[parts[-1]] = value


def _expanded(data: dict[str, Any], change: str) -> dict[str, Any]:
    try:
        return expand_shorthands(data)
    except ValueError as error:
        raise RecipeError(f"--set {change!r}: {error}") from error


def parse_value(text: str, change: str) -> Any:
    """Return the value that `text` says in YAML. Raises RecipeError naming the change."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {change!r}: {text!r} is not a YAML value ({what_to_write(error)}); quote it if it is text.") from error
    # YAML reads 1e-3 as text; people mean the number.
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value


def _index(target: list[Any], part: str, change: str) -> int:
    names = [item.get("name", item.get("kind")) if isinstance(item, dict) else None for item in target]
    if part in names:
        return names.index(part)
    if not part.isdigit() or int(part) >= len(target):
        hint = did_you_mean(part, [name for name in names if name]) or "; they count from 0."
        raise RecipeError(f"--set {change!r}: {part!r} is not one of the {len(target)} entries{hint}")
    return int(part)


def _default(path: list[str]) -> Any:
    """Return what changes inside a key start from if the file does not give it: a list's default; {} for sections and unknown keys."""
    model: type[BaseModel] = Recipe
    value: Any = PydanticUndefined
    for name in path:
        if name not in model.model_fields:
            return {}
        value = model.model_fields[name].get_default()
        model = type(value) if isinstance(value, BaseModel) else BaseModel
    if isinstance(value, tuple):
        return [item.model_dump(mode="json", exclude_unset=True) if isinstance(item, BaseModel) else item for item in value]
    return {} if value is PydanticUndefined or isinstance(value, (BaseModel, dict)) else value
