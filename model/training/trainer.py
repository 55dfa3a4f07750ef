"""The training loop: rows in, weights out, and a line of history for every step.

Guarantee: the loss of a step is the mean over all units of its global batch, whatever the micro-batches and workers.
History and final weights of a run that was killed and continued are byte-identical to an undisturbed one's on the
same layout. A loss that is not finite stops the run with the step's number, before its weights are saved.
Cost beside the computing: one reduction of a handful of numbers a step, and a checkpoint every so many steps.
"""

from __future__ import annotations

import math
import shutil
import signal
from types import FrameType

import torch
from torch import Tensor, distributed

from model.architecture.decoder import Decoder
from model.architecture.directory import load_model, read_config, save_tensors
from model.objectives.objective import objective_for
from model.training.batches import Batches
from model.training.checkpoint import Checkpoints
from model.training.distributed import Place
from model.training.job import Job, JobError
from model.training.parallel.engines import engine_for
from model.training.records import Records
from model.training.samples import FILE as SAMPLES
from model.training.samples import Samples
from model.training.telemetry import Waiting


class TrainingError(RuntimeError):
    """Training cannot go on: the numbers are no longer numbers."""


class Interrupted(Exception):
    """A signal asked the run to stop; it has, at a checkpoint."""


class Trainer:
    """One worker's part of a job."""

    def __init__(self, job: Job, place: Place) -> None:
        self.job, self.place = job, place
        self.objective = objective_for(job.train)
        self.device = torch.device("cuda", place.local_rank) if torch.cuda.is_available() else torch.device("cpu")
        self.checkpoints = Checkpoints(job)
        reference = initial_decoder(job) if self.objective.needs_reference else None
        self.engine = engine_for(job, place, self.objective, initial_decoder(job), reference, self.device)
        share = Place(self.engine.data_rank, place.local_rank, self.engine.data_workers)
        self.batches = Batches(job, self.objective, share, self.device)
        self.waiting = Waiting()
        self.stop_asked = False

    def train(self) -> None:
        """Run to the last step, or to `Interrupted`; the model directory is written at the end."""
        signal.signal(signal.SIGTERM, self._ask_stop)
        signal.signal(signal.SIGINT, self._ask_stop)
        job, total = self.job, self.job.total_steps
        latest = self.checkpoints.latest()
        start = latest.step if latest else 0
        note = self.checkpoints.load(self.engine, latest) if latest else ""
        records = Records(job, start, note, self.device, self.waiting) if self.place.leads else None
        samples = Samples(job, self.engine, self.batches, start=start, leads=self.place.leads)
        for step in range(start + 1, total + 1):
            line, stop = self._step(step)
            if (job.train.eval_every and step % job.train.eval_every == 0) or step == total:
                line.update(self._validate())
            if records:
                records.add(step, line)
            samples.after(step)
            due = step % job.resources.checkpoint_every_steps == 0
            if (due or stop) and step < total:
                self.checkpoints.save(self.engine, step, {})
            if stop and step < total:
                self.checkpoints.finish(self.engine)
                raise Interrupted(f"stopped by a signal after step {step} of {total}; the same job continues from there")
        self.checkpoints.finish(self.engine)
        weights = self.engine.weights()
        samples.close()
        if records:
            records.close()
            self._write_model(weights)

    def _step(self, step: int) -> tuple[dict[str, float], bool]:
        """One optimizer update; the history's line for it, and whether any worker was asked to stop."""
        with self.waiting:
            units, micro_batches = self.batches.step(step - 1)
        # Every worker must divide by the same number, the units of all, and learn at the same step of a stop and of a checkpoint written.
        counted = units if self.engine.counts else 0
        meeting = torch.tensor([counted, self.stop_asked, self.checkpoints.written], dtype=torch.float64)
        all_units, stop, written = self._reduced(meeting).tolist()
        if written == self.place.world:
            self.checkpoints.put_in_force(self.engine)
        if all_units == 0:
            raise TrainingError(f"step {step}: no token of its {self.job.train.batch_at(step - 1)} rows counts in the loss")
        update = self.engine.update(micro_batches, all_units)
        means = (self._reduced(update.sums) / all_units).tolist()
        line = dict(zip(self.objective.metrics, means, strict=True))
        for name, value in (("loss", line["loss"]), ("gradient norm", update.norm)):
            if not math.isfinite(value):
                raise TrainingError(
                    f"step {step}: the {name} is {value}; lower learning_rate={self.job.train.learning_rate} or clip="
                    f"{self.job.train.clip}, or look at the rows of this step"
                )
        return {**line, "learning_rate": update.rate, "grad_norm": update.norm}, bool(stop)

    def _validate(self) -> dict[str, float]:
        """Metrics over the validation rows, each named `val_...`; empty without validation shards."""
        units, *values = self._reduced(self.engine.measure(self.batches.validation())).tolist()
        return {f"val_{name}": value / units for name, value in zip(self.objective.metrics, values, strict=True) if units}

    def _reduced(self, numbers: Tensor) -> Tensor:
        """The sum over workers."""
        if self.place.world > 1:
            moved = numbers.to(self.device)
            distributed.all_reduce(moved)
            return moved.cpu()
        return numbers

    def _write_model(self, weights: dict[str, Tensor]) -> None:
        job = self.job
        save_tensors(weights, job.decoder, job.vocab_size, job.output)
        (job.output / "logs").mkdir(exist_ok=True)
        shutil.copyfile(job.checkpoints / "history.jsonl", job.output / "history.jsonl")
        for name in ("timing.jsonl", *([SAMPLES] if job.resources.sample_every else [])):
            shutil.copyfile(job.checkpoints / name, job.output / "logs" / name)

    def _ask_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_asked = True


def initial_decoder(job: Job) -> Decoder:
    """Fresh weights from the seed, or the initial model, which must have the job's shape."""
    if job.initial_model is None:
        return Decoder(job.decoder, job.vocab_size, seed=job.seed)
    shape, vocab_size = read_config(job.initial_model)
    if (shape, vocab_size) != (job.decoder, job.vocab_size):
        raise JobError(f"{job.initial_model} is {shape} over {vocab_size} tokens; the job says {job.decoder} over {job.vocab_size}")
    return load_model(job.initial_model)
