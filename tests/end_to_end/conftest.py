"""One run of the smallest recipe, for all who look at what it left."""

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
class Ran:
    """A recipe that was run to its end."""

    recipe: Recipe
    artifacts: dict[str, Artifact]
    store: Store
    before: list[Decision]

    def folder(self, place: str) -> Path:
        """Where a stage's files lie."""
        return self.store.local(self.artifacts[place])


@pytest.fixture(scope="session")
def four_books(prefect: None) -> Ran:
    """`four_books`, planned and then run."""
    from flows.cli.planning import plan_recipe
    from flows.pipeline import pipeline

    recipe = load("four_books")
    before = plan_recipe("four_books", (), frozenset(), False)
    assert not before.stopped
    artifacts = pipeline(recipe)
    return Ran(recipe, artifacts, Store(store_url(), home() / "cache" / "artifacts"), before.decisions)
