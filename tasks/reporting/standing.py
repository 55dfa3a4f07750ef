"""Judge how good a run's model is, for the page and the terminal; the words for it are in `model.evaluation.plain_words`.

Apart from the summary, which the sections of every stage import: code that a stage imports counts for it, and this reads how models train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from model.evaluation.plain_words import Metrics, Standing, passes_over
from model.evaluation.relations import UNITS
from model.networks.config import KINDS
from model.training.kinds.preferences import RewardModelConfig
from model.training.length import TrainingLength
from model.training.telemetry.step_log import validation_curve
from tasks.reporting.summary import TUNED
from tasks.stage.store.artifact import Artifact

JUDGE = RewardModelConfig.model_fields["kind"].default  # a step that leaves the model as it was


def standing_of(artifacts: Mapping[str, Artifact], folder: Callable[[Artifact], Path], previous: Metrics) -> Standing:
    """Return what the artifacts of a run, by position, say of its model; `previous`: of the one before."""

    def metrics(position: str) -> Metrics:
        return artifacts[position].metrics if position in artifacts else {}

    def rows(position: str) -> Path:
        return folder(artifacts[position]) / UNITS

    tunes = {position: made.config["train"]["kind"] for position, made in artifacts.items() if made.stage == "tune"}
    names = [position.partition(".")[2] for position, kind in tunes.items() if kind != JUDGE]
    steps = [(name, metrics(TUNED if name == names[-1] else f"evaluate.{name}")) for name in names]
    pretrained, baseline = artifacts.get("pretrain"), metrics("baseline")
    counted = pretrained is not None and _is_counted(pretrained)
    return Standing(
        base=metrics("evaluate.base"),
        tuned=metrics(TUNED),
        steps=[(name, found) for name, found in steps if found] if len(steps) > 1 else [],
        baseline=baseline,
        curve=validation_curve(folder(pretrained) / "history.jsonl") if pretrained else [],
        passes=passes_over(_sequences(pretrained), baseline) if pretrained and not counted else 0.0,
        previous=previous,
        rows=(rows(TUNED), rows("baseline")) if artifacts.keys() >= {TUNED, "baseline"} else None,
        counted=counted,
    )


def _is_counted(pretrained: Artifact) -> bool:
    """Return whether a model is one of counted n-grams, by its config."""
    model = pretrained.config.get("model")
    kind = KINDS.get(str(model.get("kind"))) if isinstance(model, Mapping) else None
    return kind is not None and "gradients" not in kind.SUPPORTS


def _sequences(pretrained: Artifact) -> int:
    """Return how many rows a model was trained on, by its config; 0 if that does not say."""
    train, model = pretrained.config.get("train"), pretrained.config.get("model")
    if not isinstance(train, Mapping) or not isinstance(model, Mapping) or "context" not in model:
        return 0
    length = TrainingLength.model_validate({name: train[name] for name in TrainingLength.model_fields if name in train})
    return length.sequences(int(model["context"]))
