"""The batches that workers read from real shards: the same rows, however many workers, threads and micro-batches there are."""

from __future__ import annotations

import json
from itertools import chain, product
from pathlib import Path

import numpy as np
import pytest
import torch

from data.shards.schema import ShardError
from model.loading.packed_rows import Prefetcher
from model.objectives.next_token import NextToken
from model.training.distributed import WorkerRank
from model.training.job import Job, JobError
from model.training.job_batches import count_epochs, job_batches
from tests.model.jobs import CONTEXT, JobMaker, packed_rows, write_shards

ROWS, STEPS = 30, 10
SOURCES = [{"name": "books", "rows": 20}, {"name": "talk", "rows": 10}]
MIXTURE = [{"until": 0.5, "weights": {"books": 1}}, {"until": 1, "weights": {"books": 1, "talk": 1}}]


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows whose every token is 10 + the number of the row; the first 20 are of one source, the others of another."""
    tokens = np.repeat(np.arange(10, 10 + ROWS, dtype=np.uint16)[:, None], CONTEXT + 1, axis=1)
    columns = {"tokens": tokens, "document": np.zeros_like(tokens), "loss": np.ones(tokens.shape, dtype=np.bool_)}
    directory = write_shards(tmp_path_factory.mktemp("numbered") / "train", "pretrain", columns)
    record = json.loads((directory / "shards.json").read_text())
    (directory / "shards.json").write_text(json.dumps({**record, "sources": SOURCES}))
    return directory


def seen(job: Job, worker: WorkerRank, updates: range) -> list[list[int]]:
    """The numbers of the rows that a worker gets, one list per update."""
    batches = job_batches(job, NextToken(), torch.device("cpu"), worker.rank, worker.world_size)
    found = []
    for update in updates:
        units, _, parts = batches.step(update)
        assert {len(part["tokens"]) for part in parts} == {job.micro_batch}
        rows = [int(row[0]) - 10 for part in parts for row in part["tokens"]]
        assert units == {"tokens": len(rows) * CONTEXT}
        found.append(rows)
    return found


@pytest.mark.parametrize("mixture", [[], MIXTURE], ids=["shuffled", "mixture"])
@pytest.mark.parametrize("batch", [6, 12])
def test_no_row_is_dropped_or_repeated_on_any_number_of_workers_and_threads(
    make_job: JobMaker, numbered: Path, batch: int, mixture: list[object]
) -> None:
    def job(**resources: int) -> Job:
        made = make_job(resources=resources, steps=STEPS, global_batch=batch, mixture=mixture, eval_rows=0)
        return made.model_copy(update={"train_shards": numbered})

    whole = seen(job(workers=1, micro_batch=batch, loader_threads=0), WorkerRank(0, 0, 1), range(STEPS))
    for workers, per_node, threads, micro in product((1, 2, 3, 6), (1, 3), (0, 1, 3), (1, 2)):
        if batch // workers % micro:
            continue
        here = job(workers=workers, micro_batch=micro, loader_threads=threads)
        shares = [seen(here, WorkerRank(rank, rank % per_node, workers), range(STEPS)) for rank in range(workers)]
        assert [list(chain(*parts)) for parts in zip(*shares, strict=True)] == whole, (workers, per_node, threads, micro)
    joined = list(chain(*whole))
    if mixture:
        assert max(joined[: STEPS * batch // 2]) < 20
        assert sum(row >= 20 for row in joined[STEPS * batch // 2 :]) == STEPS * batch // 4
    else:
        epochs_seen = [sorted(joined[start : start + ROWS]) for start in range(0, len(joined) - ROWS + 1, ROWS)]
        assert epochs_seen == [list(range(ROWS))] * (STEPS * batch // ROWS)


@pytest.mark.parametrize("threads", [0, 2])
def test_a_resumed_run_sees_the_rows_of_an_undisturbed_one(make_job: JobMaker, numbered: Path, threads: int) -> None:
    job = make_job(resources={"loader_threads": threads}, steps=STEPS, mixture=MIXTURE, eval_rows=0)
    job = job.model_copy(update={"train_shards": numbered})
    whole = seen(job, WorkerRank(0, 0, 1), range(STEPS))
    assert seen(job, WorkerRank(0, 0, 1), range(4, STEPS)) == whole[4:]


def test_skipped_rows_shift_all_later_ones(make_job: JobMaker, numbered: Path) -> None:
    job = make_job(steps=STEPS, global_batch=8, eval_rows=0).model_copy(update={"train_shards": numbered})
    batches = job_batches(job, NextToken(), torch.device("cpu"))
    batches.step(0)
    moved, later = batches.step(1, skipped=8).micro_batches, batches.step(2).micro_batches
    assert all(torch.equal(one["tokens"], other["tokens"]) for one, other in zip(moved, later, strict=True))


def test_epochs_are_counted_for_each_source_of_a_mixture_or_for_all_rows(make_job: JobMaker, numbered: Path) -> None:
    plain = make_job(steps=STEPS, global_batch=12).model_copy(update={"train_shards": numbered})
    mixed = make_job(steps=STEPS, global_batch=12, mixture=MIXTURE).model_copy(update={"train_shards": numbered})
    assert count_epochs(plain) == {"epochs": 120 / ROWS}
    assert count_epochs(mixed) == {"epochs_books": 90 / 20, "epochs_talk": 30 / 10}


def test_a_mixture_over_shards_that_mix_sources_in_their_rows_is_refused(make_job: JobMaker) -> None:
    job = make_job(mixture=MIXTURE)
    with pytest.raises(ShardError, match=r"pack\.by_source=true"):
        job_batches(job, NextToken(), torch.device("cpu"))


def test_a_job_without_validation_rows_trains_unless_validation_decides_something(make_job: JobMaker, tmp_path: Path) -> None:
    empty = write_shards(tmp_path / "nothing", "pretrain", packed_rows(0, seed=1))
    unvalidated = make_job().model_copy(update={"val_shards": empty})
    batches = job_batches(unvalidated, NextToken(), torch.device("cpu"))
    assert batches.step(0).units["tokens"] and list(batches.validation()) == []
    for setting in ({"select": "best"}, {"guards": {"patience": 2}}):
        job = make_job(**setting).model_copy(update={"val_shards": empty})
        with pytest.raises(JobError, match=r"no rows, so there is no validation loss, which (select=best|guards.patience=2) needs"):
            job_batches(job, NextToken(), torch.device("cpu"))
    with pytest.raises(JobError, match="nothing to train on"):
        job_batches(make_job().model_copy(update={"train_shards": empty}), NextToken(), torch.device("cpu"))


def test_an_error_in_a_thread_is_raised_only_where_its_result_is_asked_for() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise OSError("the disk is gone")
        return number

    ahead = Prefetcher(make, threads=2)
    assert [ahead.get(0, [1, 2]), ahead.get(1, [2, 3])] == [0, 1]
    assert ahead.get(3, []) == 3
    with pytest.raises(OSError, match="the disk is gone"):
        ahead.get(2, [])
