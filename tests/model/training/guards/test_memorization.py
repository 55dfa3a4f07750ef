"""The copy rate measured during training agrees with greedy decoding."""

from __future__ import annotations

import torch

from data.shards.reader import ShardReader
from model.evaluation.loss import measure_memorization
from model.networks.directory import load_model
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import JobMaker

from ..alone import train_here


def test_the_copy_rate_is_the_share_of_passages_that_greedy_decoding_reproduces(make_job: JobMaker) -> None:
    job = make_job("reciting", steps=150, eval_every=50, copy_rows=40, copy_tokens=3)
    train_here(job)
    rates = [line["copy_rate"] for line in read_lines(job.output / "history.jsonl") if "copy_rate" in line]
    torch.set_num_threads(1)
    assert job.train_shards is not None
    attempts = measure_memorization(
        load_model(job.output).decoding(), ShardReader(job.train_shards), passages=40, prompt_tokens=3, copy_tokens=3, seed=job.seed
    )
    assert len(rates) == 3 and rates[-1] == sum(attempt.copied_tokens >= 3 for attempt in attempts) / len(attempts)
    assert 0 < rates[-1] < 1, "all or none recite, so equal shares would prove little"
