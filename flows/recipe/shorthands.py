"""Sections that are shorthand for list entries, and older names of keys in training sections.

`sft: {steps: 40}` stands for the step of that name in the default `tuning`, so `tuning: [{kind: sft, steps: 40}, {kind: dpo}]`.
`quantize: {embeddings: false}` stands for `release: {variants: [{kind: int8, embeddings: false}]}`: one variant, INT8 unless it names its
kind. A section of training may say `objective` for `kind`; pretraining that names none predicts the next token.

Keys that would do nothing, because they belong to something that is switched off.

A recipe that sets such a key to anything but its default is refused, so nobody waits for an effect that never comes, and no stage
reruns for a value that nothing reads. A config class lists in `NEEDS` what its fields need: sibling switches of which one must be
on, or "switch=value", or "one and another=value" of which both must hold. Where a class has a switch called `enabled`, every other field
needs it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from model.training.config import DpoConfig, PretrainConfig, SftConfig, TuningStep

TUNING: tuple[TuningStep, ...] = (SftConfig(kind="sft"), DpoConfig(kind="dpo"))
STEPS = {step.name: number for number, step in enumerate(TUNING)}
QUANTIZE = "quantize"
# The list that each shorthand stands for an entry of, as a path of keys.
LISTS = {**{name: ("tuning",) for name in STEPS}, QUANTIZE: ("release", "variants")}


def expand_shorthands(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's plain data without shorthands. Raise ValueError if it gives a section in both forms."""
    data = dict(given)
    if "pretrain" in data:
        data["pretrain"] = _of_kind("pretrain", data["pretrain"], PretrainConfig.model_fields["kind"].default)
    if steps := {name: data.pop(name) for name in STEPS if name in data}:
        if "tuning" in data:
            raise ValueError(f"{next(iter(steps))} stands for an entry of tuning, and both are given; keep tuning")
        data["tuning"] = [_of_kind(step.name, steps.get(step.name, {}), step.kind) for step in TUNING]
        if other := next((name for name, step in zip(STEPS, data["tuning"], strict=True) if _kind_of(step) not in (None, name)), None):
            raise ValueError(f"{other}.kind: {other} stands for a step of that kind; for a step of another kind give the list tuning")
    if QUANTIZE in data:
        variant, release = data.pop(QUANTIZE), data.get("release", {})
        if not isinstance(release, Mapping) or "variants" in release:
            raise ValueError("quantize stands for release.variants with one entry, and both are given; keep release.variants")
        data["release"] = {**release, "variants": [{"kind": "int8", **variant} if isinstance(variant, Mapping) else variant]}
    return data


def with_entrants(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's plain data with the rows' length as context of each network of the arena that names none."""
    data, arena = dict(given), given.get("arena")
    rows = (data.get("pack") or {}).get("sequence_length") if isinstance(data.get("pack"), Mapping) else None
    if rows is None or not isinstance(arena, Mapping) or not isinstance(arena.get("entrants"), list | tuple):
        return data

    def whole(entrant: Any) -> Any:
        model = entrant.get("model") if isinstance(entrant, Mapping) else None
        return {**entrant, "model": {"context": rows, **model}} if isinstance(model, Mapping) else entrant

    return {**data, "arena": {**arena, "entrants": [whole(entrant) for entrant in arena["entrants"]]}}


def without_replaced(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a base recipe without its shorthands for entries of lists that the extending recipe sets itself."""
    return {name: value for name, value in base.items() if name not in LISTS or not _gives(own, LISTS[name])}


def _gives(data: Any, path: tuple[str, ...]) -> bool:
    return not path or (isinstance(data, Mapping) and path[0] in data and _gives(data[path[0]], path[1:]))


def written_key(location: tuple[Any, ...], data: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return an error's location as the recipe writes it, with shorthands restored."""
    for name, path in LISTS.items():
        entry = (*path, STEPS.get(name, 0))
        if name in data and location[: len(entry)] == entry:
            return (name, *location[len(entry) + 1 :])  # the part after the index is the entry's kind
    return location


def written_text(message: str, data: Mapping[str, Any]) -> str:
    """Return a message about a recipe with its keys as the recipe writes them."""
    for name, path in LISTS.items():
        if name in data:
            message = message.replace(f"{'.'.join(path)}[{STEPS.get(name, 0)}].", f"{name}.")
    return message


def _kind_of(section: Any) -> Any:
    return section.get("kind") if isinstance(section, Mapping) else None


def _of_kind(name: str, section: Any, kind: str) -> Any:
    """Return a section of training with its kind, by default `kind`, which it may call `objective`."""
    if not isinstance(section, Mapping):
        return section
    if "kind" in section and "objective" in section:
        raise ValueError(f"{name}.objective is the older name of {name}.kind, and both are given; keep kind")
    return {"kind": kind, **{"kind" if name == "objective" else name: value for name, value in section.items()}}


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
