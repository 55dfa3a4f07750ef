"""Remove a document: the commands to run, in order, printed or as JSON, and what no command reaches."""

from __future__ import annotations

import glob
import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from data.provenance.tables import IngestedDocument
from data.sources.formats import type_from_name
from tasks.lineage.holdings import OwnPhrases, holding_json
from tasks.lineage.takedown import Takedown
from tasks.lineage.word_search import Holder, Search
from tasks.stage.store.journal import RunRecord
from tasks.stage.system.command_line import folio

LOCAL = "sqlite:///"


def unreachable(runs: Iterable[RunRecord], home: Path) -> list[tuple[str, str]]:
    """Return (address, why) of each MLflow outside of folio's home."""
    addresses = {str(run.configuration.get("tracking", "")) for run in runs} - {"", "none"}
    outside = (address for address in addresses if not Path(address.removeprefix(LOCAL)).is_relative_to(home))
    return [(address, "MLflow outside folio's home: search it there") for address in sorted(outside)]


LISTED = 20


@dataclass(frozen=True)
class Step:
    """One thing to do, and the command that does it, if one does."""

    what: str
    command: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.command}" if self.command else self.what


def instructions(takedown: Takedown, search: Search | None = None, store: str = "") -> list[Step]:
    """Return the steps. `search`: what a search for its words found; `store`: the store, if it is not the one in folio's home."""
    at = f" --store {shlex.quote(store)}" if store else ""
    named = "".join(f" --without {identity}" for identity in takedown.without)
    steps = [*_sources(takedown)]
    for recipe, positions in takedown.rerun.items():
        run = next((run for run in takedown.runs if run.recipe == recipe), None)
        command = f"{_recipe(recipe, run)} --set {shlex.quote(f'ingest.without={_without(takedown, run)}')}"
        command += f" --set {shlex.quote(f'store={store}')}" if store else ""
        steps.append(Step(f"see what that changes in {recipe}", f"{folio('plan')} {command}"))
        steps.append(Step(f"run {recipe} again, which may rerun {', '.join(positions)}", f"{folio('run')} {command}"))
    steps.append(Step("delete what holds it or learned from it, whichever run used it", f"{folio('gc', '--delete')}{named}{at}"))
    for model, _ in takedown.registered:
        alias = f", which is {model.alias}" if model.alias else ""
        steps.append(Step(f"retire version {model.version} of {model.name} in the model registry{alias}, and every copy handed out"))
    if search is None:
        if takedown.quoted_in_reports:
            steps.append(Step("delete the reports of those runs, here and in MLflow: their samples quote it"))
        return steps
    return [*steps, *_by_hand([holder for holder in search.holders if not holder.location and holder.how != "name"])]


def _sources(takedown: Takedown) -> list[Step]:
    document = takedown.document
    steps = []
    others = [takedown.names.get(identity, identity) for identity in takedown.without[1:]]
    twins = f"; the same for {', '.join(others)}" if others else ""
    kinds = {source.get("kind") for source in takedown.sources}
    if "files" in kinds:
        joined = f" (it was joined from {document.parts} files)" if document.parts > 1 else ""
        steps.append(Step(f"{_removal(document)} of source {document.source}{joined}, below the recipe's root{twins}"))
    if "package" in kinds and document.parts == 1 and not document.is_record:
        globs = json.dumps([glob.escape(document.path)])
        steps.append(Step(f"{'or ' if steps else ''}exclude it from source {document.source}: exclude: {globs}{twins}"))
    if "judgements" in kinds:
        steps.append(
            Step(f"take the lines that gave it out of the journal of {document.source}; ledger.jsonl of stage judgements names them")
        )
    without = f"write into the recipe's file that it is never read, whatever its source: ingest.without: {json.dumps(takedown.never_read)}"
    steps.append(Step(f"{'or ' if steps else ''}{without}"))
    return steps


def _removal(document: IngestedDocument) -> str:
    file, _, record = document.path.rpartition("#") if document.is_record else (document.path, "", "")
    folders = [str(parent) for parent in reversed(PurePosixPath(file).parents) if parent.name and type_from_name(parent.name).archive]
    inside = f"the member {file.removeprefix(folders[0] + '/')} of the archive {folders[0]}" if folders else f"the file {file}"
    return f"take record {record} out of {inside}" if record else f"{'take out' if folders else 'delete or move'} {inside}"


