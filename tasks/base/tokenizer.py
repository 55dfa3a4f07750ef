"""Tokenizer: fit on the training split alone, with the chat format's special tokens, and check that it round-trips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from data.tokens.config import TokenizerConfig
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.reporting.hook import ReportHook
from tasks.reporting.tokens import TOKENIZER
from tasks.stage.stage import Metrics, Workspace, stage

REPORT = "report.json"


def _inspect(inspection: Inspection) -> Holding:
    """Its vocabulary was counted on the training split; its report may quote the beginning of a document."""
    counted = [train for train in inspection.inputs_named("train") if train.parts]
    if not counted:
        return inspection.holding()
    quoted = {REPORT} if inspection.has(REPORT) and inspection.read(REPORT, _quotes) else set[str]()
    certain = all(train.certain for train in counted)
    return inspection.holding(quoted, learned=True, certain=certain, detail="its vocabulary was counted on it")


def _quotes(report: IO[bytes], identity: str) -> bool:
    return any(sample["id"] == identity for sample in json.load(report)["samples"])


@stage(hooks=(LineageHook(_inspect), ReportHook(TOKENIZER)))
def tokenizer(config: TokenizerConfig, work: Workspace, train: list[Path], sizes: list[Path], drawn: list[Path]) -> Metrics:
    """train.parquet, train_size.json and chunks.parquet of each shard -> a Hugging Face tokenizer directory."""
    from data.tokens.tokenizer import fit_tokenizer

    return fit_tokenizer(train, work.output, config, sizes, drawn)
