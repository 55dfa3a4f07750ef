"""Quality: train a small classifier on the recipe's good and bad examples; refuse it if it cannot tell them apart.

The key includes the names and content of the examples.
"""

from __future__ import annotations

from data.filtering.quality.config import ClassifierConfig
from data.filtering.quality.examples import example_digests
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(observes=example_digests, hooks=(LineageHook(holds_nothing),))
def quality(config: ClassifierConfig, work: Workspace) -> Metrics:
    """Good and bad texts -> classifier.safetensors, classifier.json."""
    from data.filtering.observed_files import ObservedFiles
    from data.filtering.quality.classifier import train

    return train(config, ObservedFiles(work.root, work.observed), work.output)
