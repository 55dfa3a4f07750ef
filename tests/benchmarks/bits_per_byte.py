"""What our recipe is worth: python -m tests.benchmarks.bits_per_byte [--shards DIR] [--tokens 1000000]

Two recipes of equal size read the same packed rows in the same order, as many of them, and are asked for bits per byte of the same
validation split (all of it): ours, which is the `model` and `pretrain` sections of a recipe that comes with folio, and the plain one of
GPT-2 (Radford et al., 2019) as it is trained today: learned positions, LayerNorm before each part, biases, GELU over four times the width,
every head with keys of its own, tied embeddings; AdamW with betas 0.9 and 0.95 and decay 0.1, clipping at 1, a cosine to a tenth. Its width
is the one that brings its parameters nearest to ours; more than 2 % apart is refused. Batch and warm-up are the same.

Learning rates decide such comparisons, so each recipe is tried at equally many of its own (`--ours`, `--theirs`; 6e-4 is GPT-2's usual
one), and its best is taken; a best at the edge of its rates is pointed out. `--seeds 3` repeats the best of each with two more seeds, whose
spread says what the difference means. Finished runs stay below `--work` and are not made again.

bits per byte = nats a target / ln 2 x targets / bytes of the split, as everywhere in folio (`model.evaluation.loss`).
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.shards.metadata import read_metadata
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from flows.services.home import home
from model.networks.decoder_config import DecoderConfig
from model.networks.meta import count_parameters
from model.training.config import PretrainConfig, TrainResources
from model.training.job import Job
from model.training.launch.launch import launch
from model.training.telemetry.step_log import read_lines

LARGEST_DIFFERENCE = 0.02
GPT2: dict[str, Any] = {
    "positions": "learned",
    "norm": "layer",
    "norm_place": "pre",
    "activation": "gelu",
    "attention_bias": True,
    "feed_forward_bias": True,
    "tied_embeddings": True,
    "initial_std": 0.02,
}
ADAMW: dict[str, Any] = {"weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "clip": 1.0, "min_learning_rate_ratio": 0.1}


@dataclass(frozen=True)
class Contender:
    """A recipe: its shape, what its training sets besides the budget, and the learning rates to try."""

    name: str
    decoder: DecoderConfig
    train: dict[str, Any]
    rates: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """What a run came to: bits a byte and nats a target of the validation split."""

    rate: float
    bits: float
    loss: float


class Course:
    """The rows, the budget and the measure that both share."""

    def __init__(self, shards: Path, recipe: Recipe, given: argparse.Namespace) -> None:
        self.shards, self.work, self.threads, self.rows = shards, given.work, given.threads, given.rows
        self.train, self.val = read_metadata(shards / "train"), read_metadata(shards / "val")
        context, batch = recipe.model.context, recipe.pretrain.global_batch
        self.batch, self.steps = batch, given.steps or max(1, round(given.tokens / (batch * context)))
        self.warmup = min(recipe.pretrain.warmup_steps, max(1, self.steps // 10))
        self.tokens = self.steps * batch * context

    def run(self, contender: Contender, rate: float, seed: int) -> Result:
        """Train and measure, or read what an earlier run came to; prints its row."""
        shared = {"steps": self.steps, "tokens": 0, "global_batch": self.batch, "warmup_steps": self.warmup, "learning_rate": rate}
        measured = {"eval_every": 0, "eval_rows": min(self.rows or self.val.rows, self.val.rows)}
        job = Job(
            network=contender.decoder,
            vocab_size=self.train.vocab_size,
            train=PretrainConfig.model_validate({**contender.train, **shared, **measured}),
            resources=TrainResources(threads=self.threads),
            seed=seed,
            tokenizer_digest=self.train.tokenizer_digest,
            train_shards=self.shards / "train",
            val_shards=self.shards / "val",
            output=self.work,
            checkpoints=self.work,
        )
        folder = self.work / f"{contender.name}-{job.identity()[:16]}"
        job = job.model_copy(update={"output": folder / "output", "checkpoints": folder / "checkpoints"})
        began, history = time.perf_counter(), job.output / "history.jsonl"
        made = history.is_file() and len(read_lines(history)) == self.steps
        if not made:
            launch(job)
        last = read_lines(history)[-1]
        result = Result(rate, last["val_loss"] / math.log(2) * self.val.targets / self.val.bytes, last["val_loss"])
        took = "made before" if made else f"{time.perf_counter() - began:.0f} s"
        figures = f"{rate:10g} {seed:5} {last['loss']:11.4f} {result.loss:10.4f} {result.bits:11.4f}"
        print(f"  {contender.name:12} {figures}   {took}", flush=True)
        return result


def main() -> int:
    """Run both sweeps, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--recipe", default="classics", help="ours, and the shards that are looked for")
    arguments.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="change the recipe")
    arguments.add_argument("--shards", type=Path, help="a pack artifact, with train and val; the newest of the recipe in folio's home")
    arguments.add_argument("--tokens", type=float, default=1e6, help="that each run trains on")
    arguments.add_argument("--steps", type=int, default=0, help="optimizer steps of each run instead; 0: as many as --tokens asks for")
    arguments.add_argument("--ours", type=_rates, help="learning rates; half, once and twice the recipe's")
    arguments.add_argument("--theirs", type=_rates, default=(6e-4, 2e-3, 4e-3), help="learning rates; 6e-4,2e-3,4e-3")
    arguments.add_argument("--seeds", type=int, default=1, help="runs at each best rate")
    arguments.add_argument("--rows", type=int, default=0, help="validation rows measured, evenly spread; 0: all")
    arguments.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "folio-benchmark" / "bits", help="runs stay here")
    given = arguments.parse_args()
    recipe = load(given.recipe, tuple(given.changes))
    course = Course(given.shards or newest(given.recipe), recipe, given)
    peak = recipe.pretrain.learning_rate
    ours = Contender("folio", recipe.model, recipe.pretrain.model_dump(), given.ours or (peak / 2, peak, 2 * peak))
    theirs = Contender("GPT-2 style", gpt2(recipe.model, course.train.vocab_size), ADAMW, given.theirs)
    if len(ours.rates) != len(theirs.rates):
        arguments.error(f"{len(ours.rates)} rates for ours and {len(theirs.rates)} for theirs: give both equally many")
    print(f"{course.shards}: {course.tokens:,} tokens a run in {course.steps} steps of {course.batch} rows, warm-up {course.warmup}")
    for one in (ours, theirs):
        shape = one.decoder
        print(
            f"  {one.name:12} {count_parameters(shape, course.train.vocab_size):,} parameters, width {shape.width}, {shape.layers} layers"
        )
    print(f"\n  {'':12} {'rate':>10} {'seed':>5} {'train loss':>11} {'val loss':>10} {'bits a byte':>11}", flush=True)
    told(*(best(course, one, recipe.seed, given.seeds) for one in (ours, theirs)))
    return 0


