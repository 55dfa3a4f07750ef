"""Fit: learn a vocabulary from a sample of the training split, with the chat format's special tokens."""

from __future__ import annotations

from pathlib import Path

from data.tokens.config import TokenizerConfig
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.stage.stage import Metrics, Workspace, stage


def _inspect(inspection: Inspection) -> Holding:
    """Its vocabulary was counted on the training split; its record has ids alone."""
    counted = [train for train in inspection.inputs_named("train") if train.parts]
    if not counted:
        return inspection.holding()
    certain = all(train.certain for train in counted)
    return inspection.holding(learned=True, certain=certain, detail="its vocabulary was counted on it")


@stage(hooks=(LineageHook(_inspect),))
def fit(config: TokenizerConfig, work: Workspace, train: list[Path], sizes: list[Path], drawn: list[Path]) -> Metrics:
    """train.parquet, train_size.json and chunks.parquet of each shard -> tokenizer.json, sample.parquet, fitted.json."""
    from data.tokens.fit import fit as fit_sample

    return fit_sample(train, work.output, config, sizes, drawn)
