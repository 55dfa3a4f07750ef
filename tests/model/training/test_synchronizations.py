"""The host doesn't wait for the device within a step: what it reads of a step it fetches asynchronously, once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import deepspeed
import pytest
import torch

from model.objectives.grpo import Grpo
from model.objectives.masked import Masked
from model.objectives.protocol import POLICY
from model.training.distributed import import_deepspeed, join
from model.training.job import Job
from tests.model.jobs import SHAPE, VOCABULARY, JobMaker, packed_rows
from tests.model.objectives.grpo_rows import rollout_rows

from .alone import ALONE
from .synchronizations import Synchronizations

MORE, FEWER = 6, 3


def counted(job: Job) -> Synchronizations:
    """Train a job in this process, and count."""
    import_deepspeed()
    join(ALONE)
    torch.set_num_threads(1)
    from model.training.trainer import Trainer

    job.run_directory().mkdir(parents=True)
    trainer = Trainer(job, ALONE)
    module = trainer.engine.deepspeed.module
    with Synchronizations() as counter:
        counter.mark([*module.parameters(), *module.network.buffers()], hold=True)
        trainer.train()
    return counter


def in_a_step(make_job: JobMaker, resources: dict[str, Any], **train: Any) -> tuple[Counter[str], float]:
    """Return waits by where they are, and fetches: of a step alone, without those of the begin and end of training."""
    resources = {"loader_threads": 0, "checkpoint_every_steps": 100, **resources}
    more, fewer = (counted(make_job(f"{steps}", resources, steps=steps, warmup_steps=2, eval_rows=0, **train)) for steps in (MORE, FEWER))
    return more.waits - fewer.waits, (more.fetches - fewer.fetches) / (MORE - FEWER)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("stage", [0, *(pytest.param(stage, marks=pytest.mark.slow) for stage in (1, 2, 3))])
def test_nothing_is_waited_for_in_a_step_and_its_numbers_are_fetched_once(make_job: JobMaker, stage: int, optimizer: str) -> None:
    waits, fetches = in_a_step(make_job, {"zero_stage": stage}, optimizer=optimizer)
    assert not waits, waits
    assert fetches == 1


def test_clipping_averages_and_estimates_of_curvature_wait_for_nothing(make_job: JobMaker) -> None:
    waits, _ = in_a_step(make_job, {"zero_stage": 1}, optimizer="sophia", sophia_every=1, ema_decay=0.9, clip=0.01)
    assert not waits, waits


def test_the_count_finds_what_fp16_waits_for(make_job: JobMaker) -> None:
    """An update that overflows is skipped, so its norm is read before it."""
    waits, _ = in_a_step(make_job, {"zero_stage": 1}, precision="fp16")
    assert sum(waits.values()) >= MORE - FEWER


def test_deepspeed_does_not_synchronize_to_time_its_throughput(make_job: JobMaker) -> None:
    from .alone import engine_of

    engine = engine_of(make_job(resources={"zero_stage": 1}))
    assert isinstance(engine.deepspeed, deepspeed.DeepSpeedEngine) and not engine.deepspeed.tput_timer.config.enabled


def test_objectives_that_read_some_tokens_find_them_on_the_host() -> None:
    from model.networks.config import EncoderConfig

    rows = {**packed_rows(4, seed=1), "position": torch.arange(4).numpy()}
    masked, encoder = Masked(), EncoderConfig(width=32, layers=1, heads=2, feed_forward=48, context=16).build(VOCABULARY)
    drawn = rollout_rows(2, 2, 17, VOCABULARY, seed=1)
    learned = Grpo(8, kl_weight=0.0)
    for objective, network, given in ((masked, encoder, rows), (learned, SHAPE.build(VOCABULARY), drawn)):
        batch = {name: torch.from_numpy(values.copy()) for name, values in objective.batch(given).items()}
        with Synchronizations() as counter:
            counter.mark([*network.parameters(), *network.buffers(), *batch.values()], hold=True)
            objective.sums({POLICY: network}, batch)  # once, so that tables of positions are there
            counter.waits.clear()
            torch.autograd.backward(objective.sums({POLICY: network}, batch)[0])
        assert not counter.waits, counter.waits


def test_the_count_sees_every_way_to_wait(tmp_path: Path) -> None:
    numbers = torch.arange(4.0)
    ways = (
        lambda: float(numbers[0]),
        lambda: numbers.tolist(),
        lambda: numbers.cpu(),
        lambda: bool((numbers > 1).any()),
        lambda: numbers.nonzero(),
        lambda: numbers[numbers > 1],
        lambda: (numbers * 2).sum().item(),
    )
    for way in ways:
        with Synchronizations() as counter:
            counter.mark([numbers], hold=True)
            way()
        assert sum(counter.waits.values()) >= 1
    with Synchronizations() as counter:
        counter.mark([numbers], hold=True)
        (numbers * 2 + numbers.mean()).clamp(min=1)
        torch.arange(3).tolist()
    assert not counter.waits
