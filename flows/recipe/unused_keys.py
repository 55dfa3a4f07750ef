"""Keys that would do nothing, because they belong to something that is switched off.

A recipe that sets such a key to anything but its default is refused, so nobody waits for an effect that never comes, and no stage
reruns for a value that nothing reads. A config class lists in `NEEDS` what its fields need: sibling switches of which one must be
on, or "switch=value", or "one and another=value" of which both must hold. Where a class has a switch called `enabled`, every other field
needs it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import BaseModel


def unused_keys(model: BaseModel, path: str = "") -> Iterator[str]:
    """Yield one sentence for each key of `model` that is set but has no effect. `path` is put before the keys' names."""
    fields = type(model).model_fields
    needs: dict[str, tuple[str, ...]] = getattr(model, "NEEDS", {})
    if "enabled" in fields:
        needs = {name: ("enabled",) for name in fields if name != "enabled"} | needs
    for name, field in fields.items():
        value, default = getattr(model, name), field.get_default()
        if name in needs and value != default and not any(_holds(model, need) for need in needs[name]):
            conditions = [part for need in needs[name] for part in need.split(" and ") if not _is_met(model, part)]
            switches = dict.fromkeys(part.partition("=")[0] for part in conditions)
            off = " and ".join(f"{path}{switch}={json.dumps(getattr(model, switch))}" for switch in switches)
            yield f"{path}{name}={json.dumps(value)} does nothing while {off}; change that, or give it its default, {json.dumps(default)}"
        for suffix, part in _inner_models(value):
            yield from unused_keys(part, f"{path}{name}{suffix}.")


def _holds(model: BaseModel, need: str) -> bool:
    return all(_is_met(model, part) for part in need.split(" and "))


def _is_met(model: BaseModel, condition: str) -> bool:
    switch, sign, wanted = condition.partition("=")
    actual = getattr(model, switch)
    return actual == wanted if sign else bool(actual)


def _inner_models(value: object) -> Iterator[tuple[str, BaseModel]]:
    if isinstance(value, BaseModel):
        yield "", value
    elif isinstance(value, tuple):
        yield from ((f"[{number}]", item) for number, item in enumerate(value) if isinstance(item, BaseModel))
