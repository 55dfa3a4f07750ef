"""A reference model's outputs for each row, computed once before the first update and kept with the checkpoints.

    reference-<job>/train, reference-<job>/val    rows that hold the columns of `objective.cacheable` alone

Guarantee: an existing cache is complete, flushed to disk, and of this job; a run that was killed while making it makes it again.
Cost: one forward pass over all rows by all workers together, and 4 bytes a number. It spares the reference's passes in every step, and its
copy of the weights.
"""

from __future__ import annotations

import shutil

import numpy as np

from data.shards.durable import commit_folder
from data.shards.metadata import METADATA
from data.shards.reader import ShardReader
from data.shards.schema import Array, ShardError
from data.shards.writer import write_shards
from model.loading.joined_rows import JoinedRows, RowReader
from model.loading.source import BatchShare, shared_batches
from model.objectives.protocol import Cacheable
from model.rollouts.cycle import Policy
from model.training.job import Job

KIND = "reference"


def with_reference(rows: RowReader, part: str, job: Job, objective: Cacheable, share: BatchShare, policy: Policy) -> JoinedRows:
    """Return the rows with the outputs of the model before training as columns. A collective: every worker calls it.

    `part`: train or val. Raise ShardError if the cache is damaged.
    """
    folder = job.checkpoints / f"{KIND}-{job.identity()[:12]}" / part
    if not (folder / METADATA).exists():
        values = policy.cached(shared_batches(rows, objective, share), len(rows), len(objective.cacheable))
        if policy.is_first:
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            columns: dict[str, Array] = {name: values[:, number].astype(np.float32) for number, name in enumerate(objective.cacheable)}
            write_shards(
                partial,
                KIND,
                columns,
                sequence_length=job.network.context,
                tokenizer_digest=job.tokenizer_digest,
                vocab_size=job.vocab_size,
            )
            commit_folder(partial, folder)
        policy.wait()
    reader = ShardReader(folder)
    reader.verify()
    if len(reader) != len(rows):
        raise ShardError(f"{folder} holds {len(reader)} rows, the shards {len(rows)}; remove {folder.parent} to make it again")
    return JoinedRows(rows, reader)
