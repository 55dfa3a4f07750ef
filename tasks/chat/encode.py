"""Encode: turn conversations, preference pairs and labelled answers into token rows with a loss mask."""

from __future__ import annotations

from pathlib import Path

from data.tokens.config import EncodeConfig
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.stage.stage import Metrics, Workspace, stage

# The files of conversations, and the folders of rows that each goes into.
MADE = (("instructions", "sft"), ("preferences", "preference"), ("preferences", "labels"), ("labels", "labels"))


def _inspect(inspection: Inspection) -> Holding:
    """Its rows are made from the lines that hold the document."""
    conversations = inspection.inputs_named("conversations")
    files = {part for holding in conversations for part in holding.parts}
    parts = {f"{folder}/{split}" for stem, folder in MADE for split in ("train", "val") if files & {"", f"{stem}_{split}.jsonl"}}
    return inspection.holding(parts, certain=all(holding.certain for holding in conversations))


@stage(hooks=(LineageHook(_inspect),))
def encode(config: EncodeConfig, work: Workspace, conversations: Path, tokenizer: Path) -> Metrics:
    """Instructions, preferences and labels -> sft/, preference/ and labels/ token shards."""
    from data.tokens.encode import encode as encode_conversations

    return encode_conversations(conversations, tokenizer, work.output, config)
