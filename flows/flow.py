"""The Prefect flow of a recipe, which `folio run` and a deployment start.

A plan composes the same chapters without it, and without loading Prefect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect import Flow
from prefect.states import Cancelled
from prefect.utilities.annotations import quote

from flows.pipeline import compose
from flows.recipe.commented_yaml import plain_differences
from flows.services.home import home
from tasks.report import reported
from tasks.stage.execution.approving import AwaitsApproval
from tasks.stage.execution.run_context import open_run
from tasks.stage.store.artifact import Artifact

if TYPE_CHECKING:
    # Prefect writes a JSON Schema of each type that it can resolve, here of a whole recipe at every start, for a form that nobody sees.
    from flows.recipe.schema import Recipe


def make(recipe: Recipe) -> dict[str, Artifact]:
    """Open a run of a recipe and compose it. Return every artifact by its position in the flow."""
    with open_run(**recipe.run_settings(), differences=plain_differences(recipe)) as run, reported():
        compose(recipe)
        return run.artifacts


class RecipeFlow(Flow[["Recipe"], quote]):
    """A flow of one recipe, which it serializes itself: for that, Prefect would load the whole of a web framework."""

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the recipe as Prefect's server keeps it."""
        return {name: recipe.model_dump(mode="json") for name, recipe in parameters.items()}


def _flow(recipe: Recipe) -> quote:
    """Make what a recipe describes, reusing what has not changed. Return every artifact by its position in the flow."""
    try:
        return quote(make(recipe))  # or Prefect would look for futures in every field of every record
    except KeyboardInterrupt:
        return Cancelled(message="stopped by a signal")  # type: ignore[return-value]  # Prefect takes a returned state as that of the run
    except AwaitsApproval as waiting:
        return Cancelled(message=str(waiting), data=waiting)  # type: ignore[return-value]  # the caller gets its data raised


# A recipe is valid once it is there. No result is kept, but without a place for them Prefect asks its server for one, three times.
FLOW = RecipeFlow(
    _flow,
    name="folio",
    flow_run_name="{recipe.name}",
    validate_parameters=False,
    persist_result=False,
    result_storage=home() / "prefect-results",
)


def pipeline(recipe: Recipe) -> dict[str, Artifact]:
    """Run the flow. Return every artifact by its position in it."""
    artifacts: dict[str, Artifact] = FLOW(recipe).unquote()
    return artifacts
