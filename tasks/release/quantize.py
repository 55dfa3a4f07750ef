"""Quantize: INT8 weights, one scale per output channel. Evaluation and the release gate measure what that costs in quality."""

from __future__ import annotations

from pathlib import Path

from model.quantization.config import QuantizeConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import derived_model
from tasks.reporting.hook import ReportHook
from tasks.reporting.sizes import SIZES
from tasks.stage.stage import Metrics, Workspace, stage


@stage(libraries=("torch",), model=True, hooks=(LineageHook(derived_model), ReportHook(SIZES)))
def quantize(config: QuantizeConfig, work: Workspace, model: Path) -> Metrics:
    """A model directory -> an INT8 model directory."""
    from model.quantization.quantize import quantize as quantize_model

    return quantize_model(model, work.output, config)
