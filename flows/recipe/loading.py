"""Recipes from files: by name (those that come with folio) or by path, with changes from the command line.

Guarantees: every error names the file, the key, the value and the way out; a key that does not exist is answered with the nearest ones;
a key given twice is refused, since YAML would forget the first. A relative `root` is taken from the recipe's own folder.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from flows.recipe.schema import Recipe

BUILT_IN = Path(__file__).parent
NUMBER = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")


class RecipeError(ValueError):
    """A recipe can't be found, read or accepted."""


def built_in() -> dict[str, Path]:
    """Names and files of the recipes that come with folio."""
    return {path.stem: path for path in sorted(BUILT_IN.glob("*.yaml"))}


def load(name: str, changes: tuple[str, ...] = ()) -> Recipe:
    """A recipe by name or path, with `key.path=value` changes. Raises RecipeError."""
    path = find(name)
    data = _parse(path)
    for change in changes:
        apply(data, change)
    if isinstance(data.setdefault("root", "."), str):
        data["root"] = str((path.parent / data["root"]).resolve())
    return check(data, str(path))


def find(name: str) -> Path:
    """The file of a recipe. Raises RecipeError naming what there is."""
    known = built_in()
    if name in known:
        return known[name]
    path = Path(name)
    if path.is_dir():
        path = path / "recipe.yaml"
    if path.is_file():
        return path
    raise RecipeError(f"There is no recipe {name!r}: not among those that come with folio ({', '.join(known)}), and no file of that name.")


def check(data: dict[str, Any], where: str) -> Recipe:
    """Validate plain data as a recipe. Raises RecipeError with one line a fault."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise RecipeError(f"{where} is not a valid recipe:\n" + "\n".join(_fault(data, item) for item in error.errors())) from error


def apply(data: dict[str, Any], change: str) -> None:
    """Set `a.b[0].c=value` (value in YAML) inside plain data. Raises RecipeError."""
    key, sign, text = change.partition("=")
    if not sign or not key:
        raise RecipeError(f"--set {change!r}: write key=value, such as sft.learning_rate=0.001.")
    target: Any = data
    parts = key.replace("[", ".").replace("]", "").split(".")
    for part in parts[:-1]:
        target = target[_index(target, part, change)] if isinstance(target, list) else target.setdefault(part, {})
        if not isinstance(target, (dict, list)):
            raise RecipeError(f"--set {change!r}: {part!r} is a single value, so nothing can be set inside it.")
    value = _value(text, change)
    if isinstance(target, list):
        target[_index(target, parts[-1], change)] = value
    else:
        target[parts[-1]] = value


def _value(text: str, change: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {change!r}: {text!r} is no YAML value ({_line(error)}); quote it if it is text.") from error
    # YAML reads 1e-3 as text, people mean the number.
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value


def _index(target: list[Any], part: str, change: str) -> int:
    if not part.isdigit() or int(part) >= len(target):
        raise RecipeError(f"--set {change!r}: {part!r} is not one of the {len(target)} entries; they count from 0.")
    return int(part)


class _Once(yaml.SafeLoader):
    """Refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As YAML says, each key once."""
        seen: set[str] = set()
        for name, _ in node.value:
            if name.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {name.value!r} is given twice; keep one", name.start_mark)
            seen.add(name.value)
        return super().construct_mapping(node, deep)


def _parse(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Once)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} can't be read as YAML: {_line(error)}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{path} holds no keys; start from `folio init DIR` or a copy of one of {', '.join(built_in())}.")
    return data


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _fault(data: dict[str, Any], item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        names = _siblings(item["loc"])
        near = difflib.get_close_matches(str(item["loc"][-1]), names, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known keys here: {', '.join(names)}."
        return f"  {where}: unknown key (value {item['input']!r}); {hint}"
    given = "" if item["type"] == "missing" or isinstance(item["input"], (dict, BaseModel)) else f" (given: {item['input']!r})"
    return f"  {where or 'recipe'}: {item['msg'].removeprefix('Value error, ')}{given}"


def _siblings(location: tuple[Any, ...]) -> list[str]:
    """The keys that are known where a location's last part stands."""
    models: list[type[BaseModel]] = [Recipe]
    for part in location[:-1]:
        inside = [found for model in models if part in model.model_fields for found in _models(model.model_fields[part].annotation)]
        # A part that is no field is a place in a list, or the kind that chose among several models.
        kinds = [model for model in models if "kind" in model.model_fields and model.model_fields["kind"].default == part]
        models = inside or kinds or models
    return sorted({name for model in models for name in model.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation such as `tuple[A | B, ...]` is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]
