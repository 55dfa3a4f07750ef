"""The validation loss decides when a run stops early and which weights become the model, and shows overfitting."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from model.training.config import PretrainConfig
from model.training.guards.config import GuardsConfig
from model.training.guards.validation import Validation
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import JobMaker

from ..alone import train_here


def test_a_measurement_reports_the_best_the_gap_and_the_measurements_since_the_best() -> None:
    validation = Validation(GuardsConfig())
    reported = []
    for step, (losses, measured) in enumerate([((4.0, 2.0), 3.5), ((2.0,), 3.25), ((1.0,), 3.75)], 1):
        for loss in losses:
            validation.trained(loss)
        reported.append(tuple(validation.measured(step, measured).values()))
    assert reported == [(0.5, 3.5, 1.0, 0.0), (1.25, 3.25, 2.0, 0.0), (2.75, 3.25, 2.0, 1.0)]


def test_too_many_measurements_without_a_new_best_stop_the_run_and_leave_its_schedule(make_job: JobMaker) -> None:
    train = {"steps": 12, "eval_every": 2}
    whole, ended = make_job("whole", **train), make_job("ended", **train, guards=GuardsConfig(patience=2, min_delta=5.0))
    train_here(whole)
    train_here(ended)
    full, short = read_lines(whole.output / "history.jsonl"), read_lines(ended.output / "history.jsonl")
    assert [line["step"] for line in short] == [1, 2, 3, 4, 5, 6]
    assert short[-1]["stopped_early"] == 1 and short[-1]["best_step"] == 2 and short[-1]["evaluations_since_best"] == 2
    assert [line["learning_rate"] for line in short] == [line["learning_rate"] for line in full[:6]]


def test_the_best_weights_become_the_model_even_after_a_resume(make_job: JobMaker, tmp_path_factory: pytest.TempPathFactory) -> None:
    kept = tmp_path_factory.mktemp("kept")
    # None is 5 nats better than the first measurement, so that is the best.
    train = {"steps": 8, "eval_every": 2, "select": "best", "guards": GuardsConfig(patience=9, min_delta=5.0)}
    keeping = {"keep_every_steps": 2, "keep_best": True, "keep_in": "kept"}
    job, stopped = make_job("whole", keeping, **train).model_copy(update={"retained": kept}), make_job("stopped", **train)
    train_here(job)
    for _ in range(3):
        train_here(stopped, stop_after=3)
    best = int(read_lines(job.output / "history.jsonl")[-1]["best_step"])
    assert best == 2
    (folder,) = kept.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["best", *(f"step-{step:09d}" for step in (2, 4, 6, 8))]
    for path in (folder / f"step-{best:09d}", folder / "best", stopped.output):
        for name, tensor in load_file(path / "model.safetensors").items():
            assert torch.equal(load_file(job.output / "model.safetensors")[name], tensor), (path, name)


def test_patience_without_measurements_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"guards\.patience=3 does nothing while eval_every=0"):
        PretrainConfig(eval_every=0, guards=GuardsConfig(patience=3))
    with pytest.raises(ValidationError, match=r"guards\.patience=3 does nothing while eval_rows=0"):
        PretrainConfig(eval_rows=0, guards=GuardsConfig(patience=3))
    with pytest.raises(ValidationError, match=r'select="best" does nothing while eval_rows=0'):
        PretrainConfig(eval_rows=0, select="best")


def test_by_default_a_curve_is_drawn_that_costs_a_few_percent_of_the_run() -> None:
    for tokens, context, rows in ((2_000_000, 128, 256), (50_000_000, 256, 64), (300_000, 64, 128)):
        train = PretrainConfig(tokens=tokens, eval_rows=rows)
        every, steps = train.measure_every(context), train.total_steps(context)
        assert 2 < steps / every <= 10
        assert steps // every * rows / 3 <= 0.035 * train.sequences_before(steps)


def test_a_run_too_short_for_a_curve_is_measured_at_its_end_unless_the_best_weights_are_wanted() -> None:
    assert PretrainConfig(tokens=0, steps=20, eval_rows=256).measure_every(128) == 0
    assert PretrainConfig(tokens=0, steps=20, eval_rows=256, select="best").measure_every(128) == 2
    assert PretrainConfig(tokens=0, steps=20, eval_rows=256, eval_every=7).measure_every(128) == 7
    assert PretrainConfig(tokens=0, steps=20, eval_rows=0).measure_every(128) == 0
