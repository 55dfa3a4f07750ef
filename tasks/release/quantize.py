"""Quantize: one smaller form of the model, of the kind that the recipe names. Evaluation and the release gate measure its cost."""

from __future__ import annotations

from pathlib import Path

from model.quantization.config import VariantConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import derived_model
from tasks.reporting.hook import ReportHook
from tasks.reporting.sizes import SIZES
from tasks.stage.stage import Metrics, Workspace, stage


@stage(model=True, hooks=(LineageHook(derived_model), ReportHook(SIZES)))
def quantize(config: VariantConfig, work: Workspace, model: Path, rows: Path | None = None, tokenizer: Path | None = None) -> Metrics:
    """A model directory, with packed rows if the kind calibrates and a tokenizer if it needs one -> a smaller model directory."""
    from model.quantization.quantize import quantize as quantize_model

    return quantize_model(model, work.output, config, rows, tokenizer)
