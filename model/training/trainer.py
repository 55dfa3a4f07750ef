"""The training loop: rows in, weights out, and a line of history for every step.

Guarantee: the loss of a step is the mean over all units of its global batch, whatever the micro-batches and workers.
History and final weights of a run that was killed and continued are byte-identical to an undisturbed one's on the
same layout. A loss that is not finite stops the run with the step's number before its weights are saved, or leads to a rollback.
Cost beside the computing: one reduction of a handful of numbers a step, and a checkpoint every so many steps.
"""

from __future__ import annotations

import shutil
import signal
from types import FrameType
from typing import Any

import torch
from torch import Tensor, distributed

from model.loading.batches import Batches
from model.networks.directory import save_tensors
from model.objectives.objective import objective_for
from model.training.checkpoint.best import read_best, write_best
from model.training.checkpoint.checkpoint import Checkpoints
from model.training.checkpoint.retained import Kept
from model.training.engine import Engine
from model.training.guards.faults import Faults, TrainingError
from model.training.guards.memorization import Reciting
from model.training.guards.validation import Validation
from model.training.initial import initial_decoder
from model.training.job import Job
from model.training.launch.distributed import Place
from model.training.parallel.engines import engine_for
from model.training.telemetry.records import Records
from model.training.telemetry.samples import FILE as SAMPLES
from model.training.telemetry.samples import Samples
from model.training.telemetry.telemetry import Waiting


class Interrupted(Exception):
    """A signal asked the run to stop; it has, at a checkpoint."""


