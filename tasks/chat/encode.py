"""Encode: conversations and preference pairs as masked token rows for tuning."""

from __future__ import annotations

from pathlib import Path

from data.tokens.config import EncodeConfig
from data.tokens.encode import encode as encode_conversations
from tasks.stage.stage import Metrics, Workspace, stage


@stage(libraries=("tokenizers", "pyarrow", "numpy"))
def encode(config: EncodeConfig, work: Workspace, conversations: Path, tokenizer: Path) -> Metrics:
    """instructions and preferences -> sft/ and preference/ token shards."""
    return encode_conversations(conversations, tokenizer, work.output, config)
