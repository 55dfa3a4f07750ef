"""Have a person decide: approve a verdict before a run continues, or accept a change that a plan would run a stage for."""

from __future__ import annotations

import getpass
from dataclasses import replace

from tasks.stage.execution.plan import Decision
from tasks.stage.execution.run import PipelineRun, RunStopped
from tasks.stage.store.artifact import Artifact, StageOutput
from tasks.stage.store.origin import now
from tasks.stage.store.store import Store
from tasks.stage.store.verdicts import Acceptance, AcceptedHash, Approval, Question, find_approval, save, save_approval, subject_of
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


class NotAcceptable(ValueError):
    """A change that can't be accepted."""


def accept(store: Store, recipe: str, decision: Decision, reason: str) -> Acceptance:
    """Record an acceptance of what a plan decided to run. Raises NotAcceptable with the reason."""
    position, last = decision.position, decision.last
    if not reason.strip():
        raise NotAcceptable(f"{position}: an acceptance needs a reason; give --reason a few words.")
    if decision.action != "reuse" and decision.old is not None and decision.old.refusal:
        raise NotAcceptable(f"{position}: {decision.old.refusal}; run it.")
    if decision.action != "run" or decision.damaged is not None or not decision.key or last is None:
        raise NotAcceptable(f"{position}: there is nothing to accept, since {'; '.join(decision.causes[:3]) or 'it is reused as it is'}.")
    if last.key == decision.key and not decision.changes:
        raise NotAcceptable(f"{position}: there is nothing to accept, since {'; '.join(decision.causes[:3])}; run it.")
    names = {*last.ingredients, *decision.ingredients}
    moved = sorted(
        n for n in names if last.ingredients.get(n) != decision.ingredients.get(n) and n.partition(".")[0] in ("input", "observed")
    )
    if moved:
        raise NotAcceptable(f"{position}: {', '.join(moved[:4])} changed: its input differs, which an acceptance can't cover; run it.")
    if not decision.today:
        raise NotAcceptable(f"{position}: nothing says what {last.location} has read, so nothing can be said about changes of it; run it.")
    if store.check(last, digests=True):
        raise NotAcceptable(f"{position}: {last.location} is damaged, so it can't be reused; run it.")
    acceptance = Acceptance(
        stage=decision.stage,
        position=position,
        recipe=recipe,
        key=decision.key,
        instead=last.address,
        trace=decision.today,
        changes={change.entry: AcceptedHash(old=change.old, new=change.new) for change in decision.changes},
        ingredients=dict(decision.ingredients),
        causes=decision.causes,
        reason=reason.strip(),
        who=getpass.getuser(),
        when=now(),
    )
    save(store, acceptance)
    return acceptance
