"""Examples: instructions, preferences and questions, from the universe's truth or from the books themselves."""

from __future__ import annotations

from pathlib import Path

from data.examples.config import ExamplesConfig
from data.examples.make import make_examples
from tasks.stage.stage import Metrics, Workspace, stage


@stage(libraries=("pyarrow",))
def examples(config: ExamplesConfig, work: Workspace, splits: Path, world: Path | None = None) -> Metrics:
    """Splits -> instructions_*.jsonl, preferences_*.jsonl, questions_*.jsonl."""
    return make_examples(splits, world, work.output, config)
