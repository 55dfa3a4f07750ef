"""No resource and no path is part of identity."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from data.documents.sharding import SHARD_DOCUMENTS, SHARD_SIZES
from data.splits.config import ASSIGNED
from flows.pipeline import compose
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from tasks.project import FOLIO
from tasks.stage.execution.plan import Decision
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.execution.run_context import open_run
from tasks.stage.execution.trace_check import TraceChecker
from tasks.stage.identity.key import compute_address
from tasks.stage.identity.tracing.mark_file import VERSION
from tasks.stage.identity.tracing.marks import Marks
from tasks.stage.identity.tracing.source import Source
from tasks.stage.store.artifact import Artifact, content_digest, list_files
from tasks.stage.store.origin import origin
from tasks.stage.store.store import Store
from tasks.training.config import PipelineResources
from tests.tasks.records import commit, written

# Every file that a flow or a gate asks a stage for.
PARTS = (
    *(pattern.format(shard) for pattern in (SHARD_DOCUMENTS, SHARD_SIZES, ASSIGNED) for shard in range(8)),
    *("documents.parquet", "funnel.json", "clusters.parquet", "train.parquet", "instructions_train.jsonl", "accounting/metrics.json"),
    *("ledger.parquet", "quarantine.parquet", "val.parquet", "test.parquet", "grams.parquet", "units.npz"),
    *("train_size.json", "share.json", "chunks.parquet", "tokenizer.json"),
    *("books/one.txt", "truth/clean.parquet", "world.json"),
    *("test/rows", "sft/rows", "preference/rows", "metrics.json", "verdict.json", "verdict.txt", "history.jsonl"),
)
# What the check of the sources and a gate ask for.
METRICS = {"documents.universe": 1.0}
ROW = {"metric": "a", "value": "1", "bound": ">= 1", "margin": "0", "verdict": "passed"}
VERDICT = json.dumps({"rows": [ROW], "overruled": ""}).encode()


def planned(recipe: Recipe, home: Path) -> list[Decision]:
    """Return the plan of a recipe in a home."""
    settings = {**recipe.run_settings(), "home": home, "store": recipe.store or str(home / "store")}
    with use_options(RunOptions(planning=True)), open_run(**settings) as run:
        compose(recipe)
    return run.decisions


def stand_in(store: Store, decision: Decision) -> None:
    """Commit an artifact with the decided key, so that the plan knows the keys of later stages."""
    contents = {name: f"{decision.key} {name}".encode() for name in PARTS}
    made = written(store.scratch("stand-in") / "output", {**contents, "verdict.json": VERDICT})
    trace, marks = TraceChecker(store, Source.of(FOLIO), None).save(Marks(version=VERSION))
    address = compute_address(decision.key, trace.hash)
    files, location = list_files(made), store.location_of(decision.stage, "universe", address)
    made_by = {"stage": decision.stage, "label": "universe", "key": decision.key, "location": location, "origin": origin("")}
    made_by |= {"address": address, "trace": trace.hash, "marks": marks}
    given: dict[str, Any] = {"config": {}, "ingredients": {}, "inputs": {}, "cost": {}, "metrics": METRICS}
    commit(store, made, Artifact(files=files, digest=content_digest(files), **made_by, **given))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose store has an artifact for every stage of the universe recipe."""
    home = tmp_path_factory.mktemp("home")
    store, recipe = Store(str(home / "store"), home / "cache"), load("universe")
    for _ in range(40):
        missing = {decision.key: decision for decision in planned(recipe, home) if decision.action != "reuse" and decision.key}
        if not missing:
            return home
        for decision in missing.values():
            stand_in(store, decision)
    raise AssertionError("the plan never came to an end")


@pytest.fixture(scope="module")
def reused(whole: Path) -> dict[str, str]:
    """The keys by position of a plan that reuses every artifact of that store."""
    return keys(planned(load("universe"), whole))


def other_values(model: BaseModel, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Yield every field of a resources model, with a value that differs from its own."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            found += other_values(value, (*path, name))
        elif get_origin(field.annotation) is Literal:
            found += [((*path, name), other) for other in get_args(field.annotation) if other != value]
        else:
            found.append(((*path, name), f"1{value}" if isinstance(value, str) else 2 if value != 2 else 1))
    return found


def changed(model: Any, path: tuple[str, ...], value: Any) -> Any:
    """Return the model with one field changed, without validation: a key must not depend on any of them."""
    first, *rest = path
    return model.model_copy(update={first: changed(getattr(model, first), tuple(rest), value) if rest else value})


def keys(decisions: list[Decision]) -> dict[str, str]:
    """Return keys by position."""
    return {decision.position: decision.key for decision in decisions}


def test_every_stage_of_the_recipe_has_a_key_of_its_own(reused: dict[str, str]) -> None:
    assert len(reused) >= 20
    assert all(reused.values())


def name_of(given: Any) -> str:
    """Name a test by the field, without its value."""
    return ".".join(given) if isinstance(given, tuple) else ""


@pytest.mark.parametrize(("path", "value"), other_values(PipelineResources()), ids=name_of)
def test_no_resource_changes_a_key(whole: Path, reused: dict[str, str], path: tuple[str, ...], value: Any) -> None:
    recipe = load("universe").model_copy(update={"resources": changed(PipelineResources(), path, value)})
    decisions = planned(recipe, whole)
    assert keys(decisions) == reused
    assert {decision.action for decision in decisions} == {"reuse"}


def test_neither_root_nor_store_nor_tracking_changes_a_key(whole: Path, reused: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(whole / "store", tmp_path / "moved")
    elsewhere = {"root": str(tmp_path), "store": str(tmp_path / "moved"), "tracking": "sqlite:////elsewhere.db", "description": "new"}
    decisions = planned(load("universe").model_copy(update=elsewhere), tmp_path / "home")
    assert keys(decisions) == reused
    assert {decision.action for decision in decisions} == {"reuse"}


def test_a_field_of_the_recipe_changes_the_keys_from_its_stage_on_and_no_other(whole: Path) -> None:
    before = planned(load("universe"), whole)
    after = planned(load("universe", ("sft.learning_rate=0.002",)), whole)
    reused = {decision.position for decision in after if decision.action == "reuse"}
    assert {d.position for d in before} - reused == {
        "tune.sft", "evaluate.sft", "pair.dpo", "tune.dpo", "evaluate.chat", "gate.chat", "quantize.int8", "measure.int8", "export",
        "evaluate.release", "evaluate.int8", "gate.release"
    }  # fmt: skip
    assert next(decision.position for decision in after if decision.action == "run") == "tune.sft"
    assert all(decision.key == keys(before)[decision.position] for decision in after if decision.position in reused)
