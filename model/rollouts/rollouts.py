"""Rows made by the policy: a source for the trainer that samples replies, scores them and writes them before they are used.

Updates come in cycles. At the first update of a cycle the policy samples `group` replies to each of `prompts` questions; rewards score
them; they are written to the job's folder; and the cycle's updates learn from them, `inner_epochs` times, each time in another order.

Guarantee: prompts, their order and each reply's random numbers follow from (seed, cycle, prompt, sample) alone, whatever the number of
workers. A cycle that was written is read again, one that was being written is made again; so on one layout a run that was killed and
continued learns from the same bytes. On another layout replies not yet written may differ where rounding does.
Cost: generation by all workers while nothing is learned, and a forward pass for each token of the longest reply.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from data.shards.reader import ShardReader
from data.shards.schema import Array, ShardError
from data.shards.writer import token_dtype
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import Completion
from model.loading.order import batch_indices, rank_share, sample_order
from model.loading.source import BatchSchedule, BatchShare, Measured, StepRows, step_rows
from model.objectives.protocol import Objective
from model.rewards.kinds import Reply
from model.rollouts.config import RolloutConfig
from model.rollouts.cycle import Policy, Prompt, Rollout, TokenizerBinding, columns, lengths, open_cycle, write_cycle
from model.seeds import draw_seed

FOLDER = "rollouts"
RESAMPLED = "resampled"  # names the order of the prompts that replace others

Appraise = Callable[[dict[str, Array], Path], dict[str, Array]]  # (rows, folder of the cycle before) -> the rows with more columns


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
        appraise: Appraise | None = None,
    ) -> None:
        """`appraise`: adds columns to the rows of a cycle before they are written; every worker calls it."""
        self._prompts, self._config, self._policy, self._objective = prompts, config, policy, objective
        self._schedule, self._share, self._seed = schedule, share, seed
        self._chat_format, self._tokenizer, self._folder = chat_format, tokenizer, folder
        self._rewards = [(reward.label, reward.weight, reward.build()) for reward in config.rewards]
        self._verifier = config.verifier.build() if config.verifier else None
        self._width = max(len(prompt.tokens) for prompt in prompts) + config.max_new_tokens
        self._appraise = appraise
        self._cycle: tuple[int, ShardReader] | None = None

    def step(self, update: int, skipped: int = 0) -> StepRows:
        """Return this worker's rows of update number `update`, from 0, after making its cycle's replies if it is the first of them.

        They are ordered by length, so that a micro-batch of short replies is not computed as wide as the longest one.
        """
        position, size = self._schedule.sequences_before(update) + skipped, self._schedule.batch_at(update)
        replies = self._config.replies
        cycle, within = divmod(position, replies * self._config.inner_epochs)
        reader = self._open(cycle, begins=within == 0 or skipped > 0)
        # The order continues over epochs, each shuffled differently, so it never repeats the inner epoch before.
        indices = rank_share(batch_indices(self._seed, position, size, replies), self._share.rank, self._share.world_size)
        mine = position + rank_share(np.arange(size), self._share.rank, self._share.world_size)
        by_length = np.argsort(lengths(reader.rows(indices)), kind="stable")
        return step_rows(self._objective, reader.rows(indices[by_length]), mine[by_length], self._share)

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
        config, count = self._config, len(self._prompts)
        groups = self._sampled(cycle, 0, batch_indices(self._seed, cycle * config.prompts, config.prompts, count).tolist())
        sampled = config.prompts
        for _ in range(config.resample):
            # Every worker has all replies and scores them alike, so all ask for the same.
            if not (dull := [place for place, group in enumerate(groups) if len({rollout.reward for rollout in group}) == 1]):
                break
            order = sample_order(self._seed, cycle, count, RESAMPLED)
            others = [int(order[(sampled - config.prompts + number) % count]) for number in range(len(dull))]
            for place, group in zip(dull, self._sampled(cycle, sampled, others), strict=True):
                groups[place] = group
            sampled += len(dull)
        rollouts = [rollout._replace(group=place) for place, group in enumerate(groups) for rollout in group]
        rows = columns(rollouts, self._width, token_dtype(self._tokenizer.vocab_size))
        if self._appraise:
            rows = self._appraise(rows, self._folder / f"cycle-{cycle - 1:06d}")
        if self._policy.is_first:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_cycle(folder, rollouts, rows, self._tokenizer)
        self._policy.wait()
        reader = open_cycle(folder, self._tokenizer)
        if reader is None:
            raise ShardError(
                f"{folder} was written by the first worker, but this one does not see it: all nodes must see the job's folders"
            )
        return reader

    def _sampled(self, cycle: int, first: int, chosen: Sequence[int]) -> list[list[Rollout]]:
        """Return a scored group of replies to each of the chosen prompts; `first`: how many groups of this cycle were sampled before."""
        config = self._config
        numbers = range(first, first + len(chosen))
        seeds = [draw_seed(self._seed, cycle, group, n) for group in numbers for n in range(config.group)]
        sampling = SamplingConfig(temperature=config.temperature, top_k=None, top_p=None, max_new_tokens=config.max_new_tokens)
        asked = [self._prompts[number] for number in chosen for _ in range(config.group)]
        completions = self._policy.sample([prompt.tokens for prompt in asked], seeds, sampling, self._chat_format.stop_ids)
        scored = [self._score(prompt, completion) for prompt, completion in zip(asked, completions, strict=True)]
        return [scored[start : start + config.group] for start in range(0, len(scored), config.group)]

    def _score(self, prompt: Prompt, completion: Completion) -> Rollout:
        text = self._chat_format.decode(completion.tokens)
        reply = Reply(prompt.question, text, completion.ended, len(completion.tokens))
        rewards: dict[str, float] = {name: weight * reward.score(reply) for name, weight, reward in self._rewards}
        return Rollout(prompt, 0, completion, text, rewards, self._verifier.score(reply) if self._verifier else None)
