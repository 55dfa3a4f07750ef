"""A recipe's run in folio's home, by the command that users give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from flows.cli.planning import plan_recipe
from flows.services.home import home, store_url
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store


class RecipeRun(NamedTuple):
    """The artifacts of a run by position, and the store that holds them."""

    made: dict[str, Artifact]
    store: Store

    def folder(self, position: str) -> Path:
        """Return the folder of the artifact at a position."""
        return self.store.local(self.made[position])


def run_recipe(recipe: str, changes: tuple[str, ...]) -> RecipeRun:
    """Run a recipe, what it says going to standard error. Raise CalledProcessError if it fails."""
    settings = [part for change in changes for part in ("--set", change)]
    subprocess.run([sys.executable, "-m", "flows.cli.app", "run", recipe, *settings], check=True, stdout=sys.stderr)
    decisions = plan_recipe(recipe, changes, frozenset(), False).decisions
    return RecipeRun({d.position: d.artifact for d in decisions if d.artifact}, Store(store_url(), home() / "cache" / "artifacts"))
