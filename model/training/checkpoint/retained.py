"""Weights saved for their validation loss or their step, separate from the checkpoints that a run resumes from.

    <checkpoints>/best-000001000.safetensors      the lowest validation loss, until the run ends: with `select: best` it becomes the model
    <keep_in>/<kind>-<job>/step-000001000/        a model directory retained for good; it outlives the run and is no part of its result
    <keep_in>/<kind>-<job>/best/                  the lowest validation loss so far, and best.json: its step

A retained directory loads as any model does: with `folio chat`, as `pretrain.initial`, in transformers.
Guarantee: a run that resumes from any checkpoint still present finds the best weights from before it.
Cost: one copy of the weights on disk for each measurement that is a new best, written within the step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from data.shards.durable import write_atomically
from model.adapters.protocol import FOLDER
from model.networks.directory import save_tensors
from model.networks.scalar_heads import of_heads, save_heads
from model.networks.tensor_files import LazyTensors, write_tensors
from model.training.checkpoint.record import CheckpointRecord, folder_of
from model.training.job import Job

if TYPE_CHECKING:
    from torch import Tensor


ADAPTER = f"{FOLDER}/"  # before the names of an adapter's own tensors, among whole weights


class RetainedModels:
    """The model directories that one job retains for good."""

    def __init__(self, job: Job) -> None:
        self._job, self._rule = job, job.resources
        self.folder = job.retained / f"{job.train.kind}-{job.identity()[:12]}" if job.retained else None

    def wants(self, step: int, best: bool) -> bool:
        """Whether to retain the weights of a step; `best`: its validation loss is the lowest so far."""
        return self.folder is not None and (self._every(step) or (best and self._rule.keep_best))

    def write(self, step: int, best: bool, weights: Mapping[str, Tensor]) -> None:
        """Write the model directories requested by `wants`."""
        assert self.folder is not None, "called only when wanted"
        if self._every(step):
            self._write(self.folder / folder_of(step), weights)
        if best and self._rule.keep_best:
            self._write(self.folder / "best", weights)
            write_atomically(self.folder / "best" / "best.json", (json.dumps({"step": step}) + "\n").encode())

    def _every(self, step: int) -> bool:
        return bool(self._rule.keep_every_steps) and step % self._rule.keep_every_steps == 0

    def _write(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        save_directory(self._job, weights, folder)


def save_directory(job: Job, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write a job's model directory from whole weights, and into `adapter/` its adapter from those named `adapter/...`, if it has one.

    The directory of an adapter that does not merge says so, and holds the weights from before.
    """
    adapter = {name.removeprefix(ADAPTER): weights[name] for name in weights if name.startswith(ADAPTER)}
    whole, heads = of_heads(LazyTensors(weights).chosen(lambda name: not name.startswith(ADAPTER)))
    config = job.train.adapter
    apart = None if config.MERGES else config.model_dump(mode="json")
    save_tensors(whole, job.network, job.vocab_size, folder, extra=job.model_metadata, apart=apart)
    save_heads(heads, folder)
    config.build().save(adapter, folder / FOLDER)


def write_best(directory: Path, step: int, weights: Mapping[str, Tensor]) -> None:
    """Write the weights of a step next to the checkpoints."""
    write_tensors(_best_path(directory, step), weights)


def read_best(directory: Path, step: int) -> dict[str, Tensor]:
    """Return what `write_best` wrote for a step, by parameter name."""
    from safetensors.torch import load_file

    return load_file(_best_path(directory, step))


def remove_stale_best(directory: Path) -> None:
    """Remove best weights that no checkpoint refers to; keep those newer than the current checkpoint."""
    current = CheckpointRecord.read(directory)
    records = [CheckpointRecord.read(folder) for folder in directory.glob("step-*")]
    needed = {record.best_step for record in records if record}
    for path in directory.glob("best-*.safetensors"):
        step = int(path.stem.removeprefix("best-"))
        if current and step < current.step and step not in needed:
            path.unlink()


def _best_path(directory: Path, step: int) -> Path:
    return directory / f"best-{step:09d}.safetensors"
