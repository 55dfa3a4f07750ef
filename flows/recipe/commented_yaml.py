"""Write recipes as YAML for people: every key with a comment above it, or only what differs, each with its reason.

Comments come from the fields' own descriptions, so they cannot drift from the code; a key without a description is an error. Reading the
YAML back gives an equal recipe.

What differs: a recipe from the defaults, and one recipe from another.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from flows.recipe.schema import Recipe
from tasks.stage.identity.key import flatten

MACHINE = ("root", "store", "tracking")  # where a recipe runs, not what it says


class Required:
    """Stands for the default of a key that has none."""

    def __repr__(self) -> str:
        return "required"


REQUIRED = Required()


@dataclass(frozen=True)
class Difference:
    """A key whose value is not its default."""

    path: str
    value: Any
    default: Any


def default_of(field: FieldInfo) -> Any:
    """Return a field's default; REQUIRED if it has none."""
    return REQUIRED if field.is_required() else field.get_default(call_default_factory=True)


def differences(model: BaseModel, path: str = "") -> Iterator[Difference]:
    """Yield every key of a model that differs from its default; lists count as one value."""
    for name, field in type(model).model_fields.items():
        value, default = getattr(model, name), default_of(field)
        if isinstance(value, BaseModel) and (default is REQUIRED or type(value) is type(default)):
            yield from differences(value, f"{path}{name}.")
        elif value != default:
            yield Difference(f"{path}{name}", value, default)


def plain_differences(recipe: Recipe) -> dict[str, Any]:
    """Return the values that differ from the defaults by their path, as plain data, without where the recipe runs.

    Of a list of sections, such as `tuning`, each is compared with the defaults of its own kind.
    """
    found: dict[str, Any] = {}
    for difference in differences(recipe):
        sections = difference.value if isinstance(difference.value, tuple) else ()
        if sections and all(isinstance(section, BaseModel) for section in sections):
            inner = (one for i, section in enumerate(sections) for one in differences(section, f"{difference.path}[{i}]."))
            found |= {one.path: one.value for one in inner}
        elif difference.path not in MACHINE:
            found[difference.path] = difference.value
    return dict(TypeAdapter(dict[str, Any]).dump_python(found, mode="json"))


def compare_recipes(first: Recipe, second: Recipe) -> Iterator[tuple[str, str, str]]:
    """Yield (key, value in the first, value in the second), in JSON, for each key that differs; "" where a recipe lacks it."""
    one, other = (_leaves(recipe) for recipe in (first, second))
    for name in dict.fromkeys([*one, *other]):
        if one.get(name) != other.get(name):
            yield name, one.get(name, ""), other.get(name, "")


def _leaves(recipe: Recipe) -> dict[str, str]:
    plain = {name: value for name, value in recipe.model_dump(mode="json").items() if name not in MACHINE}
    return {name.removeprefix("."): value for name, value in flatten(plain, "").items()}


WIDTH = 118
MARK = "# <-"  # ends the line of a key that differs from its default


def commented(recipe: BaseModel, head: str) -> str:
    """Return YAML that holds every key, its meaning above it. `head`: lines of comment for the file itself."""
    lines = [*_comment(head), ""]
    for name in type(recipe).model_fields:
        if name in MACHINE and getattr(recipe, name) == type(recipe).model_fields[name].default:
            continue
        block = list(_field(recipe, name, 0))
        lines += [*block, ""] if isinstance(getattr(recipe, name), BaseModel) else block
    return "\n".join(lines).strip("\n") + "\n"


def commented_key(model: BaseModel, name: str) -> str:
    """Return one key or section of a model as `commented` shows it."""
    return "\n".join(_field(model, name, 0)) + "\n"


def commented_section(name: str, model: BaseModel) -> str:
    """Return an entry of a list as `commented` shows a section called `name`."""
    meaning = (type(model).__doc__ or "").strip().splitlines()[0]
    return "\n".join([*_comment(meaning), *_value(name, model, 0)]) + "\n"


def short_yaml(recipe: BaseModel, head: str, reasons: Mapping[str, str]) -> str:
    """Return YAML of the keys in `reasons` alone, each with its reason beside it. Keys are dotted paths, in the recipe's order."""
    lines, open_sections = [*_comment(head), ""], list[str]()
    for path, reason in reasons.items():
        *sections, key = path.split(".")
        value: Any = recipe
        for depth, section in enumerate(sections):
            value = getattr(value, section)
            if open_sections[: depth + 1] != sections[: depth + 1]:
                lines.append(f"{'  ' * depth}{section}:")
        open_sections = sections
        lines.append(f"{'  ' * len(sections)}{key}: {scalar(getattr(value, key))}{f'  # {reason}' if reason else ''}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}".rstrip() for line in text.strip().splitlines()]


def _field(model: BaseModel, name: str, depth: int) -> Iterator[str]:
    value, field, indent = getattr(model, name), type(model).model_fields[name], "  " * depth
    if field.annotation is float:
        # A default may be written as a whole number; read back it would be an integer.
        value = float(value)
    default = default_of(field)
    mark = "" if isinstance(value, BaseModel) or value == default else MARK
    comment = _meaning(model, name)
    if mark and default is REQUIRED:
        mark = f"{MARK} required"
    elif mark and len(scalar(default)) <= WIDTH // 3:
        mark = f"{MARK} default: {scalar(default)}"
    elif mark:
        comment = f"{comment}; default: {scalar(default)}"
    yield from textwrap.wrap(comment, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   ", break_on_hyphens=False)
    first, *others = _value(name, value, depth)
    yield f"{first}  {mark}" if mark else first
    yield from others


def _meaning(model: BaseModel, name: str) -> str:
    """Return a field's description or, for a section, the first line of its class. Raises ValueError when there is neither."""
    value = getattr(model, name)
    words = type(model).model_fields[name].description or (type(value).__doc__ if isinstance(value, BaseModel) else "")
    if not words or not words.strip():
        raise ValueError(f"{type(model).__name__}.{name} has no description, so a recipe can't explain it; give its Field one.")
    return words.strip().splitlines()[0]


def _value(name: str, value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, BaseModel):
        yield f"{indent}{name}:"
        for inner in type(value).model_fields:
            yield from _field(value, inner, depth + 1)
    elif isinstance(value, (list, tuple)) and value and all(isinstance(item, BaseModel) for item in value):
        yield f"{indent}{name}:"
        for item in value:
            yield from _item(item, depth + 1)
    else:
        yield f"{indent}{name}: {scalar(value)}"


def _item(model: BaseModel, depth: int) -> Iterator[str]:
    """Yield one entry of a list: on one line or, where it names its kind, key by key."""
    if "kind" not in type(model).model_fields:
        yield f"{'  ' * depth}- {scalar(model)}"
        return
    first = True
    for name in type(model).model_fields:
        for text in _field(model, name, depth + 1):
            yield f"{'  ' * depth}- {text.strip()}" if first else text
            first = False


def scalar(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, BaseModel):
        given = [name for name in type(value).model_fields if name in value.model_fields_set or name == "kind"]
        return "{" + ", ".join(f"{name}: {scalar(getattr(value, name))}" for name in given) + "}"
    if isinstance(value, float):
        # YAML reads 1e-05 as text, so numbers are written without an exponent.
        plain = format(Decimal(repr(value)), "f")
        return plain if "." in plain else f"{plain}.0"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(scalar(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(name)}: {scalar(item)}" for name, item in value.items()) + "}"
    if isinstance(value, str):
        quoted: str = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=math.inf)
        return quoted.rstrip("\n")
    return json.dumps(value)
