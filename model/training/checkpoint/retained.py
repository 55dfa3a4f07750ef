"""Checkpoints kept for good, as model directories beside the store: they outlive the run, and nothing of them is part of its result.

    <keep_in>/<objective>-<job>/step-000001000/   model.safetensors, config.json
    <keep_in>/<objective>-<job>/best/             the lowest validation loss so far, and best.json: its step

What is kept loads as any model: with `folio chat`, as `pretrain.initial`, in transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from model.networks.directory import save_tensors, write_atomically
from model.training.checkpoint.record import folder_of
from model.training.job import Job

if TYPE_CHECKING:
    from torch import Tensor


class Kept:
    """What one job keeps, and when."""

    def __init__(self, job: Job) -> None:
        self._job, self._rule = job, job.resources
        self.folder = job.kept / f"{job.train.objective}-{job.identity()[:12]}" if job.kept else None

    def wants(self, step: int, best: bool) -> bool:
        """Whether a step's weights are to be kept; `best`: its validation loss is the lowest so far."""
        return self.folder is not None and (self._every(step) or (best and self._rule.keep_best))

    def keep(self, step: int, best: bool, weights: Mapping[str, Tensor]) -> None:
        """Write them."""
        assert self.folder is not None, "asked only when wanted"
        if self._every(step):
            self._write(self.folder / folder_of(step), weights)
        if best and self._rule.keep_best:
            self._write(self.folder / "best", weights)
            write_atomically(self.folder / "best" / "best.json", (json.dumps({"step": step}) + "\n").encode())

    def _every(self, step: int) -> bool:
        return bool(self._rule.keep_every_steps) and step % self._rule.keep_every_steps == 0

    def _write(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        save_tensors(weights, self._job.decoder, self._job.vocab_size, folder, extra=self._job.told_with_model)
