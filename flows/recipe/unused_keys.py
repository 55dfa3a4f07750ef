"""Keys that would do nothing: what belongs to something that is switched off.

Guarantee: a recipe that gives such a key another value than its default is refused by name. So nobody waits for an effect that never
comes, and no stage runs again for a value that nothing reads.
A config class tells in `NEEDS` what its fields need: switches beside them of which one must be on, or "switch=value", or "one and
another=value" of which both must hold. In a class with a switch called `enabled`, every other field needs that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import BaseModel


def inert(model: BaseModel, path: str = "") -> Iterator[str]:
    """One sentence for each key of a recipe, or of the part of it at `path`, that would do nothing."""
    fields = type(model).model_fields
    needs: dict[str, tuple[str, ...]] = getattr(model, "NEEDS", {})
    if "enabled" in fields:
        needs = {name: ("enabled",) for name in fields if name != "enabled"} | needs
    for name, field in fields.items():
        value, default = getattr(model, name), field.get_default()
        if name in needs and value != default and not any(map(all, _held(model, needs[name]))):
            switches = dict.fromkeys(part.partition("=")[0] for need in needs[name] for part in need.split(" and ") if not _on(model, part))
            off = " and ".join(f"{path}{switch}={json.dumps(getattr(model, switch))}" for switch in switches)
            yield f"{path}{name}={json.dumps(value)} does nothing while {off}; change that, or give it its default, {json.dumps(default)}"
        for suffix, part in _parts(value):
            yield from inert(part, f"{path}{name}{suffix}.")


def _held(model: BaseModel, needs: tuple[str, ...]) -> Iterator[list[bool]]:
    yield from ([_on(model, part) for part in need.split(" and ")] for need in needs)


def _on(model: BaseModel, need: str) -> bool:
    switch, sign, wanted = need.partition("=")
    held = getattr(model, switch)
    return held == wanted if sign else bool(held)


def _parts(value: object) -> Iterator[tuple[str, BaseModel]]:
    if isinstance(value, BaseModel):
        yield "", value
    elif isinstance(value, tuple):
        yield from ((f"[{number}]", item) for number, item in enumerate(value) if isinstance(item, BaseModel))