def _without(takedown: Takedown, run: RunRecord | None) -> str:
    """All documents that are never to be read: those that the run left out already, too."""
    before = run.configuration.get("ingest", {}).get("without", ()) if run else ()
    return json.dumps(list(dict.fromkeys((*before, *takedown.never_read))))


def _recipe(name: str, run: RunRecord | None) -> str:
    """Return the recipe as the run's command named it; of an older run its file, if it is where the run's paths begin, else its name."""
    if run and run.argument:
        return shlex.quote(run.argument)
    file = Path(run.configuration.get("root", ""), f"{name}.yaml") if run and run.configuration.get("root") else None
    return shlex.quote(str(file)) if file is not None and file.is_file() else shlex.quote(name)


def _by_hand(holders: Iterable[Holder]) -> list[Step]:
    """A step for each kind of place that folio does not clean by itself."""
    by_advice: dict[tuple[str, str, bool], list[str]] = {}
    for holder in holders:
        if holder.place.removal != "gc" and holder.place.kind != "source":
            key = (holder.place.kind, holder.place.advice, holder.place.expendable)
            by_advice.setdefault(key, []).append(holder.path)
    steps = []
    for (kind, advice, expendable), paths in by_advice.items():
        shown = " ".join(map(shlex.quote, paths[:LISTED]))
        more = f" ({len(paths) - LISTED} more: --json)" if len(paths) > LISTED else ""
        steps.append(Step(f"{kind}, {advice}{more}", f"rm {shown}") if expendable else Step(f"{kind} {shown}: {advice}{more}"))
    return steps


def takedown_json(takedown: Takedown, own: OwnPhrases | None = None, search: Search | None = None, store: str = "") -> dict[str, Any]:
    """Return a take-down, and what a search for its words found, as plain data."""
    document = takedown.document
    return {
        "document": {"id": document.id, "source": document.source, "path": document.path, "title": document.title},
        "read_by": [artifact.location for artifact in takedown.read_by],
        "contains": [holding_json(holding) for holding in takedown.contains],
        "learned_from_it": [holding_json(holding) for holding in takedown.learned],
        "learned_from_what_was_kept_in_its_place": [holding_json(holding) for holding in takedown.learned_elsewhere],
        "only_measured_on_it": [holding_json(holding) for holding in takedown.measured],
        "left_the_corpus": [holding_json(holding) for holding in takedown.left_corpus],
        "shares_text": [
            {"id": identity, "name": takedown.names.get(identity, ""), "how": relation.how}
            for identity, relation in takedown.related.items()
        ],
        "without": takedown.without,
        "ingest_without": takedown.never_read,
        "runs": [{"id": run.id, "recipe": run.recipe, "started": run.started, "mlflow_run_id": run.mlflow_run_id} for run in takedown.runs],
        "registered": [model.model_dump() | {"run": run.id} for model, run in takedown.registered],
        "rerun": {recipe: list(positions) for recipe, positions in takedown.rerun.items()},
        "searched": search and search_json(own, search),
        "steps": [{"what": step.what, "command": step.command} for step in instructions(takedown, search, store)],
    }


def search_json(own: OwnPhrases | None, search: Search) -> dict[str, Any]:
    """Return what a search found as plain data."""
    phrases = {"own": len(own.phrases), "all": own.all, "words": own.phrases.words, "copies": own.copies} if own else {}
    return {
        "phrases": phrases,
        "files": search.files,
        "bytes": search.size,
        "holders": [_holder_json(holder) for holder in search.holders],
        "unread": [{"path": path, "why": why} for path, why in search.unread],
    }


def _holder_json(holder: Holder) -> dict[str, Any]:
    place = {"path": holder.path, "kind": holder.place.kind, "artifact": holder.location}
    found = {"how": holder.how, "phrases": holder.phrases, "quote": holder.quote, "inside": list(holder.inside)}
    return place | found | {"removed_by": holder.place.removal, "advice": holder.place.advice}
