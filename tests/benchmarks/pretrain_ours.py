"""folio's step and a plain torch loop, as contestants: python -m tests.benchmarks.pretrain_ours (folio | watched | plain | loader) JOB

JOB is the JSON file of a `model.training.job.Job`. `folio` trains through the real `Trainer`: its batches, its engine (DeepSpeed with one
worker); `watched` is the same, and its threads wait by the load, as a worker's do. `plain` is what anybody writes: the same decoder and
objective, the same rows in the same micro-batches, torch's fused AdamW, `clip_grad_norm_`, a cosine; compiled where the job is. It reads
rows through the same loader, whose own speed is the business of `loader`, which only reads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch

from model.hardware.waiting import watch
from model.objectives.protocol import POLICY
from model.training.distributed import WorkerRank, import_deepspeed, join
from model.training.job import Job
from model.training.job_batches import job_batches
from model.training.optimizers.config import AdamWConfig
from tests.benchmarks.rounds import WARM_UP, Rounds

ALONE = WorkerRank(rank=0, local_rank=0, world_size=1)
Step = Callable[[int], float]
"""Update number so and so, from 0; returns its loss."""


def folio(job: Job) -> tuple[Step, int]:
    """The trainer's step, and the decoder's parameters."""
    import_deepspeed()
    join(ALONE)
    from model.training.trainer import Trainer

    trainer = Trainer(job, ALONE)

    def step(update: int) -> float:
        units, _, micro_batches = trainer.batches.step(update)
        return float(trainer.engine.update(micro_batches, units).sums[0]) / units["tokens"]

    return step, sum(weights.numel() for weights in trainer.engine.weights().values())


def plain(job: Job) -> tuple[Step, int]:
    """The same without folio's engine."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    objective, train = job.build_objective(), job.train
    decoder = job.network.build(job.vocab_size, seed=job.seed).train().to(device)
    batches = job_batches(job, objective, device)
    groups: list[dict[str, object]] = [
        {"params": [p for p in decoder.parameters() if p.dim() > 1], "weight_decay": train.weight_decay},
        {"params": [p for p in decoder.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    adam = train.optimizer
    assert isinstance(adam, AdamWConfig)
    optimizer = torch.optim.AdamW(groups, lr=train.learning_rate, betas=(adam.beta1, adam.beta2), eps=adam.epsilon, fused=True)
    sums = torch.compile(objective.sums) if job.resources.compile else objective.sums
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, job.total_steps)

    def step(update: int) -> float:
        units, _, micro_batches = batches.step(update)
        total = torch.zeros((), device=device)
        for batch in micro_batches:
            with torch.autocast(device.type, torch.bfloat16, enabled=train.precision.PRODUCTS == "bf16"):
                (nats,) = sums({POLICY: decoder}, batch)
            (nats / units["tokens"]).backward()
            total += nats.detach()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), train.clip)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        return float(total) / units["tokens"]

    return step, sum(p.numel() for p in decoder.parameters())


def loader(job: Job) -> tuple[Step, int]:
    """Rows to tensors, and nothing else; its loss is 0."""
    batches = job_batches(job, job.build_objective(), torch.device("cpu"))

    def step(update: int) -> float:
        batches.step(update)
        return 0.0

    return step, 0


def main(kind: str, path: Path) -> None:
    """Warm up, then train when asked."""
    rounds = Rounds()
    job = Job.model_validate_json(path.read_text(encoding="utf-8"))
    torch.set_num_threads(job.resources.threads)
    torch.set_flush_denormal(True)
    if kind == "watched":
        watch()
    step, parameters = {"folio": folio, "watched": folio, "plain": plain, "loader": loader}[kind](job)
    done, loss = 0, 0.0
    for _ in range(WARM_UP):
        step(done)
        done += 1
    rounds.ready(parameters=parameters)
    while True:
        for _ in range(rounds.wait()):
            loss = step(done)
            done += 1
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        rounds.done(loss=loss)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
