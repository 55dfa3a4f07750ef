"""Checkpoints: saved by every worker, in force once `latest.json` names them.

Guarantee: a kill or a power cut at any moment leaves the last whole checkpoint in force, because its files are on the disk itself before
the record is renamed into place; resuming on the same layout (workers and ZeRO stage) is bit-exact. The last two are kept.
When it can't: a checkpoint of another job (configuration, seed, inputs) is an error, and so is a disk that does not take one; the one
before it stays in force. On another layout DeepSpeed cannot load it: the run starts afresh and says so in its progress.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import distributed

from model.training.job import Job, JobError
from model.training.latest import RECORD, Latest
from model.training.parallel.engines import AnyEngine

KEPT = 2


class CheckpointError(OSError):
    """The disk does not take a checkpoint."""


class Checkpoints:
    """The checkpoints of one job in its `checkpoints` directory."""

    def __init__(self, job: Job) -> None:
        self.directory = job.checkpoints
        self._identity = job.identity()
        self._workers, self._zero_stage = job.resources.parallel.workers, job.resources.parallel.zero_stage

    def latest(self) -> tuple[Latest | None, str]:
        """The checkpoint to continue from, if any, and a note when there is one that cannot be used."""
        latest = Latest.read(self.directory)
        if latest is None:
            return None, ""
        if latest.identity != self._identity:
            raise JobError(
                f"{self.directory / RECORD} belongs to job {latest.identity[:12]}, this is job {self._identity[:12]}: another "
                f"configuration, seed or input; remove {self.directory} to start afresh, or restore what was changed"
            )
        if (latest.workers, latest.zero_stage) != (self._workers, self._zero_stage):
            return None, (
                f"starting afresh: the checkpoint of step {latest.step} was saved by {latest.workers} workers at ZeRO "
                f"{latest.zero_stage} and cannot be loaded by {self._workers} at ZeRO {self._zero_stage}"
            )
        return latest, ""

    def load(self, engine: AnyEngine, latest: Latest) -> None:
        """Put weights, optimizer and schedule back to where they were after `latest.step`."""
        path, _ = engine.deepspeed.load_checkpoint(str(self.directory), tag=_tag(latest.step))
        if path is None:
            raise JobError(f"{self.directory / _tag(latest.step)} is damaged; remove {self.directory} to start afresh")

    def save(self, engine: AnyEngine, step: int) -> None:
        """All workers call this after finishing `step`. Raises CheckpointError naming the step and the place."""
        folder = self.directory / _tag(step)
        if engine.place.leads:
            # What an interrupted save left under this name is no part of the new one.
            shutil.rmtree(folder, ignore_errors=True)
        distributed.barrier()
        with self._writing(step):
            engine.deepspeed.save_checkpoint(str(self.directory), tag=folder.name, save_latest=False)
        distributed.barrier()
        if engine.place.leads:
            with self._writing(step):
                for path in (*folder.iterdir(), folder, *self.directory.glob("*.jsonl")):
                    _to_disk(path)
                Latest(step=step, identity=self._identity, workers=self._workers, zero_stage=self._zero_stage).write(self.directory)
            for old in sorted(self.directory.glob("step-*"))[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def _writing(self, step: int) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            # torch tells of a full disk in a RuntimeError that doesn't name it.
            free, why = shutil.disk_usage(self.directory).free, str(error).splitlines()[0]
            raise CheckpointError(
                f"the checkpoint of step {step} can't be written to {self.directory}, where {free:,} bytes are free ({why}). "
                "Free space or make it writable"
            ) from error


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _tag(step: int) -> str:
    return f"step-{step:09d}"
