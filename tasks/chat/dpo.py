"""DPO: learn to prefer the chosen answer to the rejected one, relative to the tuned model as reference."""

from __future__ import annotations

from pathlib import Path

from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import trained_model
from tasks.reporting.hook import ReportHook
from tasks.reporting.learning import LEARNING
from tasks.stage.stage import Metrics, Workspace, stage
from tasks.training.config import Tuning
from tasks.training.train import train


@stage(libraries=("torch", "deepspeed"), model=True, hooks=(LineageHook(trained_model), ReportHook(LEARNING, title="Preference tuning")))
def dpo(config: Tuning, work: Workspace, model: Path, shards: Path) -> Metrics:
    """A tuned model and preference shards -> a model directory."""
    return train(config, work, shards=shards, initial=model)
