"""Bad steps are handled as configured, and in the same way wherever the run was interrupted."""

from __future__ import annotations

import math

import pytest

from model.training.config import PretrainConfig
from model.training.guards.config import GuardsConfig
from model.training.guards.faults import Faults, TrainingError
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import JobMaker

from ..alone import train_here

BATCH = 8
BACK = {"on_nan": "rollback", "rollback_every_steps": 4}


def watching(**guards: object) -> Faults:
    return Faults(PretrainConfig(global_batch=BATCH, guards=GuardsConfig.model_validate(guards)))


def test_a_spike_is_a_loss_far_above_the_median_of_those_before_it() -> None:
    faults = watching(on_spike="rollback", spike_window=8, spike_deviations=5)
    losses = [3.0, 3.1, 2.9, 3.0, 3.2, 2.8, 3.0, 3.1]
    # By hand: median 3.0, distances 0 .1 .1 0 .2 .2 0 .1, their median 0.1: the limit is 3.0 + 5 * 1.4826 * 0.1 = 3.7413.
    for step, loss in enumerate(losses, 1):
        assert faults.check(step, {"loss": loss, "grad_norm": 1.0}) == ""
    assert "spike above 3.7413 (median 3.0000 of 8 steps)" in faults.check(9, {"loss": 3.742})
    assert faults.check(9, {"loss": 3.741}) == ""


def test_no_spike_is_looked_for_before_the_window_is_full_nor_when_the_policy_is_to_ignore_them() -> None:
    early, ignoring = watching(on_spike="stop", spike_window=8), watching()
    for step in range(1, 9):
        assert early.check(step, {"loss": 2.0 + (step == 8) * 100}) == ignoring.check(step, {"loss": 2.0 * step}) == ""


def test_a_rollback_goes_to_the_last_checkpoint_before_the_step_and_skips_its_data() -> None:
    faults = watching(on_nan="rollback", rollback_every_steps=10, skip_steps=2)
    assert faults.roll_back(15) == 10
    # Updates count from 0: steps 14 and 15 are updates 13 and 14.
    assert [faults.skipped_rows(update) for update in (12, 13, 14, 99)] == [0, 16, 16, 16]
    assert faults.roll_back(20) == 10 and faults.roll_back(21) == 20
    assert faults.metrics() == {"rollbacks": 3.0, "skipped_batches": 5.0}
    restored = watching(on_nan="rollback")
    restored.restore(faults.state())
    assert [restored.skipped_rows(update) for update in range(30)] == [faults.skipped_rows(update) for update in range(30)]


def test_a_loss_that_is_not_finite_stops_the_run_by_default() -> None:
    with pytest.raises(TrainingError, match=r"step 7: the gradient norm is inf; lower learning_rate=0.002"):
        watching().check(7, {"loss": 1.0, "grad_norm": math.inf})


@pytest.mark.parametrize("zero_stage", [0, 1, 3])
def test_a_poisoned_batch_is_skipped_and_the_run_ends_as_one_that_never_had_it(make_job: JobMaker, zero_stage: int) -> None:
    resources = {"zero_stage": zero_stage, "checkpoint_every_steps": 1000}
    job = make_job("poisoned", resources, steps=10, guards=GuardsConfig(**BACK))
    positions = train_here(job, poisoned=frozenset({6 * BATCH, 7 * BATCH}))
    # Twice bad at the seventh step, so back twice to step 4; that is found after the eighth was begun, which is dropped.
    assert [position // BATCH for position in positions] == [0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 7, 8, 4, 5, 8, 9, 10, 11]
    history = read_lines(job.output / "history.jsonl")
    assert [line["step"] for line in history] == list(range(1, 11))
    assert (history[-1]["rollbacks"], history[-1]["skipped_batches"]) == (2, 2)
    clean = make_job("clean", resources, steps=10, guards=GuardsConfig(**BACK))
    for name in ("rollbacks", "skipped_batches"):
        for line in history:
            line.pop(name)
    losses = without(clean, {6, 7})
    assert [line["loss"] for line in history] == losses


def without(job: object, batches: set[int]) -> list[float]:
    """The losses of a run whose order does not contain these batches."""
    from unittest.mock import patch

    def moved(self: Faults, update: int) -> int:
        kept = [batch for batch in range(100) if batch not in batches]
        return (kept[update] - update) * BATCH

    with patch.object(Faults, "skipped_rows", moved):
        train_here(job)  # type: ignore[arg-type]
    return [line["loss"] for line in read_lines(job.output / "history.jsonl")]  # type: ignore[attr-defined]


def test_stopping_and_resuming_around_a_rollback_changes_no_byte(make_job: JobMaker) -> None:
    guards, poisoned = GuardsConfig(**BACK), frozenset({6 * BATCH})
    whole, stopped = (make_job(name, {"checkpoint_every_steps": 3}, steps=10, guards=guards) for name in ("whole", "stopped"))
    train_here(whole, poisoned=poisoned)
    for _ in range(10):
        if (stopped.output / "history.jsonl").exists():
            break
        train_here(stopped, stop_after=3, poisoned=poisoned)
    for name in ("history.jsonl", "model.safetensors"):
        assert (whole.output / name).read_bytes() == (stopped.output / name).read_bytes(), name


def test_too_many_rollbacks_stop_the_run(make_job: JobMaker) -> None:
    job = make_job("hopeless", steps=10, guards=GuardsConfig(**BACK, most_rollbacks=2))
    with pytest.raises(TrainingError, match=r"step 6: the loss is nan, after most_rollbacks=2 rollbacks"):
        train_here(job, poisoned=frozenset(range(5 * BATCH, 99 * BATCH)))
