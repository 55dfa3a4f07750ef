"""Tokenizer: the fitted tokenizer with the counts of all shards, if it restores every text of the training split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from data.tokens.config import DescribeConfig
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.reporting.hook import ReportHook
from tasks.reporting.tokens import TOKENIZER
from tasks.stage.stage import Metrics, Workspace, stage

REPORT = "report.json"


def _inspect(inspection: Inspection) -> Holding:
    """Its vocabulary was counted on the training split, here or before; its report may quote the beginning of a document."""
    counted = [train for train in inspection.inputs_named("train") if train.parts]
    counted += [fitted for fitted in inspection.inputs_named("fitted") if fitted.learned]
    if not counted:
        return inspection.holding()
    quoted = {REPORT} if inspection.has(REPORT) and inspection.read(REPORT, _quotes) else set[str]()
    certain = all(source.certain for source in counted)
    return inspection.holding(quoted, learned=True, certain=certain, detail="its vocabulary was counted on it")


def _quotes(report: IO[bytes], identity: str) -> bool:
    return any(sample["id"] == identity for sample in json.load(report)["samples"])


@stage(hooks=(LineageHook(_inspect), ReportHook(TOKENIZER)))
def tokenizer(config: DescribeConfig, work: Workspace, fitted: Path, counted: list[Path]) -> Metrics:
    """What was fitted, and the counts of each shard -> a Hugging Face tokenizer directory."""
    from data.tokens.tokenizer import join

    return join(fitted, counted, work.output, config)
