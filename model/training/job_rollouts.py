"""The rollouts of a job: its questions read and checked, in the chat format of its tokenizer."""

from __future__ import annotations

from model.inference.chat_format import ChatFormat
from model.loading.source import BatchShare
from model.objectives.protocol import Objective
from model.rollouts.config import RolloutConfig
from model.rollouts.cycle import TokenizerBinding
from model.rollouts.policy import Policy
from model.rollouts.prompts import read_prompts
from model.rollouts.rollouts import FOLDER, Appraise, Rollouts
from model.training.job import Job, JobError


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
