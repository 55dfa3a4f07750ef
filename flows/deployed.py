"""The pipeline as a deployment runs it: the form asks for a recipe's name or path and for changes, as `folio run` does.

Ask a person about a gate: a deployed run suspends until someone fills in a form; Prefect notifies whom the recipe names.

While a run is suspended no process waits. Resumed, it starts over, reuses everything it made, reaches the same gate, and continues
with the answer.
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.exceptions import Pause
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from pydantic import Field

from flows.cli.approving import tell
from flows.cli.planning import stages_to_refresh
from flows.flow import make
from flows.recipe.loading import load
from tasks.stage.execution.pools.run_side import FLOW
from tasks.stage.execution.pools.worker_side import work_on
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.verdicts import Answer, Approver, Question
from tasks.stage.system.progress import log

DIGITS = 16
"""Digits of the question's digest in a suspension's key."""


class ApprovalForm(RunInput):
    """The form that a person fills in to resume a run that awaits approval."""

    approve: bool = Field(description="yes: what comes after the gate runs; no: the flow stops here")
    name: str = Field(min_length=1, description="your name, which is recorded")
    reason: str = Field(min_length=1, description="why, which is recorded; text")


def suspending(notify: str) -> Approver:
    """Return a function that suspends the flow run until a person answers. `notify`: notification block; empty for none."""

    def ask(question: Question) -> Answer:
        form = ApprovalForm.with_initial_data(description=f"**{question.title}**\n\n```\n{question.shown}\n```")
        try:
            # The same question has the same key, so a resumed run is given the answer instead of being suspended again.
            given = suspend_flow_run(wait_for_input=form, key=_key(question))
        except Pause:
            log(f"{question.title} The run is suspended; resume it at {flow_run.ui_url}")
            tell(notify, question.title, f"{question.shown}\n\nAnswer at {flow_run.ui_url}")
            raise
        return Answer(given.approve, given.name, given.reason)

    return ask


def _key(question: Question) -> str:
    """Return a suspension's key: letters, digits and dashes, as Prefect requires."""
    return f"{question.position.replace('.', '-')}-{question.subject[:DIGITS]}"


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


@flow(name=FLOW, flow_run_name="{position}")
def stage_job(position: str, job: str) -> None:
    """Run one stage for a run that waits for it. A run starts this; there is nothing to fill in.

    Args:
        position: The stage's position in the flow, such as pretrain or tune.sft.
        job: The folder that holds the job, below folio's home, which this machine sees at the same path.
    """
    work_on(Path(job))
