"""Checkpoints: taken in the step, written while training goes on, in force once `latest.json` names them.

Guarantee: a kill or a power cut at any moment leaves the last whole checkpoint in force, because its files are on the disk itself before
the record is renamed into place. Resuming on the same layout (workers and ZeRO stage) is bit-exact; on another one it goes on with the
same numbers, spread anew, and the same samples.
Cost: in the step, a copy in the processor's memory; the disk is written in a thread of each worker. The next checkpoint, and the end,
wait for it.
When it can't: a checkpoint of another job (configuration, seed, inputs) is an error, and so is a disk that does not take one, told at
the next step; the one before it stays in force.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Thread
from typing import Any

from torch import distributed

from model.training.checkpoint import checkpoint_files
from model.training.checkpoint.best import forget_best
from model.training.checkpoint.checkpoint_files import Share, to_disk
from model.training.checkpoint.record import RECORD, Latest, folder_of
from model.training.job import Job, JobError
from model.training.parallel.engines import AnyEngine


class CheckpointError(OSError):
    """The disk does not take a checkpoint."""


class Checkpoints:
    """The checkpoints of one job in its `checkpoints` directory."""

    def __init__(self, job: Job) -> None:
        self.directory = job.checkpoints
        self._identity, self._resources, self._guards = job.identity(), job.resources, job.train.guards
        self._writing: _Writing | None = None

    def latest(self) -> Latest | None:
        """The checkpoint to continue from, if any."""
        latest = Latest.read(self.directory)
        if latest and latest.identity != self._identity:
            raise JobError(
                f"{self.directory / RECORD} belongs to job {latest.identity[:12]}, this is job {self._identity[:12]}: another "
                f"configuration, seed or input; remove {self.directory} to start afresh, or restore what was changed"
            )
        return latest

    def load(self, engine: AnyEngine, latest: Latest) -> str:
        """Put weights, optimizer and schedule back to where they were after `latest.step`; tells so in words."""
        checkpoint_files.load(engine, self.directory / latest.folder)
        parallel = self._resources.parallel
        moved = (latest.workers, latest.zero_stage) != (parallel.workers, parallel.zero_stage)
        by = f", saved by {latest.workers} workers at ZeRO {latest.zero_stage}" if moved else ""
        return f"continuing from the checkpoint of step {latest.step}{by}"

    def save(self, engine: AnyEngine, step: int, memory: dict[str, Any]) -> None:
        """All workers call this after finishing `step`; what they compute next does not change what is written."""
        self.finish(engine)
        folder = self.directory / folder_of(step)
        if engine.place.leads:
            # What an interrupted save left under this name is no part of the new one.
            shutil.rmtree(folder, ignore_errors=True)
        distributed.barrier()
        parallel = self._resources.parallel
        latest = Latest(step=step, identity=self._identity, workers=parallel.workers, zero_stage=parallel.zero_stage, memory=memory)
        self._writing = _Writing(self.directory, latest, engine, checkpoint_files.take(engine))

    def of(self, step: int) -> Latest:
        """The record of a step's checkpoint, which must be there still."""
        latest = Latest.read(self.directory / folder_of(step))
        if latest is None:
            raise JobError(f"{self.directory / folder_of(step)} is missing; remove {self.directory} to start afresh")
        return latest

    def go_back(self, engine: AnyEngine, before: Latest, memory: dict[str, Any]) -> None:
        """Put an earlier checkpoint in force again, with what is remembered now, and forget those after it. `finish` comes before."""
        distributed.barrier()
        if engine.place.leads:
            before.model_copy(update={"memory": memory}).write(self.directory)
            for folder in self._folders():
                if folder.name > before.folder:
                    shutil.rmtree(folder)
        checkpoint_files.load(engine, self.directory / before.folder)

    @property
    def written(self) -> bool:
        """Whether this worker's share of a checkpoint that is not in force yet lies on the disk."""
        return self._writing is not None and self._writing.done()

    def put_in_force(self, engine: AnyEngine) -> None:
        """Once every worker has `written`."""
        if self._writing and engine.place.leads:
            self._writing.latest.write(self.directory)
            self._forget()
        self._writing = None

    def finish(self, engine: AnyEngine) -> None:
        """Wait for what is being written, on all workers. Raises CheckpointError naming the step and the place."""
        if self._writing:
            self._writing.wait()
            distributed.barrier()
            self.put_in_force(engine)

    def _folders(self) -> list[Path]:
        return sorted(self.directory.glob("step-*"))

    def _forget(self) -> None:
        """Keep the last ones by the rule of resources, and the one that a rollback would go back to."""
        folders = self._folders()
        guards = self._guards
        bases = [folder for folder in folders if int(folder.name.removeprefix("step-")) % guards.rollback_every_steps == 0]
        kept = {*folders[-self._resources.keep_last :], *(bases[-1:] if guards.rolls_back else [])}
        for folder in folders:
            if folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        forget_best(self.directory)


class _Writing:
    """A share on its way to the disk, in a thread."""

    def __init__(self, directory: Path, latest: Latest, engine: AnyEngine, share: Share) -> None:
        self.latest, self._directory = latest, directory
        self._error: Exception | None = None
        rank, world = engine.place.rank, engine.place.world
        # A thread that the interpreter need not wait for: a run that fails ends at once.
        self._thread = Thread(target=self._write, args=(rank, world, share), name="checkpoint", daemon=True)
        self._thread.start()

    def _write(self, rank: int, world: int, share: Share) -> None:
        folder = self._directory / self.latest.folder
        try:
            folder.mkdir(exist_ok=True)
            checkpoint_files.write(folder, rank, world, share)
            if rank == 0:
                self.latest.write(folder)
                for path in self._directory.glob("*.jsonl"):
                    to_disk(path)
        except Exception as error:  # noqa: BLE001  # whatever it is, `wait` raises it
            self._error = error

    def done(self) -> bool:
        if self._thread.is_alive():
            return False
        self.wait()
        return True

    def wait(self) -> None:
        self._thread.join()
        if self._error:
            free, why = shutil.disk_usage(self._directory).free, str(self._error).splitlines()[0]
            raise CheckpointError(
                f"the checkpoint of step {self.latest.step} can't be written to {self._directory}, where {free:,} bytes are free ({why}). "
                "Free space or make it writable"
            ) from self._error
