"""Tune: one step of tuning, of the kind that the recipe names, such as supervised fine-tuning or preference optimization."""

from __future__ import annotations

from pathlib import Path

from tasks.forecast.hook import TRAINING
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import trained_model
from tasks.reporting.hook import ReportHook
from tasks.reporting.learning import LEARNING
from tasks.reporting.tuning.rewards import REWARDS
from tasks.stage.stage import Metrics, Workspace, stage
from tasks.training.config import Tuning, step_title
from tasks.training.train import train


@stage(
    model=True,
    hooks=(LineageHook(trained_model), ReportHook(LEARNING, REWARDS, title=step_title), TRAINING),
)
def tune(
    config: Tuning,
    work: Workspace,
    model: Path,
    shards: Path | None = None,
    replayed: Path | None = None,
    questions: Path | None = None,
    tokenizer: Path | None = None,
    judge: Path | None = None,
) -> Metrics:
    """A model and what the step reads, shards, with packed rows to replay, or else questions with the tokenizer -> a model directory.

    `judge`: the reward model that scores replies, if the step names one.
    """
    return train(config, work, shards=shards, initial=model, replayed=replayed, questions=questions, tokenizer=tokenizer, judge=judge)
