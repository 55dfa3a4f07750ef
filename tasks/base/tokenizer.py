"""Tokenizer: fitted on the training split alone, with the chat's special tokens, and proven to round-trip."""

from __future__ import annotations

from pathlib import Path

from data.tokens.config import TokenizerConfig
from data.tokens.tokenizer import fit_tokenizer
from tasks.stage.stage import Metrics, Workspace, stage


@stage(libraries=("tokenizers",))
def tokenizer(config: TokenizerConfig, work: Workspace, train: Path) -> Metrics:
    """train.parquet -> a Hugging Face tokenizer directory."""
    return fit_tokenizer(train, work.output, config)
