"""What each choice of a default is worth: python -m tests.benchmarks.learning [--shards DIR] [--tokens 500000] [--seeds 3]

Each choice is trained on the same packed rows in the same order, beside the one before it in `CHOICES`, and asked for bits per byte of the
same validation split: once on as many tokens, and once for as long as the first choice took, in processor time. The rate of each is the
best of its own `rates`, tried with the first seed; a best at the edge of those tried is pointed out. A choice without rates keeps the rate
of the one before. `--rates 0.004,0.004,0.008` gives each its rate instead, as found on another text. Finished runs stay below `--work`
with what they took, and are not made again.

The shape is a small decoder of `--width` and `--layers`; one worker, `--threads` threads. A choice pays if both differences are larger than
the spread over seeds: each cell is mean (lowest-highest), and the change from the choice before.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model.networks.config import DecoderConfig
from model.training.job import Job
from tests.benchmarks.bits_per_byte import newest
from tests.benchmarks.course import SHORT, Course

ADAMW: dict[str, Any] = {"kind": "adamw"}
MUON: dict[str, Any] = {"kind": "muon"}
BF16_MUON: dict[str, Any] = {"optimizer": MUON, "precision": "bf16"}
QK_NORM: dict[str, Any] = {"qk_norm": True}
ZERO_OUTPUTS: dict[str, Any] = {**QK_NORM, "zero_outputs": True}
UNTIED: dict[str, Any] = {**ZERO_OUTPUTS, "tied_embeddings": False}


@dataclass(frozen=True)
class Choice:
    """A recipe to compare: what differs in its shape and its training, and the learning rates to try; none: the rate of the one before."""

    name: str
    shape: dict[str, Any]
    train: dict[str, Any]
    rates: tuple[float, ...] = ()


# Each but the first is one change of the one before.
CHOICES = (
    Choice("adamw fp32", {}, {"optimizer": ADAMW, "precision": "fp32"}, (2e-3, 4e-3, 8e-3)),
    Choice("bf16", {}, {"optimizer": ADAMW, "precision": "bf16"}),
    Choice("muon", {}, BF16_MUON, (4e-3, 8e-3, 16e-3)),
    Choice("+ qk_norm", QK_NORM, BF16_MUON, (8e-3, 16e-3)),
    Choice("+ zero_outputs", ZERO_OUTPUTS, BF16_MUON),
    Choice("+ untied head", UNTIED, BF16_MUON),
    Choice("+ logit cap", {**UNTIED, "logit_soft_cap": 15.0}, BF16_MUON),
)


class Choices(Course):
    """The rows, the budget and the measure that all choices share."""

    def __init__(self, given: argparse.Namespace, shards: Path) -> None:
        super().__init__(shards, given.work, given.threads, given.rows)
        self.given, self.context = given, self.train.sequence_length
        self.steps = max(1, round(given.tokens / (given.batch * self.context)))

    def run(self, choice: Choice, rate: float, seed: int, steps: int) -> float:
        """Train and measure, or read what an earlier run came to; return bits a byte of the validation split."""
        return self.bits(self.last(self.job_of(choice, rate, seed, steps))["val_loss"])

    def job_of(self, choice: Choice, rate: float, seed: int, steps: int) -> Job:
        """Return the run of a choice."""
        shape = {"width": self.given.width, "layers": self.given.layers, "heads": self.given.width // 32, "context": self.context}
        shape |= {"kv_heads": self.given.width // 32, "feed_forward": round(self.given.width * 8 / 3 / 8) * 8}
        budget = {"steps": steps, "global_batch": self.given.batch, "warmup_steps": max(1, steps // 20)}
        train = {**choice.train, **budget, "learning_rate": rate}
        return self.job(choice.name, DecoderConfig.model_validate({**shape, **choice.shape}), train, seed)


def compare(course: Choices, choices: Sequence[Choice], seeds: Sequence[int]) -> None:
    """Print a row for each choice: its best rate, bits per byte at equal tokens and at equal time, and what it changed."""
    print(f"{course.shards}: {course.steps} steps of {course.given.batch} rows of {course.context} tokens; seeds {list(seeds)}")
    print(
        f"  {'':16} {'rate':>7} {'ms a step':>10} {'equal tokens':>24} {'change':>8} {'equal time':>24} {'change':>8} {'steps':>6}",
        flush=True,
    )
    clock, rate = 0.0, 0.0
    before: tuple[float, ...] = (math.nan, math.nan)
    for choice in choices:
        rates = choice.rates or (rate,)
        tried = {each: course.run(choice, each, seeds[0], course.steps) for each in rates}
        rate = min(tried, key=lambda each: tried[each])
        edge = "*" if len(rates) > 1 and rate in (min(rates), max(rates)) else " "
        tokens = [tried[rate], *(course.run(choice, rate, seed, course.steps) for seed in seeds[1:])]
        runs = [course.job_of(choice, rate, seed, course.steps) for seed in seeds]
        step = course.step_seconds(course.job_of(choice, rate, seeds[0], SHORT), runs)
        clock = clock or step
        steps = max(1, round(course.steps * clock / step))
        timed = tokens if steps == course.steps else [course.run(choice, rate, seed, steps) for seed in seeds]
        means = tuple(statistics.mean(results) for results in (tokens, timed))
        cells = [
            f"{f'{mean:.4f} ({min(results):.4f}-{max(results):.4f})':>24} {(mean / old - 1) * 100:+7.2f}%"
            for mean, old, results in zip(means, before, (tokens, timed), strict=True)
        ]
        print(f"  {choice.name:16} {rate:7g}{edge}{step * 1000:9.0f}  {' '.join(cells)} {steps:6}", flush=True)
        before = means


def main() -> int:
    """Compare on packed rows, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--recipe", default="classics", help="whose packed rows are looked for in folio's home")
    arguments.add_argument("--shards", type=Path, help="a pack artifact, with train and val, instead")
    arguments.add_argument("--tokens", type=float, default=500_000, help="that each run trains on")
    arguments.add_argument("--batch", type=int, default=8, help="rows a step")
    arguments.add_argument("--width", type=int, default=128)
    arguments.add_argument("--layers", type=int, default=4)
    arguments.add_argument("--rows", type=int, default=256, help="validation rows measured, evenly spread")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--choices", default="", help="names, comma-separated; all by default")
    arguments.add_argument("--rates", default="", help="one for each choice, comma-separated, in place of those that are tried")
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "folio-benchmark" / "learning", help="runs stay here")
    given = arguments.parse_args()
    known = {choice.name: choice for choice in CHOICES}
    names = given.choices.split(",") if given.choices else list(known)
    if unknown := [name for name in names if name not in known]:
        arguments.error(f"no choice is called {', '.join(unknown)}; choose from {', '.join(known)}")
    choices = [known[name] for name in names]
    if given.rates:
        rates = [float(rate) for rate in given.rates.split(",")]
        if len(rates) != len(choices):
            arguments.error(f"--rates has {len(rates)} for {len(choices)} choices; give as many")
        choices = [replace(choice, rates=(rate,)) for choice, rate in zip(choices, rates, strict=True)]
    if not choices[0].rates:
        arguments.error(f"{choices[0].name} keeps the rate of the choice before it, and is the first; give --rates, or begin with another")
    course = Choices(given, given.shards or newest(given.recipe))
    if course.steps <= SHORT:
        arguments.error(f"--tokens {given.tokens:g} is {course.steps} steps; a step is timed by a run of {SHORT}, so give more")
    compare(course, choices, range(1, given.seeds + 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
