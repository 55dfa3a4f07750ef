"""Settings of optimizer, schedule and precision written next to them, as in `optimizer: muon` and `momentum: 0.9`.

They are placed where they belong, `optimizer: {kind: muon, momentum: 0.9}`. A setting that the chosen kind does not have is refused, unless
it is given its default.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from model.training.optimizers.config import OptimizerConfig
from model.training.precisions import PrecisionConfig
from model.training.schedules import ScheduleConfig

IDLE, TWICE = "idle_key", "key_given_twice"
# Section -> a setting's name next to the section and inside it.
SECTIONS: dict[str, dict[str, str]] = {
    "optimizer": {name: name for name in ("beta1", "beta2", "epsilon", "momentum", "nesterov")}
    | {"muon_learning_rate": "learning_rate", "sophia_gamma": "gamma", "sophia_every": "every"},
    "precision": {name: name for name in ("loss_scale", "loss_scale_window")},
    "schedule": {name: name for name in ("min_learning_rate_ratio", "decay_share", "decay_shape")},
}


def has_flat_keys(given: Mapping[str, Any]) -> bool:
    """Return whether a setting is given next to its section, or a section has no kind.

    A stage gets its config whole. It calls only this function of the module, so it reads no other kind's settings.
    """
    written = [given[section] for section in SECTIONS if section in given]
    chosen = all(isinstance(one, BaseModel) or (isinstance(one, Mapping) and "kind" in one) for one in written)
    return not chosen or any(key in given for names in SECTIONS.values() for key in names)


def place_flat_keys(given: Mapping[str, Any], train: type[BaseModel]) -> dict[str, Any]:
    """Return plain data of a kind of training with settings where they belong. A section that names no kind is of `train`'s default.

    Raise PydanticCustomError `idle_key` for a setting that the chosen kind does not have, `key_given_twice` for one in both places.
    """
    unions = {"optimizer": OptimizerConfig, "precision": PrecisionConfig, "schedule": ScheduleConfig}
    data = dict(given)
    for section, names in SECTIONS.items():
        flat = {key: data.pop(key) for key in names if key in data}
        if section in data or flat:
            default = train.model_fields[section].default.kind
            data[section] = _section(section, data.get(section, {}), flat, names, _kinds(unions[section]), default)
    return data


def _section(
    section: str, chosen: Any, flat: Mapping[str, Any], names: Mapping[str, str], kinds: Mapping[str, type[BaseModel]], default: str
) -> Any:
    settings = {"kind": chosen} if isinstance(chosen, str) else chosen.model_dump() if isinstance(chosen, BaseModel) else chosen
    if not isinstance(settings, Mapping):
        return settings
    settings = {"kind": default, **settings}
    config = next((config for kind, config in kinds.items() if kind == settings["kind"]), None)
    if config is None:
        return settings  # the union names the kinds that there are
    for key, value in flat.items():
        name = names[key]
        if name not in config.model_fields:
            usual = next(kind.model_fields[name].default for kind in kinds.values() if name in kind.model_fields)
            if value != usual:
                shown = type(usual)(value) if isinstance(value, int) else value
                words = {"key": key, "value": json.dumps(shown), "section": section, "kind": settings["kind"], "usual": json.dumps(usual)}
                message = '{key}={value} does nothing while {section}="{kind}"; change that, or give it its default, {usual}'
                raise PydanticCustomError(IDLE, message, words)
        elif name in settings:
            words = {"key": key, "section": section, "name": name}
            raise PydanticCustomError(TWICE, "{key} is {section}.{name}, and both are given; keep {section}.{name}", words)
        else:
            settings[name] = value
    return settings


def _kinds(union: Any) -> dict[str, type[BaseModel]]:
    """Return the members of an annotated union by their kind."""
    return {member.model_fields["kind"].default: member for member in get_args(get_args(union)[0])}
