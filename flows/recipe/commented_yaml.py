"""A recipe as commented YAML: above every key what it means and its unit, taken from the field's own description.

Guarantees: reading the text back gives an equal recipe, and a comment cannot say other than the code, because it comes from there.
A key without words of its own is an error, not a bare line.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import yaml
from pydantic import BaseModel

WIDTH = 118
EXECUTION = ("root", "store", "tracking")


def commented(recipe: BaseModel, head: str) -> str:
    """YAML of a recipe with a comment above each key. `head`: lines of comment for the file itself."""
    lines = [f"# {line}".rstrip() for line in head.strip().splitlines()] + [""]
    for name in type(recipe).model_fields:
        if name in EXECUTION and getattr(recipe, name) == type(recipe).model_fields[name].default:
            continue
        block = list(_field(recipe, name, 0))
        lines += [*block, ""] if isinstance(getattr(recipe, name), BaseModel) else block
    return "\n".join(lines).rstrip() + "\n"


def _field(model: BaseModel, name: str, depth: int) -> Iterator[str]:
    value, indent = getattr(model, name), "  " * depth
    if type(model).model_fields[name].annotation is float:
        # A default may be written as a whole number; read back it is none.
        value = float(value)
    yield from textwrap.wrap(_words(model, name), WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   ")
    yield from _value(name, value, depth)


def _words(model: BaseModel, name: str) -> str:
    """What a key means: its field's description or, for a section, the first line of its class. Raises ValueError when neither is there."""
    value = getattr(model, name)
    said = type(model).model_fields[name].description or (type(value).__doc__ if isinstance(value, BaseModel) else "")
    if not said or not said.strip():
        raise ValueError(f"{type(model).__name__}.{name} has no description, so a recipe can't explain it; give its Field one.")
    return said.strip().splitlines()[0]


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
        yield f"{indent}{name}: {_scalar(value)}"


def _item(model: BaseModel, depth: int) -> Iterator[str]:
    """One entry of a list: a plain one on a line of its own, one that names its kind key by key."""
    given = {name: getattr(model, name) for name in type(model).model_fields if name in model.model_fields_set}
    line = "{" + ", ".join(f"{name}: {_scalar(value)}" for name, value in given.items()) + "}"
    if "kind" not in type(model).model_fields:
        yield f"{'  ' * depth}- {line}"
        return
    first = True
    for name in type(model).model_fields:
        for text in _field(model, name, depth + 1):
            yield f"{'  ' * depth}- {text.strip()}" if first else text
            first = False


def _scalar(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "{" + ", ".join(f"{name}: {_scalar(getattr(value, name))}" for name in type(value).model_fields) + "}"
    if isinstance(value, float):
        plain = format(Decimal(repr(value)), "f")
        return plain if "." in plain else f"{plain}.0"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_scalar(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(name)}: {_scalar(item)}" for name, item in value.items()) + "}"
    if isinstance(value, str):
        quoted: str = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=math.inf)
        return quoted.rstrip("\n")
    return json.dumps(value)
