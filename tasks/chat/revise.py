"""Revise: make preference pairs by principles: the current model's answers against what a critic makes of them."""

from __future__ import annotations

from pathlib import Path

from model.pairing.config import ConstitutionPairs
from tasks.forecast.hook import REVISING
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import made_pairs
from tasks.reporting.hook import ReportHook
from tasks.reporting.tuning.revisions import REVISIONS
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(made_pairs), ReportHook(REVISIONS), REVISING))
def revise(config: ConstitutionPairs, work: Workspace, model: Path, tokenizer: Path, examples: Path) -> Metrics:
    """A model and instructions_*.jsonl -> preference/ token shards, pairs_*.jsonl, set_aside.jsonl."""
    from model.pairing.constitution import revise_by_principles

    journal = work.resume / "replies.jsonl"
    return revise_by_principles(model, tokenizer, examples, work.output, config, threads=work.threads, journal=journal)
