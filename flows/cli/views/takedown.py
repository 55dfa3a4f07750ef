"""`folio takedown`: every artifact and model that holds a document, and the steps that remove it."""

from __future__ import annotations

import json

from flows.cli.snapshot import open_snapshot
from tasks.lineage.documents import describe_document, find_document
from tasks.lineage.hook import Holding
from tasks.lineage.takedown import Takedown, instructions, plan_takedown, takedown_json


def show_takedown(text: str, *, as_json: bool = False, store: str = "") -> str:
    """Return the account as text or JSON. Raises LookupError if no document, or more than one, is called `text`."""
    snapshot = open_snapshot(store)
    found = find_document(snapshot, text)
    if found is None:
        raise LookupError(f"No document that was read into {snapshot.store.url} is called {text!r}; give its id, its path or its title.")
    account = plan_takedown(snapshot, *found)
    return json.dumps(takedown_json(account), indent=1) if as_json else _text(account)


def _text(account: Takedown) -> str:
    lines = [describe_document(account.document), f"read by {', '.join(artifact.location for artifact in account.read_by)}"]
    groups = {
        "contain it": account.contains,
        "learned from it": account.learned,
        "learned its text from the document kept in its place": account.learned_elsewhere,
        "were measured on it, but hold nothing of it": account.measured,
        "removed it from the corpus": account.left_corpus,
    }
    for title, holdings in groups.items():
        if holdings is account.learned_elsewhere and not holdings:
            continue
        lines += ["", f"{title}: {len(holdings) or 'none'}", *(f"  {_line(one)}" for one in holdings)]
    if account.related:
        lines += ["", "share its text:"]
        lines += [
            f"  {identity} ({account.names.get(identity, 'no longer read')}) {shared.how}" for identity, shared in account.related.items()
        ]
    lines += ["", f"registered models that learned its text: {len(account.registered) or 'none'}"]
    for model, run in account.registered:
        lines.append(f"  {model.name} version {model.version}{f' ({model.alias})' if model.alias else ''}, {model.location}, run {run.id}")
    lines += ["", f"runs that used it: {', '.join(run.id for run in account.runs) or 'none in the journal'}", "", "to take it down:"]
    return "\n".join([*lines, *(f"  {number}. {step}" for number, step in enumerate(instructions(account), start=1))])


def _line(held: Holding) -> str:
    parts = f": {', '.join(sorted(part or 'all of it' for part in held.parts))}" if held.parts else ""
    detail = f" ({held.detail})" if held.detail else ""
    return f"{held.artifact.location}{parts}{detail}{'' if held.certain else '  (possibly; not certain)'}"