def best(course: Course, contender: Contender, seed: int, seeds: int) -> list[Result]:
    """The best of the sweep, then the same with other seeds."""
    results = [course.run(contender, rate, seed) for rate in contender.rates]
    found = min(results, key=lambda result: result.bits)
    if len(contender.rates) > 2 and found.rate in (min(contender.rates), max(contender.rates)):
        print(f"  {contender.name:12} the best rate, {found.rate:g}, is at the edge of those tried", flush=True)
    return [found, *(course.run(contender, found.rate, seed + more) for more in range(1, seeds))]


def told(ours: Sequence[Result], theirs: Sequence[Result]) -> None:
    """The difference, in words."""
    mine, other = (statistics.mean(result.bits for result in results) for results in (ours, theirs))
    print(f"\n  folio        {mine:.4f} bits per byte at {ours[0].rate:g}\n  GPT-2 style  {other:.4f} bits per byte at {theirs[0].rate:g}")
    if len(ours) > 1:
        print("  over seeds   " + ", ".join(f"{min(r.bits for r in rs):.4f} to {max(r.bits for r in rs):.4f}" for rs in (ours, theirs)))
    print(f"  difference   {mine - other:+.4f} bits per byte, {(mine / other - 1) * 100:+.1f} %; ratio {mine / other:.4f}", flush=True)


def gpt2(ours: DecoderConfig, vocabulary: int) -> DecoderConfig:
    """The GPT-2-style decoder of as many layers and heads whose parameters are nearest to ours. Raises ValueError beyond 2 %."""
    wanted = count_parameters(ours, vocabulary)
    shared = {"layers": ours.layers, "heads": ours.heads, "kv_heads": ours.heads, "context": ours.context, **GPT2}
    widths = range(2 * ours.heads, 2 * ours.width + 1, 2 * ours.heads)
    shapes = [DecoderConfig.model_validate({"width": width, "feed_forward": 4 * width, **shared}) for width in widths]
    nearest = min(shapes, key=lambda shape: abs(count_parameters(shape, vocabulary) - wanted))
    apart = count_parameters(nearest, vocabulary) / wanted - 1
    if abs(apart) > LARGEST_DIFFERENCE:
        raise ValueError(
            f"the nearest GPT-2-style decoder has width {nearest.width} and {apart:+.1%} parameters, more than "
            f"{LARGEST_DIFFERENCE:.0%} apart; choose another width with --set model.width=..."
        )
    return nearest


def newest(recipe: str) -> Path:
    """The directory of packed rows that a recipe's last run made in folio's home. Raises FileNotFoundError when there is none."""
    found = sorted((home() / "store" / "pack").glob(f"{recipe}-*/val/shards.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(
            f"{home() / 'store' / 'pack'} holds no packed rows of {recipe}: `folio run {recipe}` makes them, or give --shards"
        )
    return found[-1].parents[1]


def _rates(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
