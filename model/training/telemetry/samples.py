"""Samples: what the model would write, at intervals, to see it learn.

Guarantee: a sample depends on the weights and (seed, step) alone, and leaves weights, optimizer and every generator as they were, so
whether samples are taken changes nothing that is learned. Prompts are the first tokens of validation rows, or of training rows where
there are none. Token ids are written, since a model knows no tokenizer.
Cost: so many forward passes as tokens are written, of a few short rows; under ZeRO 3 each is a meeting of all workers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.loading.batches import Batches
from model.training.engine import Engine
from model.training.job import Job
from model.training.parallel.engines import AnyEngine
from model.training.telemetry.step_log import JsonLines

PROMPTS, PROMPT_TOKENS, NEW_TOKENS = 3, 8, 32
TEMPERATURE = 0.8
FILE = "samples.jsonl"


class Samples:
    """Writes to `samples.jsonl` among the checkpoints, on the leading worker; all workers take part."""

    def __init__(self, job: Job, engine: AnyEngine, batches: Batches, *, start: int, leads: bool) -> None:
        self._job, self._engine = job, engine
        self._prompts = batches.beginnings(PROMPTS, min(PROMPT_TOKENS, job.decoder.context // 2)) if job.resources.sample_every else None
        self._lines = JsonLines(job.checkpoints / FILE, after_step=start) if leads and self._prompts is not None else None

    def after(self, step: int) -> None:
        """Take samples when it is time: every `sample_every` steps, and at the end."""
        every, total = self._job.resources.sample_every, self._job.total_steps
        if self._prompts is None or not isinstance(self._engine, Engine) or (step % every and step != total):
            return
        new = min(NEW_TOKENS, self._job.decoder.context - self._prompts.shape[1])
        written = continued(self._engine, self._prompts, new, torch.Generator().manual_seed(self._job.seed * 1_000_003 + step))
        if self._lines:
            self._lines.append({"step": step, "prompts": self._prompts.tolist(), "continuations": written.tolist()})

    @property
    def taken(self) -> bool:
        """Whether this worker writes samples; preference pairs have no beginning to go on from."""
        return self._lines is not None

    def close(self) -> None:
        """No more samples."""
        if self._lines:
            self._lines.close()


def continued(engine: Engine, prompts_PT: Tensor, new: int, generator: torch.Generator) -> Tensor:
    """`new` tokens after each prompt, drawn at `TEMPERATURE`; int64 [P, new]."""
    tokens_PT = prompts_PT
    for _ in range(new):
        shares_PV = (engine.next_logits(tokens_PT).double().cpu() / TEMPERATURE).softmax(dim=-1)
        drawn_P1 = torch.multinomial(shares_PV, 1, generator=generator)
        tokens_PT = torch.cat((tokens_PT, drawn_P1.to(tokens_PT.device)), dim=1)
    return tokens_PT[:, prompts_PT.shape[1] :]
