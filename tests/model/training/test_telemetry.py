"""What a run reports of each step (time, speed, MFU, memory, data wait) and samples from the model; none of it changes training."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from model.hardware.flops import training_flops
from model.training.config import DpoConfig, TrainResources
from model.training.launch.launch import launch
from model.training.telemetry.progress import ProgressReader
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import CONTEXT, VOCABULARY, JobMaker, follow_up
from tests.model.training.alone import train_here


def test_every_step_reports_speed_mfu_memory_and_wait_and_samples_change_nothing(make_job: JobMaker) -> None:
    plain = make_job("plain", {"mfu_peak": "h100-sxm"})
    train_here(plain)
    heard = ProgressReader(plain.run_directory() / "progress.jsonl").new()
    steps = [line for progress in heard for line in progress.metrics]
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6]
    for line in steps:
        assert line["tokens_per_second"] == pytest.approx(8 * CONTEXT / line["seconds"], rel=0.02)
        assert 0 <= line["data_seconds"] < line["seconds"]
        assert 100e6 < line["memory_bytes"] < 8e9
        assert line["mfu"] == pytest.approx(line["tokens_per_second"] * training_flops(plain.network, VOCABULARY) / 67e12, abs=1e-5)
    assert "h100-sxm fp32" in heard[0].note
    assert [line["step"] for line in read_lines(plain.output / "logs" / "timing.jsonl")] == [1, 2, 3, 4, 5, 6]
    assert not (plain.output / "logs" / "samples.jsonl").exists()

    sampled = make_job("sampled", {"sample_every": 4})
    train_here(sampled)
    for name in ("history.jsonl", "model.safetensors"):
        assert (sampled.output / name).read_bytes() == (plain.output / name).read_bytes()
    samples = read_lines(sampled.output / "logs" / "samples.jsonl")
    assert [sample["step"] for sample in samples] == [4, 6]
    for sample in samples:
        assert [len(prompt) for prompt in sample["prompts"]] == [8, 8, 8]
        assert [len(words) for words in sample["continuations"]] == [8, 8, 8]  # no further than the context


def test_preferences_are_learned_without_samples_where_the_recipe_asks_for_some(make_job: JobMaker, shards: Path) -> None:
    base = make_job("base", {"sample_every": 1}, steps=1)
    train_here(base)
    aligned = follow_up(base, shards, DpoConfig(steps=1, global_batch=4, eval_rows=4), "dpo")
    train_here(aligned)
    assert (aligned.output / "model.safetensors").exists() and not (aligned.output / "logs" / "samples.jsonl").exists()


@pytest.mark.slow
def test_samples_are_the_same_in_every_zero_stage(make_job: JobMaker) -> None:
    alone, spread = make_job("alone", {"sample_every": 4}), make_job("spread", {"sample_every": 4, "zero_stage": 3, "workers": 2})
    for job in (alone, spread):
        launch(job)
    assert read_lines(alone.output / "logs" / "samples.jsonl") == read_lines(spread.output / "logs" / "samples.jsonl")


def test_a_peak_of_an_unknown_device_and_samples_of_a_pipeline_are_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"device 'h1000' is not known: did you mean h100\?"):
        TrainResources(mfu_peak="h1000")
    with pytest.raises(ValidationError, match=r"sample_every=5 with parallel.pipeline=2: no worker has a whole model"):
        TrainResources.model_validate({"sample_every": 5, "parallel": {"workers": 2, "pipeline": 2}})
