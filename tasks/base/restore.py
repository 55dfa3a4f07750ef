"""Restore: encode and decode a shard's training text, to count how the tokenizer encodes it and what it doesn't restore.

A changed text reruns its own shard, and all shards only if the tokenizer becomes another one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from data.tokens.config import SHOWN, RestoreConfig
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.stage.stage import Metrics, Workspace, stage


def _inspect(inspection: Inspection) -> Holding:
    """It has beginnings of documents, of which the tokenizer's report may quote some."""
    held = inspection.has(SHOWN) and inspection.read(SHOWN, _begins)
    return inspection.holding({SHOWN} if held else ())


def _begins(shown: IO[bytes], identity: str) -> bool:
    return any(beginning["id"] == identity for beginning in json.load(shown))


@stage(hooks=(LineageHook(_inspect),))
def restore(config: RestoreConfig, work: Workspace, train: Path, fitted: Path) -> Metrics:
    """train.parquet of a shard, tokenizer.json -> counts.json, uses.npy, shown.json."""
    from data.tokens.restoring.restore import restore as restore_shard

    return restore_shard(train, fitted.parent, work.output, config)
