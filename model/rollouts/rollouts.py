"""Rows that the policy makes itself: a source for the trainer that samples replies, scores them and writes them before they are used.

Updates come in cycles. At the first update of a cycle the policy samples `group` replies to each of `prompts` questions; rewards score
them; they are written to the job's folder; and the cycle's updates learn from them, `inner_epochs` times, each time in another order.

Guarantee: prompts, their order and each reply's random numbers follow from (seed, cycle, prompt, sample) alone, whatever the number of
workers. A cycle that was written is read again, one that was being written is made again; so on one layout a run that was killed and
continued learns from the same bytes. On another layout replies not yet written may differ where rounding does.
Cost: generation by all workers while nothing is learned, and a forward pass for each token of the longest reply.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from data.shards.reader import ShardReader
from data.shards.schema import ShardError
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.loading.order import batch_indices, rank_share
from model.loading.source import BatchSchedule, BatchShare, Measured, StepRows, step_rows
from model.objectives.protocol import Objective
from model.rewards.protocol import Reply
from model.rollouts.config import RolloutConfig
from model.rollouts.cycle import Rollout, TokenizerBinding, open_cycle, write_cycle
from model.rollouts.policy import Policy
from model.rollouts.prompts import Prompt

FOLDER = "rollouts"


class Rollouts:
    """The rows of one worker. `folder`: where cycles are written; it must outlive a killed run, and all workers must see it."""

    def __init__(
        self,
        prompts: Sequence[Prompt],
        config: RolloutConfig,
        policy: Policy,
        objective: Objective,
        schedule: BatchSchedule,
        share: BatchShare,
        *,
        seed: int,
        chat_format: ChatFormat,
        tokenizer: TokenizerBinding,
        folder: Path,
    ) -> None:
        self._prompts, self._config, self._policy, self._objective = prompts, config, policy, objective
        self._schedule, self._share, self._seed = schedule, share, seed
        self._chat_format, self._tokenizer, self._folder = chat_format, tokenizer, folder
        self._rewards = [(reward.kind, reward.weight, reward.build()) for reward in config.rewards]
        self._width = max(len(prompt.tokens) for prompt in prompts) + config.max_new_tokens
        self._cycle: tuple[int, ShardReader] | None = None

    def step(self, update: int, skipped: int = 0) -> StepRows:
        """Return this worker's rows of update number `update`, from 0, after making its cycle's replies if it is the first of them."""
        position, size = self._schedule.sequences_before(update) + skipped, self._schedule.batch_at(update)
        replies = self._config.replies
        cycle, within = divmod(position, replies * self._config.inner_epochs)
        reader = self._open(cycle, begins=within == 0 or skipped > 0)
        # The order continues over epochs, and each has one of its own, so it is never that of the inner epoch before.
        indices = rank_share(batch_indices(self._seed, position, size, replies), self._share.rank, self._share.world_size)
        mine = position + rank_share(np.arange(size), self._share.rank, self._share.world_size)
        return step_rows(self._objective, reader.rows(indices), mine, self._share)

    def samples(self, update: int, skipped: int = 0) -> bool:
        """Return whether a cycle begins with this update; after a skip any may."""
        position = self._schedule.sequences_before(update) + skipped
        return skipped > 0 or position % (self._config.replies * self._config.inner_epochs) == 0

    def validation(self) -> Iterator[Measured]:
        """Yield nothing: what a reply is worth is known only once it is sampled."""
        return iter(())

    def memorization_passages(self, passages: int, copy_tokens: int, seed: int) -> Iterator[Measured]:
        """Yield nothing: rows are not training text."""
        return iter(())

    def prompts(self, count: int, length: int) -> Tensor | None:
        """Return None: all replies are kept anyway."""
        return None

    def finish(self, output: Path) -> None:
        """Copy all cycles into the model's directory."""
        shutil.copytree(self._folder, output / FOLDER, ignore=shutil.ignore_patterns("*.partial"), dirs_exist_ok=True)

    def _open(self, cycle: int, *, begins: bool) -> ShardReader:
        if self._cycle is None or self._cycle[0] != cycle:
            folder = self._folder / f"cycle-{cycle:06d}"
            reader = open_cycle(folder, self._tokenizer)
            if reader is None and not begins:
                raise ShardError(
                    f"{folder} is missing, and later weights would make other replies; remove {self._folder.parent} to start afresh"
                )
            self._cycle = cycle, reader or self._make(cycle, folder)
        return self._cycle[1]

    def _make(self, cycle: int, folder: Path) -> ShardReader:
        """Sample, score and write a cycle's replies; all workers read what the first has written."""
        config = self._config
        chosen = batch_indices(self._seed, cycle * config.prompts, config.prompts, len(self._prompts)).tolist()
        groups = [(group, self._prompts[number]) for group, number in enumerate(chosen) for _ in range(config.group)]
        seeds = [completion_seed(self._seed, cycle, group, n) for group in range(config.prompts) for n in range(config.group)]
        sampling = SamplingConfig(temperature=config.temperature, top_k=None, top_p=None, max_new_tokens=config.max_new_tokens)
        completions = self._policy.sample([prompt.tokens for _, prompt in groups], seeds, sampling, self._chat_format.stop_ids)
        if self._policy.is_first:
            rollouts = []
            for (group, prompt), completion in zip(groups, completions, strict=True):
                text = self._chat_format.decode(completion.tokens)
                reply = Reply(prompt.question, text, completion.ended)
                rewards: dict[str, float] = {kind: weight * reward.score(reply) for kind, weight, reward in self._rewards}
                rollouts.append(Rollout(prompt, group, completion, text, rewards))
            self._folder.mkdir(parents=True, exist_ok=True)
            write_cycle(folder, rollouts, self._width, self._tokenizer)
        self._policy.wait()
        reader = open_cycle(folder, self._tokenizer)
        if reader is None:
            raise ShardError(
                f"{folder} was written by the first worker, but this one does not see it: all nodes must see the job's folders"
            )
        return reader


def completion_seed(seed: int, cycle: int, prompt: int, sample: int) -> int:
    """Return the seed of one reply, so that it does not depend on what is sampled with it."""
    return int(np.random.SeedSequence([seed, cycle, prompt, sample]).generate_state(1, np.uint64)[0] >> 1)
