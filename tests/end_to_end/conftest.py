"""One run of the smallest recipe, shared by the tests that look at its results."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from flows.services.home import home, store_url
from tasks.stage.execution.plan import Decision
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store
from tests.end_to_end.readme import block, own_servers, shell


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


@contextmanager
def run_at_home(recipe_file: str, own_home: Path, reused: Store | None = None) -> Iterator[FinishedRun]:
    """Plan and run a recipe in a home of its own, which stays the home inside; `reused`: it begins with a copy of this store."""
    from flows.cli.planning import plan_recipe
    from flows.flow import pipeline

    if reused is not None:
        shutil.copytree(reused.root, own_home / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOLIO_HOME", str(own_home))
        recipe = load(recipe_file)
        before = plan_recipe(recipe_file, (), frozenset(), False).decisions
        yield FinishedRun(recipe, pipeline(recipe), Store(store_url(), own_home / "cache" / "artifacts"), before)


@pytest.fixture(scope="session")
def first_plan() -> list[Decision]:
    """Plan `four_books` before anything has run."""
    from flows.cli.planning import plan_recipe

    plan = plan_recipe("four_books", (), frozenset(), False)
    assert not plan.stopped
    return plan.decisions


@pytest.fixture(scope="session")
def environment(first_plan: list[Decision]) -> Iterator[dict[str, str]]:
    """The session's folio home with servers of its own."""
    with own_servers(home()) as environment:
        yield environment


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
    from flows.flow import pipeline

    recipe = load("four_books")
    artifacts = pipeline(recipe)
    return FinishedRun(recipe, artifacts, Store(store_url(), home() / "cache" / "artifacts"), first_plan)
