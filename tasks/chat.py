"""The stages of the chat chapter: rows of conversations, preference pairs, each step of tuning, and what it was for."""

from __future__ import annotations

from pathlib import Path

from data.tokens.config import EncodeConfig
from model.aims.config import ExamineConfig
from model.aims.protocol import SPLIT
from model.pairing.config import ConstitutionPairs, OwnPairs
from tasks.forecast.hook import PAIRING, REVISING, TRAINING
from tasks.lineage.hook import Holding, Inspection, LineageHook, made_pairs, trained_model
from tasks.reporting.hook import ReportHook
from tasks.reporting.learning import LEARNING
from tasks.reporting.rewards import REVISIONS, REWARDS
from tasks.reporting.tuning import ADAPTERS, AIMS
from tasks.stage.stage import Metrics, Workspace, stage
from tasks.training.config import Tuning, step_title
from tasks.training.train import train

# The files of conversations, and the folders of rows that each goes into.
MADE = (("instructions", "sft"), ("preferences", "preference"), ("preferences", "labels"), ("labels", "labels"))


def _inspect_encoded(inspection: Inspection) -> Holding:
    """Its rows are made from the lines that hold the document."""
    conversations = inspection.inputs_named("conversations")
    files = {part for holding in conversations for part in holding.parts}
    parts = {f"{folder}/{split}" for stem, folder in MADE for split in ("train", "val") if files & {"", f"{stem}_{split}.jsonl"}}
    return inspection.holding(parts, certain=all(holding.certain for holding in conversations))


@stage(body="data.tokens.encode:encode", hooks=(LineageHook(_inspect_encoded),))
def encode(config: EncodeConfig, conversations: Path, tokenizer: Path) -> Metrics:
    """Instructions, preferences and labels -> sft/, preference/ and labels/ token shards."""


@stage(body="model.pairing.pairs:make_pairs", hooks=(LineageHook(made_pairs), PAIRING))
def pair(config: OwnPairs, model: Path, tokenizer: Path, examples: Path) -> Metrics:
    """A model and preferences_*.jsonl -> preference/ token shards, pairs_*.jsonl."""


@stage(hooks=(LineageHook(made_pairs), ReportHook(REVISIONS), REVISING))
def revise(config: ConstitutionPairs, work: Workspace, model: Path, tokenizer: Path, examples: Path) -> Metrics:
    """A model and instructions_*.jsonl -> preference/ token shards, pairs_*.jsonl, set_aside.jsonl."""
    from model.pairing.constitution import revise_by_principles

    journal = work.resume / "replies.jsonl"
    return revise_by_principles(model, tokenizer, examples, work.output, config, threads=work.threads, journal=journal)


@stage(
    model=True,
    hooks=(LineageHook(trained_model), ReportHook(LEARNING, REWARDS, title=step_title), TRAINING),
)
def tune(
    config: Tuning,
    work: Workspace,
    model: Path,
    shards: Path | None = None,
    replayed: Path | None = None,
    questions: Path | None = None,
    tokenizer: Path | None = None,
    judge: Path | None = None,
) -> Metrics:
    """A model and what the step reads, shards, with packed rows to replay, or else questions with the tokenizer -> a model directory.

    `judge`: the reward model that scores replies, if the step names one.
    """
    return train(config, work, shards=shards, initial=model, replayed=replayed, questions=questions, tokenizer=tokenizer, judge=judge)


@stage(model=True, hooks=(LineageHook(trained_model), ReportHook(LEARNING, ADAPTERS, title=step_title), TRAINING))
def adapt(
    config: Tuning,
    work: Workspace,
    model: Path,
    shards: Path | None = None,
    replayed: Path | None = None,
    questions: Path | None = None,
    tokenizer: Path | None = None,
) -> Metrics:
    """A model and what the step reads, as `tune` takes them -> a model directory, with the adapter in adapter/ unless it is full tuning."""
    return train(config, work, shards=shards, initial=model, replayed=replayed, questions=questions, tokenizer=tokenizer)


def _inspect_examined(inspection: Inspection) -> Holding:
    """It keeps no words: only what rows and questions cost and earn, each by its number."""
    rows, text = inspection.inputs_named("shards"), inspection.inputs_named("packed")
    measured = [holding for holding in rows if any(part == "" or part.split("/")[0] == SPLIT for part in holding.parts)]
    measured += [holding for holding in text if holding.parts]
    certain = all(holding.certain for holding in (*rows, *text))
    return inspection.holding(measured=bool(measured), certain=certain, detail="measured on it" if measured else "")


@stage(hooks=(LineageHook(_inspect_examined), ReportHook(AIMS, headline=("before", "after", "gain"))))
def examine(
    config: ExamineConfig,
    work: Workspace,
    before: Path,
    after: Path,
    tokenizer: Path,
    examples: Path,
    packed: Path | None = None,
    shards: Path | None = None,
    judge: Path | None = None,
) -> Metrics:
    """The models before and after a step, held-out rows and questions -> before/ and after/ (metrics, units), rows.jsonl, summary.json."""
    from model.aims.examine import examine as measure

    rows = shards and shards / SPLIT
    return measure(before, after, tokenizer, examples, work.output, config, text=packed, rows=rows, judge=judge, threads=work.threads)
