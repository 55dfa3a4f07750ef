"""Checkpoints: copied within a step, written to disk while training continues, current once `latest.json` names them.

Guarantee: a kill or a power cut at any moment leaves the last complete checkpoint current, because its files are flushed to disk before
the record is renamed into place. Resuming on the same layout (workers and ZeRO stage) is bit-exact; on another one it continues with the
same numbers, distributed anew, and the same samples.
Cost: a copy to CPU memory within the step, which on an accelerator the host does not wait for; a thread of each worker writes it to disk.
The next checkpoint, and the end of the run, wait for that thread.
Failure: a checkpoint of another job (configuration, seed, inputs) is an error. So is a failed write, raised at the next step;
the checkpoint before it stays current.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Thread
from typing import Any

from data.shards.durable import flush_to_disk
from model.training.checkpoint import files
from model.training.checkpoint.record import RECORD, CheckpointRecord, folder_of
from model.training.checkpoint.retained import remove_stale_best
from model.training.distributed import HostExchange
from model.training.job import Job, JobError
from model.training.parallel.engines import AnyEngine


class CheckpointError(OSError):
    """A checkpoint can't be written."""


class Checkpoints:
    """The checkpoints of one job, in its `checkpoints` directory."""

    def __init__(self, job: Job, exchange: HostExchange) -> None:
        """`exchange`: where workers wait for each other's disks."""
        self.directory, self._exchange = job.checkpoints, exchange
        self._identity, self._resources, self._guards = job.identity(), job.resources, job.train.guards
        self._pending: _PendingWrite | None = None

    def current(self) -> CheckpointRecord | None:
        """Return the checkpoint to continue from, if any; JobError if it belongs to another job."""
        record = CheckpointRecord.read(self.directory)
        if record and record.identity != self._identity:
            raise JobError(
                f"{self.directory / RECORD} belongs to job {record.identity[:12]}, this is job {self._identity[:12]}: its configuration, "
                f"seed or inputs differ; remove {self.directory} to start afresh, or restore what was changed"
            )
        return record

    def load(self, engine: AnyEngine, record: CheckpointRecord) -> str:
        """Restore weights, optimizer and schedule as they were after `record.step`; return a message that says so."""
        files.load(engine, self.directory / record.folder)
        parallel = self._resources.parallel
        moved = (record.workers, record.zero_stage) != (parallel.workers, parallel.zero_stage)
        by = f", saved by {record.workers} workers at ZeRO {record.zero_stage}" if moved else ""
        return f"continuing from the checkpoint of step {record.step}{by}"

    def save(self, engine: AnyEngine, step: int, memory: dict[str, Any]) -> None:
        """Start writing a checkpoint; all workers call this after finishing `step`. Later updates do not change what is written."""
        self.finish(engine)
        folder = self.directory / folder_of(step)
        if engine.worker.is_first:
            # An interrupted save may have left files under this name.
            shutil.rmtree(folder, ignore_errors=True)
        self._exchange.wait_for_writer()
        parallel = self._resources.parallel
        record = CheckpointRecord(
            step=step, identity=self._identity, workers=parallel.workers, zero_stage=parallel.zero_stage, memory=memory
        )
        self._pending = _PendingWrite(self.directory, record, engine, files.snapshot(engine))

    def record_of(self, step: int) -> CheckpointRecord:
        """Return the record of a step's checkpoint; JobError if it is gone."""
        record = CheckpointRecord.read(self.directory / folder_of(step))
        if record is None:
            raise JobError(f"{self.directory / folder_of(step)} is missing; remove {self.directory} to start afresh")
        return record

    def go_back(self, engine: AnyEngine, record: CheckpointRecord, memory: dict[str, Any]) -> None:
        """Make an earlier checkpoint current again, with `memory` in place of its own, and remove later ones. Call `finish` first."""
        self._exchange.wait_for_writer()
        if engine.worker.is_first:
            record.model_copy(update={"memory": memory}).write(self.directory)
            for folder in self._folders():
                if folder.name > record.folder:
                    shutil.rmtree(folder)
        files.load(engine, self.directory / record.folder)

    @property
    def written(self) -> bool:
        """Whether this worker has finished writing its files of a checkpoint that is not current yet."""
        return self._pending is not None and self._pending.done()

    def make_current(self, engine: AnyEngine) -> None:
        """Make the pending checkpoint the current one; call it once every worker has `written`."""
        if self._pending and engine.worker.is_first:
            self._pending.record.write(self.directory)
            self._remove_old()
        self._pending = None

    def finish(self, engine: AnyEngine) -> None:
        """Wait until all workers have written, and make the checkpoint current. Raise CheckpointError if the disk refuses it."""
        if self._pending:
            self._pending.wait()
            self._exchange.wait_for_writer()
            self.make_current(engine)

    def _folders(self) -> list[Path]:
        return sorted(self.directory.glob("step-*"))

    def _remove_old(self) -> None:
        """Keep the newest `keep_last` checkpoints and the one that a rollback would go back to."""
        folders = self._folders()
        guards = self._guards
        bases = [folder for folder in folders if int(folder.name.removeprefix("step-")) % guards.rollback_every_steps == 0]
        retained = {*folders[-self._resources.keep_last :], *(bases[-1:] if guards.rolls_back else [])}
        for folder in folders:
            if folder not in retained:
                shutil.rmtree(folder, ignore_errors=True)
        remove_stale_best(self.directory)


class _PendingWrite:
    """One worker's files on their way to disk, written in a thread."""

    def __init__(self, directory: Path, record: CheckpointRecord, engine: AnyEngine, content: files.WorkerFile) -> None:
        self.record, self._directory = record, directory
        self._error: Exception | None = None
        rank, world_size = engine.worker.rank, engine.worker.world_size
        # A daemon thread, so a failing run ends at once.
        self._thread = Thread(target=self._write, args=(rank, world_size, content), name="checkpoint", daemon=True)
        self._thread.start()

    def _write(self, rank: int, world_size: int, content: files.WorkerFile) -> None:
        folder = self._directory / self.record.folder
        try:
            folder.mkdir(exist_ok=True)
            files.write(folder, rank, world_size, content)
            if rank == 0:
                self.record.write(folder)
                for path in self._directory.glob("*.jsonl"):
                    flush_to_disk(path)
        except Exception as error:  # noqa: BLE001  # `wait` raises it
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
                f"the checkpoint of step {self.record.step} can't be written to {self._directory}, where {free:,} bytes are free ({why}). "
                "Free space or make it writable"
            ) from self._error
