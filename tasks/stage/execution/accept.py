"""Accept a change that a plan would run a stage for: a person states that it does not alter the output."""

from __future__ import annotations

import getpass

from tasks.stage.execution.plan import Decision
from tasks.stage.store.acceptance import Acceptance, AcceptedHash, save
from tasks.stage.store.origin import now
from tasks.stage.store.store import Store


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
