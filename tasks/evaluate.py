"""Evaluate: losses with confidence intervals, answers to questions, verbatim copying, and the recipe's probes."""

from __future__ import annotations

from pathlib import Path

from data.provenance.tables import lines_naming, lines_quoting
from data.shards.names import SPLITS
from model.evaluation.config import ArenaEvaluation, EvaluateConfig
from tasks.forecast.hook import EVALUATING
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.reporting.abilities import SKILLS
from tasks.reporting.arena import ARENA
from tasks.reporting.evaluation import MEASUREMENTS, SAMPLES
from tasks.reporting.hook import ReportHook
from tasks.reporting.tuning import EFFECTS, FACTS
from tasks.stage.stage import Metrics, Workspace, stage


def _inspect(inspection: Inspection) -> Holding:
    """A model is measured on the splits that the config names. Samples may quote training rows, answers name their documents."""
    packed = inspection.inputs_named("packed")
    inside = {part.split("/")[0] for holding in packed for part in holding.parts}
    measured = [split for split in inspection.artifact.config.get("splits", SPLITS) if inside & {"", split}]
    quotes: dict[str, int] = {}
    if inside & {"", "train"} and inspection.has("samples.jsonl"):
        quotes["samples.jsonl"] = len(inspection.read("samples.jsonl", lambda stream, _: lines_quoting(stream, inspection.text())))
    if inside & {"", "train"} and inspection.has("attempts.jsonl"):
        quotes["attempts.jsonl"] = len(inspection.read("attempts.jsonl", lambda stream, _: lines_quoting(stream, inspection.text())))
    named = (f"answers_{name}.jsonl" for name in ("seen", "heldout", "passages", "events"))
    for file in filter(inspection.has, named):
        quotes[file] = len(inspection.read(file, lines_naming)[0])
    quotes = {file: count for file, count in quotes.items() if count}
    detail = [f"measured on {', '.join(measured)}"] if measured else []
    detail += [f"{file} quotes it, lines: {count}" for file, count in quotes.items()]
    certain = all(holding.certain for holding in packed)
    return inspection.holding(set(quotes), measured=bool(measured), certain=certain, detail="; ".join(detail))


@stage(
    body="model.evaluation.evaluate:evaluate",
    hooks=(LineageHook(_inspect, quoted_in_report=True), ReportHook(SAMPLES, MEASUREMENTS, SKILLS, EFFECTS, FACTS), EVALUATING),
)
def evaluate(config: EvaluateConfig, model: Path, tokenizer: Path, packed: Path, examples: Path, judge: Path | None = None) -> Metrics:
    """A model directory, full precision or quantized -> metrics.json, samples.jsonl, answers_*.jsonl, attempts.jsonl, thoughts.jsonl.

    `judge`: the reward model that takes the best of several attempts, if the config names one.
    """


@stage(hooks=(LineageHook(_inspect), ReportHook(ARENA), EVALUATING))
def appraise(config: ArenaEvaluation, work: Workspace, model: Path, tokenizer: Path, packed: Path, examples: Path) -> Metrics:
    """A model of the arena -> what `evaluate` writes; parameters, memory and speed of writing are metrics of the record alone."""
    from model.evaluation.evaluate import evaluate as measure
    from model.evaluation.pace import measure_pace

    found = measure(model, tokenizer, packed, examples, work.output, config, threads=work.threads)
    return found | measure_pace(model, config)
