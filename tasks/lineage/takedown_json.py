"""A take-down as plain data for machines."""

from __future__ import annotations

from typing import Any

from tasks.lineage.holdings import holding_json
from tasks.lineage.own_phrases import OwnPhrases
from tasks.lineage.removal import instructions
from tasks.lineage.takedown import Takedown
from tasks.lineage.word_search import Holder, Search


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
