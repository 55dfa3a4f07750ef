"""Training on rows with a column of vectors: the same loss however it is divided, the same bytes after kill -9, and no rows without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from data.shards.schema import ShardError
from model.inputs.config import TokensConfig, VectorsConfig
from model.networks.directory import load_model
from model.training.config import SftConfig
from model.training.initial import initial_network
from model.training.job import Job
from model.training.launch.launch import LaunchError, launch
from model.training.telemetry.step_log import read_lines
from tests.model.inputs.rows import SIZE, TABLE, WITH_VECTORS, write_vector_rows
from tests.model.jobs import JobMaker, follow_up, packed_rows
from tests.model.training.test_killed import killed_after_a_checkpoint
from tests.model.training.test_parallel import curve


@pytest.fixture
def make_vector_job(make_job: JobMaker, tmp_path: Path) -> JobMaker:
    """A job that reads the column `spelling` beside the tokens."""
    train = write_vector_rows(tmp_path / "vectors" / "train", packed_rows(50, seed=1))
    val = write_vector_rows(tmp_path / "vectors" / "val", packed_rows(11, seed=2))

    def make(name: str = "run", resources: dict[str, Any] | None = None, **fields: Any) -> Job:
        return make_job(name, resources, **fields).model_copy(update={"network": WITH_VECTORS, "train_shards": train, "val_shards": val})

    return make


@pytest.mark.slow
@pytest.mark.parametrize("stage", range(4))
def test_two_workers_learn_what_one_learns_at_every_zero_stage(make_vector_job: JobMaker, stage: int) -> None:
    alone, divided = make_vector_job("alone", steps=12), make_vector_job("divided", {"workers": 2, "zero_stage": stage}, steps=12)
    launch(alone)
    launch(divided)
    assert curve(divided)[:12] == pytest.approx(curve(alone)[:12], abs=2e-5)
    first, second = (load_file(job.output / "model.safetensors") for job in (alone, divided))
    assert first.keys() == second.keys() and "model.embed_spelling.weight" in first
    assert torch.equal(second["model.embed_spelling.table"], torch.from_numpy(TABLE.astype(np.float32)))
    fresh = initial_network(alone).state_dict()["model.embed_spelling.weight"]
    assert (first["model.embed_spelling.weight"] - fresh).abs().mean() > 1e-3, "the projection was not trained"
    torch.testing.assert_close(second["model.embed_spelling.weight"], first["model.embed_spelling.weight"], atol=1e-3, rtol=0)


@pytest.mark.slow
def test_a_run_killed_with_signal_9_ends_with_the_same_bytes(make_vector_job: JobMaker, tmp_path: Path) -> None:
    slow = {"steps": 120, "eval_rows": 0}
    undisturbed, killed = (make_vector_job(name, {"checkpoint_every_steps": 10}, **slow) for name in ("undisturbed", "killed"))
    launch(undisturbed)
    step = killed_after_a_checkpoint(killed, tmp_path)
    launch(killed)
    assert 0 < step < 120
    for name in ("model.safetensors", "history.jsonl", "config.json"):
        assert (killed.output / name).read_bytes() == (undisturbed.output / name).read_bytes(), name


@pytest.mark.slow
def test_tuning_on_rows_without_the_column_goes_on_with_the_model_s_table(make_vector_job: JobMaker, shards: Path) -> None:
    base = make_vector_job(steps=6)
    launch(base)
    tuning = SftConfig(steps=4, tokens=0, global_batch=4, warmup_steps=0, eval_rows=4, learning_rate=1e-2)
    tuned = follow_up(base, shards, tuning, "sft")
    launch(tuned)
    assert read_lines(tuned.output / "history.jsonl")[-1]["step"] == 4
    table = load_model(tuned.output).get_buffer("model.embed_spelling.table")
    assert torch.equal(table, torch.from_numpy(TABLE.astype(np.float32)))


def test_a_fresh_model_is_not_trained_on_rows_that_lack_what_it_reads(make_vector_job: JobMaker, shards: Path, tmp_path: Path) -> None:
    job = make_vector_job()
    with pytest.raises(ShardError, match="no table of 'spelling'"):
        initial_network(job.model_copy(update={"train_shards": shards / "train"}))
    reads = (TokensConfig(), VectorsConfig(column="spelling", size=SIZE, from_tokens=False))
    other = job.model_copy(update={"network": WITH_VECTORS.model_copy(update={"inputs": reads}), "train_shards": shards / "train"})
    with pytest.raises(LaunchError, match="no column 'spelling'; its pretrain rows have tokens, document, loss"):
        launch(other)


def test_a_pipeline_of_stages_is_refused_by_name(make_vector_job: JobMaker) -> None:
    job = make_vector_job()
    pipeline = {"workers": 2, "pipeline": 2, "zero_stage": 1}
    given = job.model_dump() | {"resources": {**job.resources.model_dump(), "parallel": pipeline, "micro_batch": 2}}
    with pytest.raises(ValidationError, match=r"inputs with pipeline=2.*use pipeline=1"):
        Job.model_validate(given)
