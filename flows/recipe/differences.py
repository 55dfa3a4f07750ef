"""What differs: a recipe from the defaults, and one recipe from another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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
