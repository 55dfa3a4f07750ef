"""One run of the smallest recipe, shared by the tests that look at its results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from flows.services.home import home, store_url
from tasks.stage.execution.plan import Decision
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store


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
def four_books(prefect: None) -> FinishedRun:
    """Plan `four_books`, then run it."""
    from flows.cli.planning import plan_recipe
    from flows.pipeline import pipeline

    recipe = load("four_books")
    before = plan_recipe("four_books", (), frozenset(), False)
    assert not before.stopped
    artifacts = pipeline(recipe)
    return FinishedRun(recipe, artifacts, Store(store_url(), home() / "cache" / "artifacts"), before.decisions)
