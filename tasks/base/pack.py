"""Pack: documents as rows of equal length, with some conversations of the training set among them."""

from __future__ import annotations

from pathlib import Path

from data.tokens.config import PackConfig
from data.tokens.pack import pack as pack_splits
from tasks.stage.stage import Metrics, Workspace, stage

SPLITS = ("train", "val", "test")


@stage(libraries=("tokenizers", "pyarrow", "numpy"))
def pack(config: PackConfig, work: Workspace, splits: Path, tokenizer: Path, conversations: Path) -> Metrics:
    """Splits -> train/ val/ test/ token shards, accounting/."""
    paths = {name: splits / f"{name}.parquet" for name in SPLITS}
    return pack_splits(paths, tokenizer, conversations, work.output, config, scratch=work.scratch)
