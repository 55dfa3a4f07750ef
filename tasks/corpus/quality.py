"""Quality: a small classifier learned from texts that the recipe calls good and bad, refused if it can't tell them apart.

Identity includes the names and content of those texts.
"""

from __future__ import annotations

from data.filtering.listed import Listed
from data.filtering.quality.classifier import train
from data.filtering.quality.config import ClassifierConfig
from data.filtering.quality.examples import example_state
from tasks.lineage.hook import LineageHook
from tasks.lineage.rules import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(libraries=("scikit-learn", "numpy", "safetensors"), observes=example_state, hooks=(LineageHook(holds_nothing),))
def quality(config: ClassifierConfig, work: Workspace) -> Metrics:
    """Examples -> classifier.safetensors, classifier.json."""
    return train(config, Listed(work.root, work.observed), work.output)
