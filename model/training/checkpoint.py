"""Checkpoints: saved by every worker, in force once `latest.json` names them.

Guarantee: a kill at any moment leaves the last whole checkpoint in force, because the record is written last and
renamed into place; resuming on the same layout (workers and ZeRO stage) is bit-exact. The last two are kept.
When it can't: a checkpoint of another job (configuration, seed, inputs) is an error. On another layout DeepSpeed cannot
load it: the run starts afresh and says so in its progress.
"""

from __future__ import annotations

import json
import shutil

import deepspeed
from pydantic import BaseModel
from torch import distributed

from model.architecture.directory import write_whole
from model.training.job import Job, JobError

KEPT = 2
RECORD = "latest.json"


class Latest(BaseModel, frozen=True):
    """Which checkpoint is in force, whose it is, and the layout that it was saved on."""

    step: int
    identity: str
    workers: int
    zero_stage: int


class Checkpoints:
    """The checkpoints of one job in its `checkpoints` directory."""

    def __init__(self, job: Job) -> None:
        self.directory = job.checkpoints
        self._identity = job.identity()
        self._workers, self._zero_stage = job.resources.workers, job.resources.zero_stage

    def latest(self) -> tuple[Latest | None, str]:
        """The checkpoint to continue from, if any, and a note when there is one that cannot be used."""
        path = self.directory / RECORD
        if not path.exists():
            return None, ""
        latest = Latest.model_validate_json(path.read_text(encoding="utf-8"))
        if latest.identity != self._identity:
            raise JobError(
                f"{path} belongs to job {latest.identity[:12]}, this is job {self._identity[:12]}: another configuration, "
                f"seed or input; remove {self.directory} to start afresh, or restore what was changed"
            )
        if (latest.workers, latest.zero_stage) != (self._workers, self._zero_stage):
            return None, (
                f"starting afresh: the checkpoint of step {latest.step} was saved by {latest.workers} workers at ZeRO "
                f"{latest.zero_stage} and cannot be loaded by {self._workers} at ZeRO {self._zero_stage}"
            )
        return latest, ""

    def load(self, engine: deepspeed.DeepSpeedEngine, latest: Latest) -> None:
        """Put weights, optimizer and schedule back to where they were after `latest.step`."""
        path, _ = engine.load_checkpoint(str(self.directory), tag=_tag(latest.step))
        if path is None:
            raise JobError(f"{self.directory / _tag(latest.step)} is damaged; remove {self.directory} to start afresh")

    def save(self, engine: deepspeed.DeepSpeedEngine, step: int) -> None:
        """All workers call this after finishing `step`."""
        if engine.global_rank == 0:
            # What an interrupted save left under this name is no part of the new one.
            shutil.rmtree(self.directory / _tag(step), ignore_errors=True)
        distributed.barrier()
        engine.save_checkpoint(str(self.directory), tag=_tag(step), save_latest=False)
        distributed.barrier()
        if engine.global_rank == 0:
            record = Latest(step=step, identity=self._identity, workers=self._workers, zero_stage=self._zero_stage)
            write_whole(self.directory / RECORD, (json.dumps(record.model_dump(), indent=2) + "\n").encode())
            for old in sorted(self.directory.glob("step-*"))[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)


def _tag(step: int) -> str:
    return f"step-{step:09d}"
