"""Decide which runs and artifacts a store must keep.

Kept, with everything they were made from, are: the newest finished runs of each recipe; runs under way; runs since the newest finished one
whose work a continuation would reuse; runs named by the caller; and every artifact ever registered as a model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import RunRecord


@dataclass(frozen=True)
class RetainedRun:
    """A run whose artifacts are kept, and why."""

    run: RunRecord
    why: str


def retained_runs(runs: Iterable[RunRecord], keep: int, named: set[str], alive: set[str]) -> list[RetainedRun]:
    """Return the runs that are kept. `runs`: newest first; `keep`: finished runs of each recipe."""
    kept: list[RetainedRun] = []
    finished: dict[str, int] = {}
    reached: dict[str, set[str]] = {}
    for run in runs:
        positions = reached.setdefault(run.recipe, set())
        done = finished.get(run.recipe, 0)
        if run.id in alive:
            kept.append(RetainedRun(run, "it is under way"))
        elif run.status == "finished":
            finished[run.recipe] = done + 1
            if done < keep:
                kept.append(RetainedRun(run, "one of the newest finished runs"))
            elif run.id in named:
                kept.append(RetainedRun(run, "named"))
        elif run.id in named:
            kept.append(RetainedRun(run, "named"))
        # An unfinished run is worth keeping only where it reached positions that no later one did.
        elif done == 0 and (not positions or run.positions.keys() - positions):
            kept.append(
                RetainedRun(run, f"{'crashed' if run.status == 'running' else run.status} after the newest finished run; may be continued")
            )
        positions.update(run.positions)
    return kept


def needed_addresses(artifacts: Iterable[Artifact], roots: set[str]) -> set[str]:
    """Return the addresses of the roots, given by location or address, and of everything that they were made from."""
    inputs: dict[str, set[str]] = {}
    waiting = []
    for artifact in artifacts:
        inputs.setdefault(artifact.address, set()).update(given.address for given in artifact.inputs.values())
        if artifact.location in roots or artifact.address in roots:
            waiting.append(artifact.address)
    needed: set[str] = set()
    while waiting:
        address = waiting.pop()
        if address in inputs and address not in needed:
            needed.add(address)
            waiting += inputs[address]
    return needed
