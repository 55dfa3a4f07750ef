"""One run of the smallest recipe, shared by the tests that look at its results."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from flows.services.home import home, store_url
from tasks.stage.execution.plan import Decision
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store
from tests.end_to_end.readme import block, free_port, shell


@dataclass(frozen=True)
class FinishedRun:
    """A recipe, the plan made before it ran, and the artifacts of its run."""

    recipe: Recipe
    artifacts: dict[str, Artifact]
    store: Store
    before: list[Decision]

    def folder(self, position: str) -> Path:
        """Return the folder of the artifact at a position."""
        return self.store.local(self.artifacts[position])


@pytest.fixture(scope="session")
def first_plan() -> list[Decision]:
    """Plan `four_books` before anything has run."""
    from flows.cli.planning import plan_recipe

    plan = plan_recipe("four_books", (), frozenset(), False)
    assert not plan.stopped
    return plan.decisions


@pytest.fixture(scope="session")
def environment(first_plan: list[Decision]) -> Iterator[dict[str, str]]:
    """The session's folio home with servers of its own, in an environment without settings of Prefect or MLflow."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "FOLIO_"))}
    paths = {"FOLIO_HOME": str(home()), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ports = {"FOLIO_PREFECT_PORT": str(free_port()), "FOLIO_MLFLOW_PORT": str(free_port())}
    environment = {**kept, **paths, **ports, "PREFECT_WORKER_QUERY_SECONDS": "1", "COLUMNS": "200"}
    yield environment
    shell("folio down", environment)


@pytest.fixture(scope="session")
def quick_commands(environment: dict[str, str]) -> dict[str, list[str]]:
    """Run the README's quick commands. Return what each printed, in order: a command that stands twice ran twice."""
    activate, *commands = block("Try it in seconds")
    assert activate == "source .venv/bin/activate"
    outputs: dict[str, list[str]] = {command: [] for command in commands}
    for command in commands:
        outputs[command].append(shell(command, environment))
    return outputs


@pytest.fixture(scope="session")
def four_books(prefect: None, first_plan: list[Decision], quick_commands: dict[str, list[str]]) -> FinishedRun:
    """The run of `four_books` that the README's quick commands made, opened by one more run that reuses all of it."""
    from flows.pipeline import pipeline

    recipe = load("four_books")
    artifacts = pipeline(recipe)
    return FinishedRun(recipe, artifacts, Store(store_url(), home() / "cache" / "artifacts"), first_plan)
