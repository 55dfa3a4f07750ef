"""Adapt: train one adapter of the tuned model; `folio chat --adapter` chooses among them."""

from __future__ import annotations

from pathlib import Path

from tasks.forecast.hook import TRAINING
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import trained_model
from tasks.reporting.hook import ReportHook
from tasks.reporting.learning import LEARNING
from tasks.reporting.tuning.adapters import ADAPTERS
from tasks.stage.stage import Metrics, Workspace, stage
from tasks.training.config import Tuning, step_title
from tasks.training.train import train


@stage(model=True, hooks=(LineageHook(trained_model), ReportHook(LEARNING, ADAPTERS, title=step_title), TRAINING))
def adapt(
    config: Tuning,
    work: Workspace,
    model: Path,
    shards: Path | None = None,
    replayed: Path | None = None,
    questions: Path | None = None,
    tokenizer: Path | None = None,
) -> Metrics:
    """A model and what the step reads, as `tune` takes them -> a model directory, with the adapter in adapter/ unless it is full tuning."""
    return train(config, work, shards=shards, initial=model, replayed=replayed, questions=questions, tokenizer=tokenizer)
