"""`folio takedown`: every artifact and model that contains a document, and what to do for it to be gone."""

from __future__ import annotations

import json

from flows.cli.lineage import library_at
from tasks.lineage.holdings import Holding
from tasks.lineage.takedown import Takedown, data, takedown, ways
from tasks.lineage.things import find_document, words_of


def take_down(text: str, *, as_json: bool = False, store: str = "") -> str:
    """The account of a document as text or JSON; changes nothing. Raises LookupError when no document or several are called `text`."""
    library = library_at(store)
    found = find_document(library, text)
    if found is None:
        raise LookupError(f"No document that was read into {library.store.url} is called {text!r}; give its id, its path or its title.")
    told = takedown(library, *found)
    return json.dumps(data(told), indent=1) if as_json else _text(told)


def _text(told: Takedown) -> str:
    lines = [words_of(told.document), f"read by {', '.join(artifact.location for artifact in told.read_by)}"]
    groups = {
        "contain it": told.contains,
        "learned from it": told.learned,
        "learned its text from the document kept in its place": told.through,
        "were measured on it and hold nothing of it": told.measured,
        "took it out of the corpus": told.left,
    }
    for title, held in groups.items():
        if held is told.through and not held:
            continue
        lines += ["", f"{title}: {len(held) or 'none'}", *(f"  {_line(one)}" for one in held)]
    if told.kin:
        lines += ["", "share its text:"]
        lines += [f"  {identity} ({told.names.get(identity, 'no longer read')}) {shared.how}" for identity, shared in told.kin.items()]
    lines += ["", f"registered models that learned its text: {len(told.registered) or 'none'}"]
    for model, run in told.registered:
        lines.append(f"  {model.name} version {model.version}{f' ({model.alias})' if model.alias else ''}, {model.location}, run {run.id}")
    lines += ["", f"runs that used it: {', '.join(run.id for run in told.runs) or 'none in the journal'}", "", "to take it down:"]
    return "\n".join([*lines, *(f"  {number}. {step}" for number, step in enumerate(ways(told), start=1))])


def _line(held: Holding) -> str:
    parts = f": {', '.join(sorted(part or 'all of it' for part in held.parts))}" if held.parts else ""
    detail = f" ({held.detail})" if held.detail else ""
    return f"{held.artifact.location}{parts}{detail}{'' if held.certain else '  -- may; not certain'}"
