"""Measure: how near a quantized form is to the model, in the tool that users run it in, and whether it may be released."""

from __future__ import annotations

from pathlib import Path

from model.evaluation.fidelity_config import FidelityConfig
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.reporting.compared.variants import VARIANTS
from tasks.reporting.hook import ReportHook
from tasks.stage.stage import Metrics, Workspace, stage


def _inspect(inspection: Inspection) -> Holding:
    """It keeps no words: only what rows cost, each by its number."""
    packed = inspection.inputs_named("packed")
    measured = any(holding.parts for holding in packed)
    return inspection.holding(measured=measured, certain=all(holding.certain for holding in packed))


@stage(judges=True, hooks=(LineageHook(_inspect), ReportHook(VARIANTS)))
def measure(config: FidelityConfig, work: Workspace, model: Path, variant: Path, packed: Path) -> Metrics:
    """A model, a quantized form of it, and rows of one split -> metrics.json, units.npz, verdict.json."""
    from model.evaluation.fidelity import measure_fidelity

    return measure_fidelity(model, variant, packed, work.output, config, threads=work.threads)
