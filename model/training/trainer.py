"""The training loop: rows in, weights out, and a line of the step log for every step.

Guarantee: the loss of a step is the mean over all units of its global batch, for any micro-batches and workers. On one layout, the
step log and final weights of a run that was killed and continued are byte-identical to an undisturbed run's. A loss that is not finite
stops the run, with the step's number, before its weights are saved, or causes a rollback.
The host doesn't wait for the device within a step: while one step is computed the next is prepared, and the numbers of a step are read
after the next one was begun. So a bad step is found one step late, and the line of a step is written then; before a measurement, a
checkpoint, a sample and the end every step before is read. fp16, offloaded optimizers, tensor parallelism and pipelines wait in every
step, and DeepSpeed's ZeRO 3 for its own reductions in every backward pass.
Cost besides the computing: two all-reduces of a few numbers per step, and a checkpoint every so many steps."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from model.hardware.transfers import Fetch, upload
from model.loading.source import BatchShare, Source
from model.networks.tensor_files import LazyTensors
from model.objectives.protocol import Objective, term_means, unit_names
from model.training.checkpoint.checkpoints import Checkpoints
from model.training.checkpoint.retained import ADAPTER, RetainedModels, read_best, save_directory, write_best
from model.training.distributed import HostExchange, WorkerRank, own_device
from model.training.engine import Engine, Update
from model.training.guards.faults import Faults, TrainingError
from model.training.guards.validation import MemorizationProbe, Validation
from model.training.initial import initial_models
from model.training.job import Job
from model.training.parallel.engines import build_engine
from model.training.policy import TrainedPolicy
from model.training.telemetry.records import FILE as SAMPLES
from model.training.telemetry.records import Records, Samples
from model.training.telemetry.sizes import sizes_of, write_sizes
from model.training.telemetry.telemetry import Moment, WaitTimer


@dataclass
class BegunStep:
    """`units`: of the whole batch. `waited`: seconds spent waiting for rows. `ended`: when it was computed."""

    step: int
    units: Mapping[str, float]
    update: Update
    numbers: Fetch
    waited: float
    ended: Moment

    @classmethod
    def of(cls, step: int, units: Mapping[str, float], update: Update, sums: Tensor, waited: float) -> BegunStep:
        """Begin to fetch the numbers of an update. `sums`: the terms' sums over all workers, on the device."""
        beside = (update.norm, *(value for value in update.metrics.values() if isinstance(value, Tensor)))
        numbers = Fetch(torch.cat((sums, *(value.double()[None].to(sums.device) for value in beside))))
        return cls(step, units, update, numbers, waited, Moment(sums.device))

    def line(self, objective: Objective) -> dict[str, float]:
        """Return what the step log says of the step, after waiting for it; a measurement that is not a number is left out."""
        terms, update = len(objective.terms), self.update
        sums, (norm, *rest) = (numbers := self.numbers.read())[:terms], numbers[terms:]
        measured = iter(rest)
        metrics = {name: next(measured) if isinstance(value, Tensor) else value for name, value in update.metrics.items()}
        return {
            **term_means(objective, sums, self.units),
            "learning_rate": update.rate,
            **({"grad_norm": norm} if update.applied else {}),
            **{name: value for name, value in metrics.items() if math.isfinite(value)},
        }


class Interrupted(Exception):
    """A signal stopped the run; a checkpoint of its last step was saved."""


