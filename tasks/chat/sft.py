"""SFT: learn the chat format, with the loss on the assistant's tokens alone, its stop token included."""

from __future__ import annotations

from pathlib import Path

from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import trained_model
from tasks.reporting.hook import ReportHook
from tasks.reporting.learning import LEARNING
from tasks.stage.stage import Metrics, Workspace, stage
from tasks.training.config import Tuning
from tasks.training.train import train


@stage(libraries=("torch", "deepspeed"), model=True, hooks=(LineageHook(trained_model), ReportHook(LEARNING, title="Instruction tuning")))
def sft(config: Tuning, work: Workspace, model: Path, shards: Path) -> Metrics:
    """A pretrained model and conversation shards -> a model directory."""
    return train(config, work, shards=shards, initial=model)
