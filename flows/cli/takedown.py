"""`folio takedown`: every artifact and model that contains a document, and what to do for it to be gone."""

from __future__ import annotations

import json

from flows.cli.lineage import snapshot_at
from tasks.lineage.documents import describe_document, find_document
from tasks.lineage.hook import Holding
from tasks.lineage.takedown import Takedown, instructions, plan_takedown, takedown_json


def take_down(text: str, *, as_json: bool = False, store: str = "") -> str:
    """The account of a document as text or JSON; changes nothing. Raises LookupError when no document or several are called `text`."""
    snapshot = snapshot_at(store)
    found = find_document(snapshot, text)
    if found is None:
        raise LookupError(f"No document that was read into {snapshot.store.url} is called {text!r}; give its id, its path or its title.")
    takedown = plan_takedown(snapshot, *found)
    return json.dumps(takedown_json(takedown), indent=1) if as_json else _text(takedown)


def _text(takedown: Takedown) -> str:
    lines = [describe_document(takedown.document), f"read by {', '.join(artifact.location for artifact in takedown.read_by)}"]
    groups = {
        "contain it": takedown.contains,
        "learned from it": takedown.learned,
        "learned its text from the document kept in its place": takedown.learned_elsewhere,
        "were measured on it and hold nothing of it": takedown.measured,
        "took it out of the corpus": takedown.left_corpus,
    }
    for title, held in groups.items():
        if held is takedown.learned_elsewhere and not held:
            continue
        lines += ["", f"{title}: {len(held) or 'none'}", *(f"  {_line(one)}" for one in held)]
    if takedown.related:
        lines += ["", "share its text:"]
        for identity, relation in takedown.related.items():
            lines.append(f"  {identity} ({takedown.names.get(identity, 'no longer read')}) {relation.how}")
    lines += ["", f"registered models that learned its text: {len(takedown.registered) or 'none'}"]
    for model, run in takedown.registered:
        lines.append(f"  {model.name} version {model.version}{f' ({model.alias})' if model.alias else ''}, {model.location}, run {run.id}")
    lines += ["", f"runs that used it: {', '.join(run.id for run in takedown.runs) or 'none in the journal'}", "", "to take it down:"]
    return "\n".join([*lines, *(f"  {number}. {step}" for number, step in enumerate(instructions(takedown), start=1))])


def _line(held: Holding) -> str:
    parts = f": {', '.join(sorted(part or 'all of it' for part in held.parts))}" if held.parts else ""
    detail = f" ({held.detail})" if held.detail else ""
    return f"{held.artifact.location}{parts}{detail}{'' if held.certain else '  -- may; not certain'}"
