"""Baseline: score n-grams, compressors and guessing on the model's splits and questions, for comparison."""

from __future__ import annotations

import json
from pathlib import Path

from data.baselines.config import BaselineConfig
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.reporting.compared.baselines import BASELINES
from tasks.reporting.hook import ReportHook
from tasks.stage.stage import Metrics, Workspace, stage


def _inspect(inspection: Inspection) -> Holding:
    """It keeps no words: only what rows and questions cost, each by its number."""
    packed = inspection.inputs_named("packed")
    inside = {part.split("/")[0] for holding in packed for part in holding.parts}
    measured = [split for split in inspection.artifact.config.get("splits", ()) if inside & {"", split}]
    counted = bool(inside & {"", "train"})
    detail = [*(["its n-grams were counted on it, and are not kept"] if counted else []), *(f"measured on {split}" for split in measured)]
    certain = all(holding.certain for holding in packed)
    return inspection.holding(measured=counted or bool(measured), certain=certain, detail="; ".join(detail))


@stage(hooks=(LineageHook(_inspect), ReportHook(BASELINES)))
def baseline(config: BaselineConfig, work: Workspace, packed: Path, splits: list[Path], examples: Path) -> Metrics:
    """Packed rows, the texts of each shard's splits and questions -> metrics.json, units.npz."""
    import numpy as np

    from data.baselines.measure import measure_baselines
    from model.evaluation.units import Units, bits_per_byte_units, write_units

    found = measure_baselines(packed, splits, examples, config)
    units = {
        f"{name}.bits_per_byte": bits_per_byte_units(np.arange(len(scores.nats)), scores.nats, scores.targets, scores.split)
        for name, scores in found.rows.items()
        if scores.split.bytes
    }
    units |= {f"chance.questions.{name}": Units(np.arange(len(even)), even, np.ones(len(even))) for name, even in found.chances.items()}
    write_units(work.output, units)
    (work.output / "metrics.json").write_text(json.dumps(found.metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return found.metrics
