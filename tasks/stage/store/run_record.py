"""The journal's record of a run: plain JSON, complete without any server.

A run rewrites its record as it goes; the series that its stages report lie beside it (`series`), and so does what MLflow was told of it.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from tasks.stage.system.process_identity import ProcessIdentity

NEVER = "it has never run"
"""The cause of an execution for which there is nothing to compare with."""
Status = Literal["running", "finished", "failed", "stopped", "crashed"]


def recipe_names(text: str) -> frozenset[str]:
    """Return what a recipe may be called by in a journal, if a person calls it `text`: that, and where its file is if `text` is a path."""
    path = Path(text)
    file = path / "recipe.yaml" if path.is_dir() else path
    is_path = os.sep in text or file.suffix in (".yaml", ".yml")
    return frozenset({text, str(file.resolve())} if is_path and file.is_file() else {text})


class PositionRecord(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The artifact that a run had at one position of its flow."""

    stage: str
    key: str
    address: str = ""
    digest: str
    location: str
    action: Literal["reused", "executed"]
    causes: tuple[str, ...] = Field((), description="why it ran; empty when it was reused")
    answer: str = Field("", description="what a person answered about the verdict of a gate; empty: nobody was asked")
    retries: int = Field(0, ge=0, description="how often it was run again after a transient fault; number")
    accepted: str = Field("", description="reason given when a changed identity was accepted as giving the same output; empty: none was")

    @model_validator(mode="after")
    def _known_by_key(self) -> PositionRecord:
        """Before traces were recorded, an artifact was known by its key."""
        if not self.address:
            object.__setattr__(self, "address", self.key)
        return self


class StageRecord(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The outcome of a stage in a run, all its shards together."""

    status: Literal["executing", "executed", "reused", "failed", "stopped"]
    began: str = Field(description="UTC time, ISO 8601")
    ended: str = Field("", description="UTC time, ISO 8601; empty while it executes")
    error: str = Field("", description="one line; empty unless it failed or was stopped")
    key: str = Field(description="of its first shard")
    config: dict[str, Any] = Field(default_factory=dict, description="its config as plain data; empty if it was reused")
    is_model: bool = Field(False, description="whether what it makes is a model")


class RegisteredModel(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A model that a run gives to the model registry."""

    name: str
    version: str = Field("", description="which the registry gave it; empty until MLflow was told of the run")
    alias: str = Field("", description="to be moved to it; empty: none")
    reason: str = Field("", description="why it has the alias, or has not")
    location: str = Field(description="of the exported artifact in the store")
    digest: str


class ExportRecord(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """What MLflow has been told of a run, and what it calls it."""

    mlflow_run_id: str = ""
    experiment_id: str = ""
    told: Status = Field("running", description="the run's status when this was last tried")
    problem: str = Field("", description="why it could not be told, one line; empty when it could")
    versions: dict[str, str] = Field(default_factory=dict, description="version in the registry, by the digest of the registered model")

    @property
    def complete(self) -> bool:
        """Whether MLflow was told everything up to the run's end."""
        return self.told != "running" and not self.problem


class RunRecord(BaseModel, frozen=True, extra="forbid", defer_build=True, validate_by_name=True, serialize_by_alias=True):
    """One pipeline run."""

    format: int = 1
    id: str = Field(description="UTC second of the start and six random hex digits: 20261125T130501-3fa2bc")
    recipe: str = Field(description="name of the recipe")
    argument: str = Field("", description="what names the recipe in a command, from any folder; empty: its name")
    status: Status
    started: str = Field(description="UTC time, ISO 8601")
    ended: str = Field("", description="UTC time, ISO 8601; empty while it runs")
    error: str = Field("", description="one line; empty unless the run failed")
    host: str
    pid: int = Field(description="for people; another process may have it by now")
    process: str = Field("", description="identity of its process (`ProcessIdentity`); empty in records that older code has written")
    git_commit: str
    git_dirty: bool
    configuration: dict[str, Any] = Field(description="the whole recipe as plain data")
    mlflow_run_id: str = Field("", description="known from the export record once MLflow was told of the run")
    flow_run_id: str = ""
    stages: dict[str, StageRecord] = Field(default_factory=dict, description="by position, in the order in which they began")
    positions: dict[str, PositionRecord] = Field(default_factory=dict, alias="places")
    registered: tuple[RegisteredModel, ...] = ()
    differences: dict[str, str] = Field(default_factory=dict, description="what of the recipe differs from its defaults, by path")
    headline: dict[str, float] = Field(default_factory=dict, description="the metrics that a person asks for first")
    description: str = Field("", description="what came of it, in Markdown")
    page: str = Field("", description="path of its report on the machine that it ran on")
    card: str = Field("", description="path of its release's whole card there; empty: it released nothing")

    @property
    def identity(self) -> ProcessIdentity | None:
        """What its process is known by; None in records that older code has written."""
        return ProcessIdentity.read(self.process)

    def is_of(self, names: Collection[str]) -> bool:
        """Return whether it is a run of the recipe with one of these names (see `recipe_names`)."""
        return self.recipe in names or self.argument in names