class Trainer:
    """One worker's part of a job."""

    def __init__(self, job: Job, worker: WorkerRank) -> None:
        self.job, self.worker = job, worker
        self.objective: Objective = job.build_objective()
        self.device = own_device()
        self.exchange = HostExchange(worker.world_size, job.resources.parallel.meet_seconds)
        self.checkpoints, self.retained = Checkpoints(job, self.exchange), RetainedModels(job)
        self.faults, self.validation = Faults(job.train), Validation(job.train.guards)
        network, frozen = initial_models(job, self.objective, worker.rank)
        self.sizes = sizes_of(network)
        self.engine = build_engine(job, worker, self.objective, network, frozen, self.device)
        share = BatchShare(self.engine.data_rank, self.engine.data_workers, job.micro_batch, self.device)
        policy = TrainedPolicy(self.engine, self.device, self.exchange)
        self.batches: Source = job.train.build_source(job, self.objective, share, policy)
        self.records: Records | None = None
        self.samples: Samples | None = None
        self.waiting = WaitTimer()
        self.stop_requested = False

    def train(self) -> None:
        """Train to the last step and write the model directory; raise Interrupted if a stop was requested before."""
        total, step = self.job.total_steps, self._begin()
        earlier: BegunStep | None = None
        while step < total:
            step += 1
            begun, stop = self._step(step)
            back = self._finish(earlier) if earlier else None
            earlier = begun
            if back is None and (stop or self._is_due(step)):
                back, earlier = self._finish(begun), None
            if back is not None:
                # A step that was begun after the bad one has learned from its weights, so it is dropped with them.
                step, earlier = back, None
                continue
            if earlier:
                continue
            if self.validation.patience_exhausted or step == total:
                break
            if stop or self._saves(step):
                self.checkpoints.save(self.engine, step, self._guard_state())
            if stop:
                self.checkpoints.finish(self.engine)
                raise Interrupted(f"stopped by a signal after step {step} of {total}; the same job continues from there")
        self._end(step)

    def _begin(self) -> int:
        """Continue from the current checkpoint, if there is one; return the last step done."""
        record = self.checkpoints.current()
        note = self.checkpoints.load(self.engine, record) if record else "training"
        step = record.step if record else 0
        if record:
            self.faults.restore(record.memory["faults"])
            self.validation.restore(record.memory["validation"])
        elif self.faults.wants_checkpoint(0):
            self.checkpoints.save(self.engine, 0, self._guard_state())
        self._open_records(step, note)
        return step

    def _step(self, step: int) -> tuple[BegunStep, bool]:
        """Hand one optimizer update to the device; return it, and whether any worker was asked to stop."""
        with self.waiting:
            rows = self.batches.step(step - 1, self.faults.skipped_rows(step - 1))
        # All workers must divide by the same numbers, the units of all, and act on a stop or a finished checkpoint at the same step.
        counted = [count * self.engine.counts for count in (*rows.units.values(), *rows.globals.values())]
        *counted, stop, written = self.exchange.sum([*counted, self.stop_requested, self.checkpoints.written])
        units = dict(zip(rows.units, counted, strict=False))
        statistics = dict(zip(rows.globals, counted[len(units) :], strict=True))
        if written == self.worker.world_size:
            self.checkpoints.make_current(self.engine)
        if any(term.weight and not (units[term.unit] or term.optional) for term in self.objective.terms):
            raise TrainingError(f"step {step}: none of its {self.job.train.batch_at(step - 1)} rows has a target that counts in the loss")
        everywhere = {name: upload(np.array(value, dtype=np.float32), self.device) for name, value in statistics.items()}
        update = self.engine.update([{**batch, **everywhere} for batch in rows.micro_batches], units)
        return BegunStep.of(step, units, update, self._sum(update.sums * self.engine.counts), self.waiting.take()), bool(stop)

    def _is_due(self, step: int) -> bool:
        """Whether something is done after this step that needs its numbers or the weights that it leaves, before the next one begins."""
        sampled = self.job.resources.sample_every
        return (
            self._measures(step)
            or bool(sampled and step % sampled == 0)
            or self.retained.wants(step, False)
            or self._saves(step)
            or self.batches.samples(step, self.faults.skipped_rows(step))
        )

    def _measures(self, step: int) -> bool:
        """Whether the validation metrics are measured after this step."""
        every = self.job.train.measure_every(self.job.length)
        return step == self.job.total_steps or bool(every and step % every == 0)

    def _saves(self, step: int) -> bool:
        """Whether a checkpoint is saved after this step."""
        return step % self.job.resources.checkpoint_every_steps == 0 or self.faults.wants_checkpoint(step)

    def _finish(self, begun: BegunStep) -> int | None:
        """Wait for a step, check and record its numbers, with what is measured after it; return the step gone back to if it is bad."""
        step, line = begun.step, begun.line(self.objective)
        if fault := self.faults.check(step, line):
            return self._roll_back(step, fault)
        self.validation.trained(line["loss"])
        line |= self.faults.metrics() | self._validate(step)
        if self.validation.patience_exhausted:
            line["stopped_early"] = 1.0
        if self.records:
            ended = Moment(self.device) if self._is_due(step) else begun.ended
            self.records.add(step, line, ended, begun.waited)
        if self.samples:
            self.samples.after(step)
        return None

    def _validate(self, step: int) -> dict[str, float]:
        """Measure the validation metrics where they are due, each named `val_...`, and what follows from them; empty without validation.

        Saves the best weights if `select=best`, and the weights that the resources ask to retain.
        """
        metrics: dict[str, float] = {}
        best = False
        if self._measures(step):
            names = unit_names(self.objective)
            values = self._sum(self.engine.measure(self.batches.validation()) * self.engine.counts).tolist()
            means = term_means(self.objective, values[len(names) :], dict(zip(names, values, strict=False)))
            metrics = {f"val_{name}": value for name, value in means.items()}
            if metrics:
                metrics |= self.validation.measured(step, metrics["val_loss"])
                best = self.validation.best_step == step
            metrics |= self._copy_rate()
        selected, retained = best and self.job.train.select == "best", self.retained.wants(step, best)
        weights: Mapping[str, Tensor] = self._weights() if selected or retained else {}
        if self.worker.is_first and selected:
            write_best(self.job.checkpoints, step, weights)
        if self.worker.is_first and retained:
            self.retained.write(step, best, weights)
        if selected or retained:
            self.exchange.wait_for_writer()
        return metrics

    def _copy_rate(self) -> dict[str, float]:
        """The share of training passages that the model has memorized, if requested and some row has a long enough passage."""
        wanted, tokens = self.job.train.memorization_passages
        if not wanted or not isinstance(self.engine, Engine):
            return {}
        drawn = self.batches.memorization_passages(wanted, tokens, self.job.seed)
        passages, copied = self._sum(self.engine.measure(drawn, MemorizationProbe()) * self.engine.counts).tolist()
        return {"copy_rate": copied / passages} if passages else {}

    def _roll_back(self, step: int, fault: str) -> int:
        """Go back to the last rollback checkpoint, skip the data of the bad step from now on, and return the step gone back to."""
        base = self.faults.roll_back(step)
        self.checkpoints.finish(self.engine)
        record = self.checkpoints.record_of(base)
        self.faults.restore_losses(record.memory["faults"])
        self.validation.restore(record.memory["validation"])
        self.checkpoints.go_back(self.engine, record, self._guard_state())
        self._open_records(base, f"step {step}: {fault}; back to step {base}, without that data")
        return base

    def _guard_state(self) -> dict[str, Any]:
        return {"faults": self.faults.state(), "validation": self.validation.state()}

    def _weights(self) -> LazyTensors:
        """The whole weights, and the adapter's own, on rank 0."""
        return self.engine.weights() | {f"{ADAPTER}{name}": tensor for name, tensor in self.engine.adapter_weights().items()}

    def _sum(self, numbers: Tensor) -> Tensor:
        """The sum over workers, on the device."""
        if self.worker.world_size == 1:
            return numbers
        on_device = numbers.to(self.device)  # NCCL takes no CPU tensors
        distributed.all_reduce(on_device)
        return on_device

    def _open_records(self, start: int, note: str) -> None:
        if self.records:
            self.records.close()
        if self.samples:
            self.samples.close()
        self.samples = Samples(self.job, self.engine, self.batches, start=start, write=self.worker.is_first)
        if self.worker.is_first:
            self.records = Records(self.job, start, note, self.device)

    def _end(self, step: int) -> None:
        """Write the model directory: the last weights, or the best; return when it is written."""
        self.checkpoints.finish(self.engine)
        if self.samples:
            self.samples.close()
        best = self.validation.best_step if self.job.train.select == "best" else step
        weights: Mapping[str, Tensor] = self._weights() if best == step else {}
        if self.records:
            self.records.close()
            self._write(weights, best)
        self.exchange.wait_for_writer()

    def _write(self, weights: Mapping[str, Tensor], best: int) -> None:
        """Write the model directory and its logs on rank 0; without `weights`, those of step `best`."""
        job = self.job
        weights = weights or read_best(job.checkpoints, best)
        save_directory(job, weights, job.output)
        self.batches.finish(job.output)
        (job.output / "logs").mkdir(exist_ok=True)
        shutil.copyfile(job.checkpoints / "history.jsonl", job.output / "history.jsonl")
        for name in ("timing.jsonl", *([SAMPLES] if self.samples and self.samples.written else [])):
            shutil.copyfile(job.checkpoints / name, job.output / "logs" / name)
        write_sizes(self.sizes, self.device, job.output / "logs")

    def request_stop(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: save a checkpoint after the current step and stop there."""
        self.stop_requested = True
