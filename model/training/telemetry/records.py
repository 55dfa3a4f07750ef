"""Write rank 0's records of training: the step log, timings, progress, and samples of the model's text.

Samples of what the model writes, taken at intervals to watch it learn.

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
from model.training.telemetry.progress import ProgressWriter
from model.training.telemetry.step_log import JsonLines
from model.training.telemetry.telemetry import Moment, Telemetry


class Records:
    """The open files of one launch. `start`: the step that it continues from; `note`: what the first progress line says."""

    def __init__(self, job: Job, start: int, note: str, device: torch.device) -> None:
        devices = job.resources.parallel.workers if device.type == "cuda" else 0
        path = job.run_directory() / "progress.jsonl"
        self._progress = ProgressWriter(path, steps=job.total_steps, tokens_at=self._tokens_at, devices=devices)
        self._job = job
        self._step_log = JsonLines(job.checkpoints / "history.jsonl", after_step=start)
        self._timingss = JsonLines(job.checkpoints / "timing.jsonl", after_step=start)
        self._telemetry = Telemetry(job, device)
        peak = f"MFU is relative to {self._telemetry.peak_source}" if self._telemetry.peak_source else ""
        chosen = f"micro-batches of {job.micro_batch} x {job.length} tokens" if devices else ""
        self._progress.note(start, "; ".join(filter(None, (note or "training", chosen, peak))))

    def add(self, step: int, line: dict[str, float], ended: Moment, waited: float) -> None:
        """Write the line of a step, with its timings and progress. `waited`: seconds that it waited for rows."""
        self._step_log.append({"step": step, **line})
        timing = self._telemetry.step(step, ended, waited)
        self._progress.step(step, line, timing)
        self._timingss.append({"step": step, **timing})

    def close(self) -> None:
        """Close the files."""
        self._step_log.close()
        self._timingss.close()

    def _tokens_at(self, step: int) -> int:
        """Tokens in all steps up to this one, padding included."""
        return self._job.train.sequences_before(step) * self._job.length


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
