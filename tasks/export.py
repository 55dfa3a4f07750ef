"""Export: a Hugging Face directory that opens in the tools people have, with the INT8 model and a model card."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, Field

from model.release.config import CardConfig, ExportConfig
from tasks.stage.stage import Metrics, Workspace, stage


class Exporting(BaseModel, frozen=True, extra="forbid"):
    """All that decides an export besides the model."""

    recipe: str = Field(description="name of the recipe, for the card")
    export: ExportConfig
    card: CardConfig


@stage(libraries=("torch", "tokenizers", "jinja2"), model=True)
def export(config: Exporting, work: Workspace, model: Path, int8: Path, tokenizer: Path, measured: Path, verdict: Path) -> Metrics:
    """An aligned model, its INT8 form, tokenizer, measurements and gate -> a release directory."""
    from model.release.card import ModelCard
    from model.release.export import export as export_model

    rows = json.loads(verdict.read_text())["rows"]
    card = ModelCard(
        **config.card.model_dump(),
        recipe=config.recipe,
        metrics=json.loads(measured.read_text()),
        gates=tuple((r["metric"], r["value"], r["bound"], r["margin"], r["verdict"]) for r in rows),
    )
    return export_model(model, tokenizer, work.output, config.export, card, quantized=int8)
