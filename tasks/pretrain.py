"""Pretrain: next-token prediction over the packed corpus, from fresh weights."""

from __future__ import annotations

from pathlib import Path

from tasks.stage.stage import Metrics, Workspace, stage
from tasks.training import Pretraining, train


@stage(libraries=("torch", "deepspeed"), model=True)
def pretrain(config: Pretraining, work: Workspace, shards: Path) -> Metrics:
    """train/ and val/ shards -> a model directory."""
    return train(config, work, shards=shards)
