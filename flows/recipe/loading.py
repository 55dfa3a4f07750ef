"""Recipes from files: by name (those that come with folio) or by path, with changes from the command line.

A recipe may build on another: `extends: universe`, or the path of a file relative to its own. Mappings are merged key by key, lists and
single values replaced; a mapping of another `kind` is replaced whole. A key given twice in one file is refused, since YAML would silently
keep the last. Relative paths in a recipe start at `root`; unless some file sets it, that is the folder of the file that names the sources.

A change is `--set key.path=value`; an entry of a list has its number or its name: `tuning[0].steps=40` or `tuning.sft.steps=40`.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from flows.recipe.schema import Recipe
from flows.recipe.shorthands import LISTS, expand_shorthands, without_replaced
from flows.recipe.validation import RecipeError, validate
from model.training.flat_keys import SECTIONS
from tasks.stage.system.command_line import did_you_mean, folio

BUILT_IN = Path(__file__).parent
RECIPE_FILE = "recipe.yaml"  # in a folder that is named as a recipe


def built_in() -> dict[str, Path]:
    """Return the files of the recipes that come with folio, by name."""
    return {path.stem: path for path in sorted(BUILT_IN.glob("*.yaml"))}


def load(name: str, changes: tuple[str, ...] = ()) -> Recipe:
    """Return a recipe by name or path, with `key.path=value` changes. Raises RecipeError."""
    path = find_recipe(name)
    data = _read_with_bases(path, ())
    for change in changes:
        apply_change(data, change)
    if isinstance(data["root"], str):
        data["root"] = str((path.parent / data["root"]).resolve())
    return validate(data, " ".join([str(path), *(f"--set {shlex.quote(change)}" for change in changes)]))


def recipe_argument(name: str) -> str:
    """Return what names a recipe from any folder: its name if it comes with folio, else the whole path of its file."""
    return name if name in built_in() else str(find_recipe(name).resolve())


def find_recipe(name: str, folder: Path = Path()) -> Path:
    """Return the file of a recipe; a path is relative to `folder`. Raises RecipeError naming those there are."""
    known = built_in()
    if name in known:
        return known[name]
    path = folder / name
    if path.is_dir():
        path = path / RECIPE_FILE
    if path.is_file():
        return path
    if path.parent.is_dir() and path.parent == folder / name:
        raise RecipeError(
            f"{path.parent} is a folder without recipe.yaml; have one written with: {folio('init', str(path.parent.resolve()))}"
        )
    here = [file.name if path.parent == Path() else str(file) for file in sorted(path.parent.glob("*.y*ml"))]
    raise RecipeError(
        f"There is no recipe {name!r}, and no file of that name{did_you_mean(name, [*known, *here]) or ';'} To list those that come with "
        f"folio: {folio('recipes')}"
    )


def new_recipe_file(folder: Path, output: Path | None = None) -> Path:
    """Return where a new recipe for a folder's texts is written: in the folder unless `output` names a file, or a folder, elsewhere.

    Raises RecipeError if there is no such folder, or a recipe already.
    """
    if not folder.is_dir():
        raise RecipeError(f"{folder} is not a folder; give the folder that holds your texts.")
    target = (output or folder).resolve()
    target = target / RECIPE_FILE if target.is_dir() else target
    if not target.parent.is_dir():
        raise RecipeError(f"--output {output}: there is no folder {target.parent}; make it, or name another file.")
    if target.exists():
        raise RecipeError(f"{target} is already there; move it away, or have the new one written elsewhere with --output FILE.")
    if not os.access(target.parent, os.W_OK):
        raise RecipeError(f"{target.parent} can't be written by this user; have the recipe written elsewhere with --output FILE.")
    return target


def _read_with_bases(path: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
    """Return the data of a file merged onto what it extends, with an absolute `root`."""
    chain = (*chain, path.resolve())
    if path.resolve() in chain[:-1]:
        raise RecipeError(f"{chain[0]} extends itself: {' -> '.join(str(one) for one in chain)}; take one `extends` out.")
    data = _parse(path)
    base = data.pop("extends", None)
    given = [data.get(section) for section in ("ingest", "examples")]
    if base is None or "root" in data or any(isinstance(section, dict) and "sources" in section for section in given):
        root = data.get("root", ".")
        if not isinstance(root, str):
            raise RecipeError(f"{path}: root={root!r} is not a path; give a folder.")
        data["root"] = str((path.parent / root).resolve())
    if base is None:
        return data
    if not isinstance(base, str):
        raise RecipeError(f"{path}: extends={base!r} is not the name or the path of a recipe.")
    try:
        found = find_recipe(base, path.parent)
    except RecipeError as error:
        raise RecipeError(f"{path}: extends={base!r}: {error}") from error
    return _merged(without_replaced(_read_with_bases(found, chain), data), data)


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for name, value in own.items():
        before = both.get(name)
        # Keys of another kind mean other things, so a section that changes its kind starts from nothing.
        if isinstance(before, dict) and isinstance(value, dict) and value.get("kind", before.get("kind")) == before.get("kind"):
            value = _merged(before, value)
        both[name] = value
    return both


class _NoDuplicates(yaml.SafeLoader):
    """Refuse a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping. Raises ConstructorError naming the key that is given twice."""
        seen: set[str] = set()
        for name, _ in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a word; put it in quotes", name.start_mark)
            if name.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {name.value!r} is given twice; keep one", name.start_mark)
            seen.add(name.value)
        return super().construct_mapping(node, deep)


def _parse(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _NoDuplicates)
    except yaml.YAMLError as error:
        raise RecipeError(yaml_error(str(path), error)) from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}; save it as UTF-8.") from error
    except OSError as error:
        raise RecipeError(f"{path} can't be read: {error.strerror or error}.") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{path} holds no keys; give it at least `name` and `ingest.sources`, as {BUILT_IN / 'four_books.yaml'} does.")
    return data


# What YAML's reader says -> what to do about it.
ADVICE = {
    "but found '<stream end>'": "the text ends too early; close the bracket, or give the value",
    "mapping values are not allowed here": "a second colon in one line; quote a text that holds one, or indent this line as the one above",
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
        if isinstance(target, dict) and part in SECTIONS and isinstance(target.get(part), str):
            target[part] = {"kind": target[part]}
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
