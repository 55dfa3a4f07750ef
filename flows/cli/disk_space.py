"""Check that the store's disk has room for what a run will write: its stages' expected output and checkpoints.

`folio plan` knows what will run. `folio run` makes a plan only if the disk may be too small for everything the recipe last made, so
a run with room loses no time.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from flows.cli.planning import Plan, walk
from flows.recipe.schema import Recipe
from flows.recipe.validation import RecipeError
from tasks.reporting.wording import size
from tasks.stage.execution.run_context import open_store
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store

CHECKPOINT = 12  # bytes of a parameter: its weight and two numbers of the optimizer, in fp32
AMPLE = 4  # with this many times the recipe's last size free, skip the estimate
NEAR = 2  # below this many times what is needed, print a line
TABLES = 50_000_000  # bytes for databases, logs and reports


def require_space(recipe: Recipe) -> None:
    """Raise RecipeError if the store's disk has less room than a run is expected to take."""
    settings = recipe.run_settings()
    store = open_store(settings["store"], settings["root"], settings["home"])
    if (free := free_bytes(store)) is None or free > AMPLE * (_written_last(store, recipe.name) + beside(recipe)):
        return
    plan = walk(recipe)
    needed = needed_bytes(plan, plan.estimate().written)
    if free < needed:
        raise RecipeError(
            f"store={store.url}: {size(free)} are free, and this run is expected to write {size(needed)}. Free space (folio gc shows what "
            "no run needs), or name a store on another disk: --set store=FOLDER"
        )


def space_line(plan: Plan, written: float) -> str:
    """Return a plan's line on disk space if it is scarce; empty if there is room."""
    free, needed = free_bytes(plan.store), needed_bytes(plan, written)
    if free is None or free > NEAR * needed:
        return ""
    verdict = "so it would stop" if free < needed else "which is near"
    return f"Disk: {size(needed)} will be written and {size(free)} are free in {plan.store.url}, {verdict}."


def needed_bytes(plan: Plan, written: float) -> float:
    """Return the most bytes that a run of the plan takes: its artifacts, and checkpoints while it trains. 0 if all is reused."""
    ahead = [decision for decision in plan.decisions if decision.action != "reuse"]
    trains = any(decision.stage in ("pretrain", "tune", "adapt") for decision in ahead)
    return (written + TABLES if ahead else 0.0) + (beside(plan.recipe) if trains else 0.0)


def beside(recipe: Recipe) -> float:
    """Return the bytes of checkpoints: those that are kept, and the one being written."""
    network = recipe.model
    parameters = recipe.tokenizer.vocab_size * network.width + 12 * network.layers * network.width**2
    return float(CHECKPOINT * parameters * (recipe.resources.training.keep_last + 1))


def free_bytes(store: Store) -> int | None:
    """Return the free bytes of the store's disk; None for an object store."""
    if store.local_root is None:
        return None
    root = Path(store.local_root)
    return shutil.disk_usage(next(path for path in (root, *root.parents) if path.exists())).free


def _written_last(store: Store, recipe: str) -> float:
    """Return the bytes of all artifacts of the recipe's last run."""
    records = (store.index.read(position.location) for position in Journal(store).latest_positions(recipe).values())
    return float(sum(file.size for record in records if isinstance(record, Artifact) for file in record.files))
