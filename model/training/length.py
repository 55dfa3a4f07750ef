"""How long training lasts: updates, the sequences in each, and how their number grows at the start.

Steps count optimizer updates from 1; a batch is counted in sequences of the model's context. Cheap to import (pydantic alone).
"""

from __future__ import annotations

from bisect import bisect_left

from pydantic import BaseModel, Field, model_validator


class TrainingLength(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The updates of a training run and the sequences in each."""

    steps: int = Field(0, ge=0, description="optimizer steps; 0: as many as `tokens` needs")
    tokens: int = Field(0, ge=0, description="tokens to train on, padding included, instead of steps; tokens")
    global_batch: int = Field(32, ge=1, description="sequences (or preference pairs) per step, over all workers")
    batch_warmup_steps: int = Field(0, ge=0, description="steps over which the batch grows to global_batch; 0: no growth")
    batch_warmup_from: int = Field(
        0, ge=0, description="sequences in the first step of that growth, and in each increment; a divisor of global_batch"
    )

    @model_validator(mode="after")
    def _one_length(self) -> TrainingLength:
        if (self.steps > 0) == (self.tokens > 0):
            raise ValueError(f"steps={self.steps} and tokens={self.tokens}: set exactly one of them above 0")
        return self

    @model_validator(mode="after")
    def _batch_grows(self) -> TrainingLength:
        if self.batch_warmup_steps and (self.batch_warmup_from < 1 or self.global_batch % self.batch_warmup_from):
            raise ValueError(
                f"batch_warmup_from={self.batch_warmup_from} does not divide global_batch={self.global_batch}, the batch after "
                f"batch_warmup_steps={self.batch_warmup_steps}; choose a divisor, or batch_warmup_steps=0"
            )
        if self.batch_warmup_steps and self.batch_warmup_from == self.global_batch:
            raise ValueError(
                f"batch_warmup_from={self.batch_warmup_from} equals global_batch, so batch_warmup_steps={self.batch_warmup_steps} "
                "does nothing; choose a smaller divisor, or batch_warmup_steps=0"
            )
        return self

    @property
    def smallest_batch(self) -> int:
        """Sequences in the first update; every batch is a multiple of it."""
        return self.batch_warmup_from if self.batch_warmup_steps else self.global_batch

    def total_steps(self, context: int) -> int:
        """Return the number of optimizer steps for sequences of `context` tokens, at least 1; as close to `tokens` as possible."""
        if self.steps:
            return self.steps
        wanted, grown = self.tokens / context, self.sequences_before(self.batch_warmup_steps)
        if wanted >= grown:
            return max(1, self.batch_warmup_steps + round((wanted - grown) / self.global_batch))
        after = bisect_left(range(self.batch_warmup_steps), wanted, key=self.sequences_before)
        return max(1, min(after, after - 1, key=lambda steps: abs(self.sequences_before(steps) - wanted)))

    def batch_at(self, update: int) -> int:
        """Sequences in update number `update`, from 0. During the warm-up they grow by `batch_warmup_from` at even intervals."""
        if update >= self.batch_warmup_steps:
            return self.global_batch
        increments = self.global_batch // self.batch_warmup_from - 1
        return self.batch_warmup_from * (1 + increments * update // self.batch_warmup_steps)

    def sequences(self, context: int) -> int:
        """Sequences of `context` tokens in the whole run."""
        return self.sequences_before(self.total_steps(context))

    def sequences_before(self, update: int) -> int:
        """Sequences in all updates before number `update`, from 0: its position in the order of rows."""
        growing = min(update, self.batch_warmup_steps)
        rest = (update - growing) * self.global_batch
        if not growing:
            return rest
        increments = self.global_batch // self.batch_warmup_from - 1
        # Increment number s begins at the first update with increments * update >= s * batch_warmup_steps.
        begins = (-(-increment * self.batch_warmup_steps // increments) for increment in range(1, increments + 1))
        return rest + self.batch_warmup_from * (growing + sum(max(0, growing - begin) for begin in begins))
