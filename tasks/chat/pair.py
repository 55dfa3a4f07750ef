"""Pair: make preference pairs with the current model: the right answer against the wrong one that it finds likeliest."""

from __future__ import annotations

from pathlib import Path

from model.pairing.config import OwnPairs
from tasks.forecast.hook import PAIRING
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import made_pairs
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(made_pairs), PAIRING))
def pair(config: OwnPairs, work: Workspace, model: Path, tokenizer: Path, examples: Path) -> Metrics:
    """A model and preferences_*.jsonl -> preference/ token shards, pairs_*.jsonl."""
    from model.pairing.pairs import make_pairs

    return make_pairs(model, tokenizer, examples, work.output, config, threads=work.threads)
