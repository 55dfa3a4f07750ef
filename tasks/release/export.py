"""Export: write a Hugging Face model directory with its quantized variants and a model card."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, Field

from model.names import NOT_IDENTITY
from model.release.card import ModelCard, OriginFact, TrainingFact, corpus_facts, training_facts
from model.release.config import CardConfig, ExportConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import derived_model
from tasks.reporting.hook import ReportHook
from tasks.reporting.sizes import SIZES
from tasks.stage.stage import Metrics, Workspace, stage

ADAPTER = "adapter."  # before the names of inputs that are adapters of the model; a variant's name has no dot


class Exporting(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Everything that decides an export besides the model, and what its card says about training."""

    recipe: str = Field(description="name of the recipe")
    seed: int = Field(description="of initial weights and sample order")
    licences: dict[str, str] = Field(description="terms of use by source")
    export: ExportConfig
    card: CardConfig
    training: tuple[TrainingFact, ...] = Field(description="pretraining, if there was any, then each step of tuning")
    row_length: int = Field(0, json_schema_extra=NOT_IDENTITY, description="tokens of a training row; 0: the model's context")


@stage(model=True, hooks=(LineageHook(derived_model), ReportHook(SIZES)))
def export(
    config: Exporting,
    work: Workspace,
    model: Path,
    tokenizer: Path,
    measured: Path,
    measured_base: Path,
    baseline: Path,
    measured_rows: Path,
    baseline_rows: Path,
    verdict: Path,
    funnel: Path | None = None,
    conversations: Path | None = None,
    history: Path | None = None,
    origin: Path | None = None,
    **others: Path,
) -> Metrics:
    """A model, its variants and adapters, what was measured, tokenizer, step log, verdict, sources of its text -> a release directory."""
    from model.evaluation.fidelity_config import FIDELITY
    from model.evaluation.plain_words import Standing, passes_over
    from model.hardware.flops import training_flops
    from model.networks.directory import read_config
    from model.release.export import export as export_model
    from model.training.telemetry.step_log import validation_curve

    network, vocabulary = read_config(model)
    rows_of = config.row_length or network.context
    found = json.loads(origin.read_text(encoding="utf-8")) if origin else None
    base, tuned, compared = (json.loads(path.read_text()) for path in (measured_base, measured, baseline))
    curve, read = (validation_curve(history), config.training[0].length.sequences(rows_of)) if history else ((), 0)
    card = ModelCard(
        **(config.card.under(found["name"], found["licence"]) if found else config.card).model_dump(),
        recipe=config.recipe,
        corpus=corpus_facts(funnel, conversations, config.licences),
        **Standing(base, tuned, compared, curve, passes_over(read, compared), {}, (measured_rows, baseline_rows)).card_facts(),
        training=training_facts(config.training, rows_of, config.seed, training_flops(network, vocabulary), pretrained=bool(history)),
        origin=OriginFact(**{name: found[name] for name in OriginFact.model_fields}) if found else None,
        metrics=tuned,
        gates=tuple((r["metric"], r["value"], r["bound"], r["margin"], r["verdict"]) for r in json.loads(verdict.read_text())["rows"]),
        lineage={name: f"sha256 {digest}" for name, digest in work.digests.items()},
    )
    adapters, fidelity = (
        {name.removeprefix(kind): folder for name, folder in others.items() if name.startswith(kind)} for kind in (ADAPTER, FIDELITY)
    )
    variants = {name: folder for name, folder in others.items() if not name.startswith((ADAPTER, FIDELITY))}
    return export_model(model, tokenizer, work.output, config.export, card, variants=variants, fidelity=fidelity, adapters=adapters)
