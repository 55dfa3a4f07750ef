"""Accept a planned execution as unnecessary: a person vouches that a change does not alter the output."""

from __future__ import annotations

import getpass

from tasks.stage.execution.plan import Decision
from tasks.stage.store.acceptance import Acceptance, save
from tasks.stage.store.origin import now
from tasks.stage.store.store import Store


class NotAcceptable(ValueError):
    """A change that nobody can vouch for."""


def accept(store: Store, recipe: str, decision: Decision, reason: str) -> Acceptance:
    """Keep an acceptance of what a plan decided to run. Raises NotAcceptable naming what stands in the way."""
    position, last = decision.position, decision.last
    if not reason.strip():
        raise NotAcceptable(f"{position}: an acceptance needs its reason; give --reason with a few words.")
    if decision.action != "run" or decision.damaged is not None or not decision.key or last is None:
        raise NotAcceptable(f"{position}: there is nothing to accept, since {'; '.join(decision.causes[:3]) or 'it is reused as it is'}.")
    if last.key == decision.key:
        raise NotAcceptable(f"{position}: its artifact {last.location} is gone, so nothing can stand in for it; run it.")
    names = {*last.ingredients, *decision.ingredients}
    moved = sorted(
        n for n in names if last.ingredients.get(n) != decision.ingredients.get(n) and n.partition(".")[0] in ("input", "observed")
    )
    if moved:
        raise NotAcceptable(f"{position}: {', '.join(moved[:4])} changed: other bytes go in, which no acceptance covers; run it.")
    if store.check(last, digests=True):
        raise NotAcceptable(f"{position}: {last.location} is damaged, so it can't stand in; run it.")
    acceptance = Acceptance(
        stage=decision.stage,
        position=position,
        recipe=recipe,
        key=decision.key,
        instead=last.key,
        ingredients=dict(decision.ingredients),
        causes=decision.causes,
        reason=reason.strip(),
        who=getpass.getuser(),
        when=now(),
    )
    save(store, acceptance)
    return acceptance
