"""The rows of a job: shards opened and checked, in the order that seed and mixture ask for, or rollouts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from data.shards.metadata import ShardMetadata, read_metadata
from data.shards.reader import ShardReader
from model.inference.chat_format import ChatFormat
from model.loading.joined_rows import ReplayedRows, RowReader, WordRows
from model.loading.order import MixtureOrder, batch_indices
from model.loading.packed_rows import PackedRows, TokenDropout
from model.loading.source import BatchShare
from model.objectives.next_token import NextToken
from model.objectives.protocol import Objective
from model.rollouts.config import RolloutConfig
from model.rollouts.cycle import Policy, TokenizerBinding, read_prompts
from model.rollouts.rollouts import FOLDER, Appraise, Rollouts
from model.training.job import Job, JobError
from model.training.train_config import CorpusTrainConfig

Extend = Callable[[RowReader, str], RowReader]  # (rows, part) -> the same rows with more columns


def job_batches(
    job: Job, objective: Objective, device: torch.device, rank: int = 0, world_size: int = 1, extend: Extend | None = None
) -> PackedRows:
    """Return the batches of worker `rank` of the `world_size` that share each global batch; without validation if no rows are held out.

    `extend`: adds columns to the job's own rows, of the part train or val.
    Raise JobError or ShardError if the shards are not what the job needs.
    """
    if job.train_shards is None:
        raise JobError(f"train_shards is missing: there are no packed rows for kind={job.train.kind}")
    reads = objective.reads
    extend = _with_words if job.train.reads_words else extend
    own = _with_rows(_open_shards(job.train_shards, job, reads))
    own_val = _open_val(job, reads)
    train = _with_replay(job, _extended(own, "train", extend), "train")
    val = _with_replay(job, _extended(own_val, "val", extend), "val") if own_val else None
    mixture = _mixture_order(job, own.metadata)
    if isinstance(train, ReplayedRows):
        mixture = train.order(job.seed, job.train.sequences_before(job.total_steps))
    return PackedRows(
        train,
        val,
        objective,
        mixture.indices if mixture else partial(batch_indices, job.seed, rows=len(train)),
        job.train,
        BatchShare(rank, world_size, job.micro_batch, device),
        total_steps=job.total_steps,
        eval_rows=job.train.eval_rows,
        loader_threads=job.resources.loader_threads,
        dropout=TokenDropout(job.train.dropped_tokens, job.seed) if job.train.dropped_tokens else None,
    )


def count_epochs(job: Job) -> dict[str, float]:
    """Return how many times the whole job goes through its rows: `epochs_<source>` for each source of a mixture, else `epochs`.

    With replay, `epochs` are those of its own rows, `epochs_replay` those of the replayed ones. Empty for a kind of
    training that makes its rows itself.
    """
    if job.train_shards is None:
        return {}
    shards, sequences = read_metadata(job.train_shards), job.train.sequences_before(job.total_steps)
    own = job.train.rows_in(shards.rows, shards.kind)
    if job.replayed:
        replay, share = read_metadata(job.replayed / "train"), job.train.replay_share
        sizes = {"epochs": ((1 - share) * sequences, own), "epochs_replay": (share * sequences, replay.rows)}
        return {name: read / rows for name, (read, rows) in sizes.items() if rows}
    mixture = _mixture_order(job, shards)
    if mixture is None:
        return {"epochs": sequences / own} if own else {}
    return {f"epochs_{name}": times for name, times in mixture.epochs(sequences).items()}


def _with_words(rows: RowReader, part: str) -> RowReader:
    assert isinstance(rows, ShardReader), "words are known of rows as their shards hold them"
    return WordRows(rows)


def _extended(own: ShardReader, part: str, extend: Extend | None) -> RowReader:
    return extend(own, part) if extend else own


def _with_replay(job: Job, own: RowReader, part: str) -> RowReader:
    """Return the rows of a step with those that are replayed among them, if there are any."""
    if job.replayed is None:
        return own
    replay = _open_shards(job.replayed / part, job, NextToken.reads)
    return ReplayedRows(own, replay if part == "val" else _with_rows(replay), job.train.replay_share)


def _open_val(job: Job, reads: tuple[str, ...]) -> ShardReader | None:
    """Return the validation rows; None if none are measured or none were held out. Raise JobError if the job needs some that aren't."""
    if job.val_shards is None or not job.train.eval_rows:
        return None
    reader = _open_shards(job.val_shards, job, reads)
    if not len(reader) and (setting := job.train.needs_validation):
        raise JobError(
            f"{job.val_shards} has no rows, so there is no validation loss, which {setting} needs; hold rows out for validation, or leave "
            f"{setting} out"
        )
    return reader if len(reader) else None


def _open_shards(directory: Path, job: Job, reads: tuple[str, ...]) -> ShardReader:
    reader = ShardReader(directory)
    metadata = reader.metadata
    reader.expect(job.tokenizer_digest, job.vocab_size)
    if metadata.kind not in reads:
        kinds = " or ".join(reads)
        raise JobError(f"{directory} holds {metadata.kind} rows; {job.train.kind} reads {kinds} rows")
    if metadata.sequence_length > job.network.context:
        raise JobError(f"{directory} has rows of {metadata.sequence_length} tokens, the model's context is {job.network.context}")
    for wanted in job.network.inputs if len(reader) else ():
        wanted.require(reader)
    return reader


def _with_rows(reader: ShardReader) -> ShardReader:
    if not len(reader):
        raise JobError(f"{reader.directory} has no rows, so there is nothing to train on; see what packing left out")
    return reader


def _mixture_order(job: Job, shards: ShardMetadata) -> MixtureOrder | None:
    """The order that the job's mixture asks for; None without one."""
    phases = job.train.mixture if isinstance(job.train, CorpusTrainConfig) else ()
    if not phases:
        return None
    sequences = job.train.sequences_before(job.total_steps)
    return MixtureOrder(job.seed, phases, sequences, {source.name: source.rows for source in shards.sources})


def job_rollouts(
    job: Job, config: RolloutConfig, objective: Objective, share: BatchShare, policy: Policy, appraise: Appraise | None = None
) -> Rollouts:
    """Return a worker's rollouts, written below the job's checkpoints; raise JobError for a tokenizer or question that does not fit.

    `appraise`: adds columns to the rows of each cycle.
    """
    if job.questions is None or job.tokenizer is None:
        raise JobError(f"questions or tokenizer is missing: kind={job.train.kind} samples replies to questions")
    chat_format = ChatFormat(job.tokenizer)
    if chat_format.digest != job.tokenizer_digest:
        raise JobError(
            f"{job.tokenizer} holds tokenizer {chat_format.digest[:12]}, the model uses {job.tokenizer_digest[:12]}; give the model's own"
        )
    try:
        prompts = read_prompts(job.questions, chat_format, job.network.context, config.max_new_tokens)
    except ValueError as error:
        raise JobError(str(error)) from error
    return Rollouts(
        prompts,
        config,
        policy,
        objective,
        job.train,
        share,
        seed=job.seed,
        chat_format=chat_format,
        tokenizer=TokenizerBinding(chat_format.digest, job.vocab_size),
        folder=job.checkpoints / FOLDER,
        appraise=appraise,
    )
