"""Examples: instructions, preferences and questions, made from a universe's facts, from the books themselves, or from conversations."""

from __future__ import annotations

from pathlib import Path

from data.examples.config import ExamplesConfig
from data.provenance.lines import lines_naming
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.reporting.hook import ReportHook
from tasks.reporting.tuning.conversations import CONVERSATIONS
from tasks.stage.stage import Metrics, Workspace, stage


def _inspect(inspection: Inspection) -> Holding:
    """Examples of a universe are made from its facts alone, but for passages, which name their books, as others do in each line.

    Of those others a line without names may be of any book.
    """
    of_facts = inspection.artifact.config.get("kind") == "universe"
    if of_facts and not inspection.artifact.config.get("events"):
        return inspection.holding()
    parts, certain, count = set[str](), True, 0
    reached = any(splits.parts & {"", "train.parquet"} for splits in inspection.inputs_named("splits"))
    reached = reached or any(generated.parts for generated in inspection.inputs_named("generated"))
    for file in (known.path for known in inspection.artifact.files if known.path.endswith(".jsonl")):
        lines, complete = inspection.read(file, lines_naming)
        complete = complete or of_facts
        if lines or (not complete and reached):
            parts.add(file)
        certain, count = certain and (complete or not reached), count + len(lines)
    return inspection.holding(parts, certain=certain, detail=f"{count} lines" if count else "")


@stage(hooks=(LineageHook(_inspect), ReportHook(CONVERSATIONS)))
def examples(
    config: ExamplesConfig, work: Workspace, splits: list[Path], world: Path | None = None, generated: Path | None = None
) -> Metrics:
    """Splits of books, or of conversations and generated examples -> instructions_*.jsonl, preferences_*.jsonl, questions_*.jsonl."""
    from data.examples.make import make_examples

    return make_examples(splits, world, work.output, config, generated)
