"""Have a person approve a verdict before a run continues: find the answer in the store, or ask as the run is configured to."""

from __future__ import annotations

from dataclasses import replace

from tasks.stage.execution.run import PipelineRun, RunStopped
from tasks.stage.store.approval import Approval, Question, find_approval, save_approval, subject_of
from tasks.stage.store.artifact import Artifact, StageOutput
from tasks.stage.store.origin import now
from tasks.stage.store.store import Store
from tasks.stage.system.command_line import folio
from tasks.stage.system.progress import log

ASKS = "a person is asked to approve it"


class AwaitsApproval(RunStopped):
    """A verdict needs a person's answer, and nobody can be asked here."""


def approval_of(run: PipelineRun, verdict: StageOutput, shown: str) -> Approval | None:
    """Return a person's answer about a verdict; None while planning, if there is none yet.

    Raises AwaitsApproval if there is none and nobody can be asked. `shown`: the verdict as a table.
    """
    found = find_approval(run.store, verdict) if isinstance(verdict, Artifact) else None
    if run.options.planning:
        if found is None:
            run.decisions[-1] = replace(run.decisions[-1], causes=(*run.decisions[-1].causes, ASKS))
        return found
    assert isinstance(verdict, Artifact)
    position = run.decisions[-1].position
    if found is None:
        found = _asked(run, position, verdict, shown)
    run.positions[position] = run.positions[position].model_copy(update={"answer": found.words})
    run.save()
    log(f"{position}: {found.words}")
    return found


def _asked(run: PipelineRun, position: str, verdict: Artifact, shown: str) -> Approval:
    if run.options.approver is None:
        command = folio("approve", position, run.record.argument or run.name, "--reason", "...")
        raise AwaitsApproval(f"{position} of {run.name} passed and awaits approval. Give it, then run the recipe again: {command}")
    try:
        answer = run.options.approver(Question(run.name, position, subject_of(verdict), shown))
    except BaseException as error:
        if not isinstance(error, Exception):
            error.add_note(f"{position} awaits approval")
        raise
    return record_answer(run.store, run.name, position, verdict, approved=answer.approved, who=answer.who, reason=answer.reason)


def record_answer(store: Store, recipe: str, position: str, verdict: Artifact, *, approved: bool, who: str, reason: str) -> Approval:
    """Write a person's answer about a verdict into the store, and return it. Raises ValueError without a name or a reason."""
    if not who.strip() or not reason.strip():
        raise ValueError(f"{position}: an answer needs a name and a reason; give both a few words.")
    approval = Approval(
        position=position,
        recipe=recipe,
        subject=subject_of(verdict),
        location=verdict.location,
        approved=approved,
        who=who.strip(),
        reason=reason.strip(),
        when=now(),
    )
    save_approval(store, verdict, approval)
    return approval
