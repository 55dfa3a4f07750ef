"""A recipe as commented YAML: above every key what it means and its unit, taken from the field's own description.

Guarantees: reading the text back gives an equal recipe, and a comment cannot say other than the code, because it comes from there.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

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
    field, value, indent = type(model).model_fields[name], getattr(model, name), "  " * depth
    words = field.description or (type(value).__doc__ or "").strip().splitlines()[0] if field.description or isinstance(value, BaseModel) else ""
    yield from textwrap.wrap(words, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   ")
    yield from _value(name, value, depth)


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
        return repr(value) if "e" not in repr(value) else f"{value:.12f}".rstrip("0")
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_scalar(item) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value)
