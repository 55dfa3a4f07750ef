"""Recipes from files: by name (those that come with folio) or by path, with changes from the command line.

A recipe may build on another: `extends: universe`, or the path of a file relative to its own. Mappings are merged key by key, lists and
single values replaced; a mapping of another `kind` is replaced whole. A key given twice in one file is refused, since YAML would silently
keep the last. Relative paths in a recipe start at `root`; unless some file sets it, that is the folder of the file that names the sources.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from flows.recipe.changes import apply_change, yaml_error
from flows.recipe.schema import Recipe
from flows.recipe.shorthands import without_replaced
from flows.recipe.validation import RecipeError, validate
from tasks.stage.system.command_line import did_you_mean, folio

BUILT_IN = Path(__file__).parent


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
        path = path / "recipe.yaml"
    if path.is_file():
        return path
    if path.parent.is_dir() and path.parent == folder / name:
        raise RecipeError(
            f"{path.parent} is a folder without recipe.yaml; have one written with: {folio('init', str(path.parent.resolve()))}"
        )
    here = [file.name if path.parent == Path() else str(file) for file in sorted(path.parent.glob("*.y*ml"))]
    raise RecipeError(
        f"There is no recipe {name!r}: not among those that come with folio ({', '.join(known)}), and no file of that name"
        f"{did_you_mean(name, [*known, *here]) or '.'}"
    )


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
