"""The pipeline as a deployment runs it: the form asks for a recipe's name or path and for changes, as `folio run` does."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from flows.asking import suspending
from flows.cli.planning import stages_to_refresh
from flows.pipeline import make
from flows.recipe.loading import load
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.store.artifact import Artifact


@flow(name="folio", flow_run_name="{recipe}")
def deployed(recipe: str, changes: tuple[str, ...] = (), refresh: tuple[str, ...] = (), verify: bool = False) -> dict[str, Artifact]:
    """Make what a recipe describes, reusing what has not changed. Return every artifact by its position in the flow.

    Args:
        recipe: A recipe that comes with folio, such as universe, or the path of a recipe file on the worker's machine.
        changes: Changes to it, each as key.path=value, such as sft.learning_rate=0.001.
        refresh: Stages, or positions such as evaluate.base, that run again even if nothing changed.
        verify: Whether every artifact is hashed again before it is reused.
    """
    # A run that is resumed has run them again already.
    due = [] if flow_run.run_count > 1 else list(refresh)
    loaded, stages = load(recipe, changes), stages_to_refresh(due, recipe, changes)
    with use_options(RunOptions(refresh=stages, verify=verify, approver=suspending(loaded.resources.notify))):
        return make(loaded)
