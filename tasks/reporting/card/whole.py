"""Renders and keeps the whole card of a release."""

from __future__ import annotations

from pathlib import Path

from model.release.account import FACTS, whole_card
from tasks.reporting.card.account import EXPORT, account_of, releasing_run
from tasks.reporting.page_cache import kept_text
from tasks.stage.execution.run import PipelineRun
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.run_record import RunRecord
from tasks.stage.store.store import Store
from tasks.stage.system.atomic_files import write_atomically
from tasks.stage.system.progress import log


class CardError(LookupError):
    """A release that has no whole card."""


def card_of(store: Store, exported: Artifact) -> str:
    """Return the whole card of an export. Raise CardError if no run has it or it keeps no facts, StoreError if they are damaged."""
    run = releasing_run(store, exported)
    if run is None:
        raise CardError(f"{store.url} records no run of {exported.name}, so only its own README.md is there")
    return _rendered(store, exported, run)


def write_card(run: PipelineRun) -> Path | None:
    """Write the card of the release that the current run made, and return its path; None if it made none."""
    exported = run.artifacts.get(EXPORT)
    if exported is None:
        return None
    record = run.record.model_copy(update={"positions": dict(run.positions), "registered": run.registered})
    path = run.home / "reports" / f"{run.name}.card.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_atomically(path, _rendered(run.store, exported, record).encode())
    except CardError as error:
        log(f"the whole card was not written: {error}")
        return None
    return path


def _rendered(store: Store, exported: Artifact, run: RunRecord) -> str:
    if not (store.local(exported) / FACTS).is_file():
        raise CardError(f"{exported.name} has no {FACTS}: it was exported before cards could be written again; export it anew")
    release, account = store.verified(exported, FACTS).parent, account_of(store, run)
    return kept_text("card", [exported.digest, account.model_dump(mode="json")], lambda: whole_card(release, account))
