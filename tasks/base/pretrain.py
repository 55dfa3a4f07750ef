"""Pretrain: predict the next token over the packed corpus, starting from random weights, from an open model, or from a directory.

The key includes the names and content of that directory's files.
"""

from __future__ import annotations

from pathlib import Path

from model.networks.directory import model_files
from tasks.forecast.hook import TRAINING
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import trained_model
from tasks.reporting.hook import ReportHook
from tasks.reporting.learning import LEARNING
from tasks.stage.stage import DigestOf, Metrics, ShardIndex, Workspace, stage
from tasks.training.config import Pretraining
from tasks.training.train import train


def initial_state(config: Pretraining, root: Path, shard: ShardIndex | None, digest_of: DigestOf) -> dict[str, str]:
    """Return {initial/file: digest} of the model that pretraining starts from; nothing for random weights."""
    if not config.train.initial:
        return {}
    files = model_files(root / config.train.initial)
    digests = digest_of(files)
    return {f"initial/{path.name}": digests[path] for path in files}


@stage(
    model=True,
    observes=initial_state,
    hooks=(LineageHook(trained_model), ReportHook(LEARNING, title="Pretraining"), TRAINING),
)
def pretrain(config: Pretraining, work: Workspace, shards: Path, initial: Path | None = None) -> Metrics:
    """train/ and val/ shards, and an open model to start from -> a model directory."""
    named = config.train.initial
    return train(config, work, shards=shards, initial=work.root / named if named else initial)
