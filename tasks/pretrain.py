"""Pretrain: next-token prediction over the packed corpus, from fresh weights or from the folder that the recipe names.

Identity includes the names and content of that folder's files.
"""

from __future__ import annotations

from pathlib import Path

from tasks.stage.stage import Metrics, Workspace, stage
from tasks.training import Pretraining, initial_state, train


@stage(libraries=("torch", "deepspeed"), model=True, observes=initial_state)
def pretrain(config: Pretraining, work: Workspace, shards: Path) -> Metrics:
    """train/ and val/ shards -> a model directory."""
    initial = config.train.initial
    return train(config, work, shards=shards, initial=work.root / initial if initial else None)
