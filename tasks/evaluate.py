"""Evaluate: losses with intervals, the questions asked, verbatim copying, probabilities that the recipe wants to see."""

from __future__ import annotations

from pathlib import Path

from model.evaluation.config import EvaluateConfig
from tasks.stage.stage import Metrics, Workspace, stage


@stage(libraries=("torch", "tokenizers"))
def evaluate(config: EvaluateConfig, work: Workspace, model: Path, tokenizer: Path, packed: Path, examples: Path) -> Metrics:
    """A model directory, full precision or INT8 -> metrics.json, samples.jsonl, answers_*.jsonl."""
    from model.evaluation.evaluate import evaluate as measure

    return measure(model, tokenizer, packed, examples, work.output, config, threads=work.resources.cores)