class Trainer:
    """One worker's part of a job."""

    def __init__(self, job: Job, place: Place) -> None:
        self.job, self.place = job, place
        self.objective = objective_for(job.train)
        self.device = torch.device("cuda", place.local_rank) if torch.cuda.is_available() else torch.device("cpu")
        self.checkpoints, self.kept = Checkpoints(job), Kept(job)
        self.faults, self.validation = Faults(job.train), Validation(job.train.guards)
        reference = initial_decoder(job) if self.objective.needs_reference else None
        self.engine = engine_for(job, place, self.objective, initial_decoder(job), reference, self.device)
        share = Place(self.engine.data_rank, place.local_rank, self.engine.data_workers)
        self.batches = Batches(job, self.objective, share, self.device)
        self.records: Records | None = None
        self.samples: Samples | None = None
        self.waiting = Waiting()
        self.stop_asked = False

    def train(self) -> None:
        """Run to the last step, or to `Interrupted`; the model directory is written at the end."""
        signal.signal(signal.SIGTERM, self._ask_stop)
        signal.signal(signal.SIGINT, self._ask_stop)
        total, step = self.job.total_steps, self._begin()
        while step < total:
            step += 1
            line, stop = self._step(step)
            if fault := self.faults.found(step, line):
                step = self._roll_back(step, fault)
                continue
            self.validation.trained(line["loss"])
            line |= self.faults.metrics() | self._validate(step)
            over = self.validation.exhausted
            if self.records:
                self.records.add(step, {**line, "stopped_early": 1.0} if over else line)
            if self.samples:
                self.samples.after(step)
            if over or step == total:
                break
            if stop or step % self.job.resources.checkpoint_every_steps == 0 or self.faults.wants_checkpoint(step):
                self.checkpoints.save(self.engine, step, self._memory())
            if stop:
                self.checkpoints.finish(self.engine)
                raise Interrupted(f"stopped by a signal after step {step} of {total}; the same job continues from there")
        self._end(step)

    def _begin(self) -> int:
        """Go on from the checkpoint in force, if any; the last step done."""
        latest = self.checkpoints.latest()
        note = self.checkpoints.load(self.engine, latest) if latest else "training"
        step = latest.step if latest else 0
        if latest:
            self.faults.remember(latest.memory["faults"])
            self.validation.remember(latest.memory["validation"])
        elif self.faults.wants_checkpoint(0):
            self.checkpoints.save(self.engine, 0, self._memory())
        self._open_records(step, note)
        return step

    def _step(self, step: int) -> tuple[dict[str, float], bool]:
        """One optimizer update; the history's line for it, and whether any worker was asked to stop."""
        with self.waiting:
            units, micro_batches = self.batches.step(step - 1, self.faults.moved(step - 1))
        # Every worker must divide by the same number, the units of all, and learn at the same step of a stop and of a checkpoint written.
        meeting = torch.tensor([units * self.engine.counts, self.stop_asked, self.checkpoints.written], dtype=torch.float64)
        all_units, stop, written = self._reduced(meeting).tolist()
        if written == self.place.world:
            self.checkpoints.put_in_force(self.engine)
        if all_units == 0:
            raise TrainingError(f"step {step}: no token of its {self.job.train.batch_at(step - 1)} rows counts in the loss")
        update = self.engine.update(micro_batches, all_units)
        means = (self._reduced(update.sums * self.engine.counts) / all_units).tolist()
        line = dict(zip(self.objective.metrics, means, strict=True))
        norm = {"grad_norm": update.norm} if update.applied else {}
        return {**line, "learning_rate": update.rate, **norm, **update.metrics}, bool(stop)

    def _validate(self, step: int) -> dict[str, float]:
        """Where it is due, metrics over the validation rows, each named `val_...`, and what they say; nothing without validation shards.

        The best weights so far are kept if the model is to have them, and any that the rule of resources asks for.
        """
        every, metrics, best = self.job.train.eval_every, {}, False
        if step == self.job.total_steps or (every and step % every == 0):
            units, *values = self._reduced(self.engine.measure(self.batches.validation()) * self.engine.counts).tolist()
            metrics = {f"val_{name}": value / units for name, value in zip(self.objective.metrics, values, strict=True) if units}
            if metrics:
                metrics |= self.validation.measured(step, metrics["val_loss"])
                best = self.validation.best_step == step
            metrics |= self._recited()
        selected, kept = best and self.job.train.select == "best", self.kept.wants(step, best)
        weights = self.engine.weights() if selected or kept else {}
        if self.place.leads and selected:
            write_best(self.job.checkpoints, step, weights)
        if self.place.leads and kept:
            self.kept.keep(step, best, weights)
        return metrics

    def _recited(self) -> dict[str, float]:
        """The share of training passages that the model recites, if it is asked for and a row has one long enough."""
        train = self.job.train
        if train.objective != "next_token" or not train.copy_rows or not isinstance(self.engine, Engine):
            return {}
        recitals = self.batches.recitals(train.copy_rows, train.copy_tokens)
        passages, copied = self._reduced(self.engine.measure(recitals, Reciting()) * self.engine.counts).tolist()
        return {"copy_rate": copied / passages} if passages else {}

    def _roll_back(self, step: int, fault: str) -> int:
        """Undo what was learned since the last place to go back to, and leave out the data of a bad step; the step gone back to."""
        base = self.faults.roll_back(step)
        self.checkpoints.finish(self.engine)
        before = self.checkpoints.of(base)
        self.faults.compare_with(before.memory["faults"])
        self.validation.remember(before.memory["validation"])
        self.checkpoints.go_back(self.engine, before, self._memory())
        self._open_records(base, f"step {step}: {fault}; back to step {base}, without that data")
        return base

    def _memory(self) -> dict[str, Any]:
        return {"faults": self.faults.memory(), "validation": self.validation.memory()}

    def _reduced(self, numbers: Tensor) -> Tensor:
        """The sum over workers."""
        if self.place.world > 1:
            moved = numbers.to(self.device)
            distributed.all_reduce(moved)
            return moved.cpu()
        return numbers

    def _open_records(self, start: int, note: str) -> None:
        if self.records:
            self.records.close()
        if self.samples:
            self.samples.close()
        self.samples = Samples(self.job, self.engine, self.batches, start=start, leads=self.place.leads)
        if self.place.leads:
            self.records = Records(self.job, start, note, self.device, self.waiting)

    def _end(self, step: int) -> None:
        """Write the model directory: the last weights, or the best."""
        job = self.job
        self.checkpoints.finish(self.engine)
        if self.samples:
            self.samples.close()
        best = self.validation.best_step if job.train.select == "best" else step
        weights = self.engine.weights() if best == step else {}
        if not self.records:
            return
        self.records.close()
        weights = weights or read_best(job.checkpoints, best)
        save_tensors(weights, job.decoder, job.vocab_size, job.output, extra=job.told_with_model)
        (job.output / "logs").mkdir(exist_ok=True)
        shutil.copyfile(job.checkpoints / "history.jsonl", job.output / "history.jsonl")
        for name in ("timing.jsonl", *([SAMPLES] if self.samples and self.samples.taken else [])):
            shutil.copyfile(job.checkpoints / name, job.output / "logs" / name)

    def _ask_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_asked = True
