"""Samples of what the model writes, taken at intervals to watch it learn.

Prompts are the first tokens of validation rows, or of training rows if there are none. Samples are stored as token ids, because a model
knows no tokenizer.
Guarantee: a sample depends on the weights and (seed, step) alone, and leaves weights, optimizer and random state untouched, so sampling
changes nothing that is learned.
Cost: one forward pass of a few short rows per new token; under ZeRO 3 each is a collective.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.loading.source import Source
from model.training.engine import Engine
from model.training.job import Job
from model.training.parallel.engines import AnyEngine
from model.training.telemetry.step_log import JsonLines

PROMPTS, PROMPT_TOKENS, NEW_TOKENS = 3, 8, 32
TEMPERATURE = 0.8
FILE = "samples.jsonl"


class Samples:
    """Writes `samples.jsonl` in the checkpoint directory, on rank 0; all workers take part in the computing."""

    def __init__(self, job: Job, engine: AnyEngine, batches: Source, *, start: int, write: bool) -> None:
        self._job, self._engine = job, engine
        self._prompts = batches.prompts(PROMPTS, min(PROMPT_TOKENS, job.network.context // 2)) if job.resources.sample_every else None
        self._lines = JsonLines(job.checkpoints / FILE, after_step=start) if write and self._prompts is not None else None

    def after(self, step: int) -> None:
        """Take samples if they are due: every `sample_every` steps, and after the last."""
        every, total = self._job.resources.sample_every, self._job.total_steps
        if self._prompts is None or not isinstance(self._engine, Engine) or (step % every and step != total):
            return
        count = min(NEW_TOKENS, self._job.network.context - self._prompts.shape[1])
        continuations = continue_prompts(
            self._engine, self._prompts, count, torch.Generator().manual_seed(self._job.seed * 1_000_003 + step)
        )
        if self._lines:
            self._lines.append({"step": step, "prompts": self._prompts.tolist(), "continuations": continuations.tolist()})

    @property
    def written(self) -> bool:
        """Whether this worker writes samples; preference pairs offer no prompts."""
        return self._lines is not None

    def close(self) -> None:
        """Close the file."""
        if self._lines:
            self._lines.close()


def continue_prompts(engine: Engine, prompts_PT: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` tokens after each prompt, sampled at `TEMPERATURE`; int64 [P, count]."""
    tokens_PT = prompts_PT
    for _ in range(count):
        probabilities_PV = (engine.next_logits(tokens_PT).double().cpu() / TEMPERATURE).softmax(dim=-1)
        token_P1 = torch.multinomial(probabilities_PV, 1, generator=generator)
        tokens_PT = torch.cat((tokens_PT, token_P1.to(tokens_PT.device)), dim=1)
    return tokens_PT[:, prompts_PT.shape[1] :]
