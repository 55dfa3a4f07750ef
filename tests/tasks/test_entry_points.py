"""The body of a stage is a function of data or model by its name: every name leads to one, and what the stage declares fits it."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from inspect import Parameter
from pathlib import Path
from pkgutil import resolve_name
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

from tasks.stage.execution.resources import Resources
from tasks.stage.stage import STAGES, ShardIndex, Stage, Workspace
from tasks.stage.system.progress import ProgressMeter

for chapter in ("corpus", "deduplication", "base", "chat", "evaluate", "release"):
    importlib.import_module(f"tasks.{chapter}")
ROOT = Path(__file__).resolve().parents[2]
ENTRY = re.compile(r'"((?:tasks|data|model)(?:\.\w+)+:\w+)"')
DECLARED = {name: stage for name, stage in STAGES.items() if stage.entry}


class Anything(BaseModel, frozen=True):
    pass


def workspace(folder: Path) -> Workspace:
    given: dict[str, Any] = {name: folder / name for name in ("output", "scratch", "resume", "root", "cache")}
    given |= {"load_resources": Resources, "meter": ProgressMeter("one", on_terminal=False), "series": print, "uses": print}
    return Workspace(**given, threads=1, memory="1GB", digests={}, observed={}, shard=ShardIndex(0, 1))


def inputs_of(stage: Stage) -> Mapping[str, Parameter]:
    parameters = inspect.signature(stage.body).parameters
    return {name: parameter for name, parameter in parameters.items() if name != "config"}


def members(hint: Any) -> set[Any]:
    """The kinds of values that a hint allows."""
    return set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else {hint}


def takes(theirs: Any, given: Any) -> bool:
    """Whether each kind of value that is given is one that the function takes. Of a protocol nothing is asked."""
    kinds = {list[get_args(kind)[0]] if get_origin(kind) is Sequence else kind for kind in members(theirs)}  # type: ignore[misc]
    classes = tuple(kind for kind in kinds if isinstance(kind, type) and get_origin(kind) is None)
    if any(getattr(kind, "_is_protocol", False) for kind in classes):
        return True
    return all(one in kinds or (get_origin(one) is None and issubclass(one, classes)) for one in members(given) - {NoneType})


def test_most_stages_are_declared() -> None:
    assert len(DECLARED) > len(STAGES) / 2


@pytest.mark.parametrize("name", DECLARED)
def test_an_entry_point_leads_to_a_function_that_takes_what_the_stage_declares(name: str, tmp_path: Path) -> None:
    stage = DECLARED[name]
    function = resolve_name(stage.entry)
    parameters = inspect.signature(function).parameters
    offered = workspace(tmp_path).offers(Anything(), parameters)
    inputs = inputs_of(stage)
    assert not offered.keys() & inputs.keys()  # nothing that a body is given has two meanings
    for missing in (False, True):
        given = [one for one, parameter in inputs.items() if not missing or parameter.default is Parameter.empty]
        inspect.signature(function).bind(**offered, **dict.fromkeys(given))  # or it raises a TypeError that names the parameter
    theirs, declared = get_type_hints(function), get_type_hints(stage.body)
    wrong = [one for one in ("config", *inputs) if one in theirs and one in parameters and not takes(theirs[one], declared[one])]
    assert not wrong, [(declared[one], theirs[one]) for one in wrong]


def test_every_entry_point_that_a_file_names_leads_to_something() -> None:
    named = {
        text for room in ("tasks", "data", "model") for path in (ROOT / room).rglob("*.py") for text in ENTRY.findall(path.read_text())
    }
    assert len(named) > len(DECLARED)
    for text in named:
        assert callable(resolve_name(text))  # or it raises an ImportError or an AttributeError that says what there is none of


def test_a_function_is_given_what_it_names_and_limits_one_by_one_where_it_takes_them_so(tmp_path: Path) -> None:
    def whole(output: Path, limits: dict[str, Any]) -> None: ...

    def spread(config: Anything, **limits: Any) -> None: ...

    work, config = workspace(tmp_path), Anything()
    limits = {"threads": 1, "memory": "1GB", "scratch": tmp_path / "scratch"}
    assert work.offers(config, inspect.signature(whole).parameters) == {"output": tmp_path / "output", "limits": limits}
    assert work.offers(config, inspect.signature(spread).parameters) == {"config": config, **limits}
