"""Bars of a run on a terminal, with what a plan says about its stages and their times.

The plan is made in parallel with the run once a stage executes; a run that reuses everything needs none.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flows.recipe.schema import Recipe
from tasks.stage.store.artifact import without_shard
from tasks.stage.system.progress import log


@contextmanager
def bars(recipe: Recipe) -> Iterator[None]:
    """Draw the progress of a run during the block, if standard output is a terminal."""
    if not sys.stdout.isatty():
        yield
        return
    from tasks.stage.system.live_bars import LiveBars

    drawing = LiveBars(recipe.name)

    def look_ahead() -> None:
        drawing.working.wait()
        try:
            drawing.expect(expected_seconds(recipe))
        except Exception as error:  # noqa: BLE001  # the run itself will say what is wrong, and better
            log(f"how long the run takes is not known ({type(error).__name__})")

    threading.Thread(target=look_ahead, daemon=True).start()
    with drawing.drawn():
        yield


def expected_seconds(recipe: Recipe) -> dict[str, float | None]:
    """Return a recipe's stages and the expected seconds of each; None if unknown, 0 if reused."""
    from flows.cli.planning import walk

    plan = walk(recipe)
    ahead = plan.estimate().stages
    likely = {stage: seconds.likely if seconds is not None else None for stage, (seconds, _) in ahead.items()}
    return {stage: likely.get(stage, 0.0) for stage in (without_shard(decision.position) for decision in plan.decisions)}
