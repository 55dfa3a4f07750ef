"""What our recipe is worth: python -m tests.benchmarks.bits_per_byte [--shards DIR] [--tokens 1000000] [--peers gpt2,nanochat]

Recipes of equal size read the same packed rows in the same order and are asked for bits per byte of the same validation split (all of it):
ours, which is the `model` and `pretrain` sections of a recipe that comes with folio, and those of `peer_recipes.py`, at the width that
brings their parameters nearest to ours. First each reads as many tokens; then each peer trains for as long as ours did, in processor time.

Learning rates decide such comparisons, so each recipe is tried at equally many of its own (`--ours`; the peers' stand in their recipes),
and its best is taken; a best at the edge of its rates is pointed out. `--seeds 3` repeats the best of each with two more seeds, whose
spread says what the difference means. Finished runs stay below `--work` and are not made again.

bits per byte = nats a target / ln 2 x targets / bytes of the split, as everywhere in folio (`model.evaluation.loss`).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from flows.services.home import home
from model.networks.config import DecoderConfig
from model.networks.meta import count_parameters
from model.training.job import Job
from tests.benchmarks.course import SHORT, Course
from tests.benchmarks.peer_recipes import PEERS, Contender


@dataclass(frozen=True)
class Result:
    """What a run came to: bits a byte and nats a target of the validation split."""

    rate: float
    bits: float
    loss: float


class Contest(Course):
    """The rows, the budget and the measure that all share."""

    def __init__(self, shards: Path, recipe: Recipe, given: argparse.Namespace) -> None:
        super().__init__(shards, given.work, given.threads, given.rows)
        context, batch = recipe.model.context, recipe.pretrain.global_batch
        self.batch, self.steps = batch, given.steps or max(1, round(given.tokens / (batch * context)))
        self.warmup = min(recipe.pretrain.warmup_steps, max(1, self.steps // 10))
        self.tokens = self.steps * batch * context

    def run(self, contender: Contender, rate: float, seed: int, steps: int = 0) -> Result:
        """Train and measure, or read what an earlier run came to; print its row. `steps`: 0 for as many as all make."""
        job = self.job_of(contender, rate, seed, steps or self.steps)
        began, made = time.perf_counter(), self.made(job)
        last = self.last(job)
        result = Result(rate, self.bits(last["val_loss"]), last["val_loss"])
        took = "made before" if made else f"{time.perf_counter() - began:.0f} s"
        figures = f"{rate:10g} {seed:5} {steps or self.steps:6} {last['loss']:11.4f} {result.loss:10.4f} {result.bits:11.4f}"
        print(f"  {contender.name:13} {figures}   {took}", flush=True)
        return result

    def job_of(self, contender: Contender, rate: float, seed: int, steps: int) -> Job:
        """Return the run of a recipe."""
        warmup = min(self.warmup, max(1, steps // 10)) if contender.warms_up else 0
        shared = {"steps": steps, "global_batch": self.batch, "learning_rate": rate, "warmup_steps": warmup}
        return self.job(contender.name, contender.decoder, {**contender.train, **shared}, seed)

    def seconds(self, contender: Contender, rate: float, seed: int, seeds: int) -> float:
        """Return the processor time of a step of a recipe, at a rate that was run with these seeds."""
        runs = [self.job_of(contender, rate, seed + more, self.steps) for more in range(seeds)]
        return self.step_seconds(self.job_of(contender, rate, seed, SHORT), runs)


def main() -> int:
    """Run all sweeps, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--recipe", default="classics", help="ours, and the shards that are looked for")
    arguments.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="change the recipe")
    arguments.add_argument("--shards", type=Path, help="a pack artifact, with train and val; the newest of the recipe in folio's home")
    arguments.add_argument("--tokens", type=float, default=1e6, help="that each run trains on")
    arguments.add_argument("--steps", type=int, default=0, help="optimizer steps of each run instead; 0: as many as --tokens asks for")
    arguments.add_argument("--ours", type=_rates, help="three learning rates; half, once and twice the recipe's")
    arguments.add_argument("--peers", default=",".join(PEERS), help=f"recipes to compare with, of {', '.join(PEERS)}")
    arguments.add_argument("--seeds", type=int, default=1, help="runs at each best rate")
    arguments.add_argument("--rows", type=int, default=0, help="validation rows measured, evenly spread; 0: all")
    arguments.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "folio-benchmark" / "bits", help="runs stay here")
    given = arguments.parse_args()
    if unknown := set(given.peers.split(",")) - set(PEERS):
        arguments.error(f"no peer is called {', '.join(sorted(unknown))}; choose from {', '.join(PEERS)}")
    recipe = load(given.recipe, tuple(given.changes))
    shape = recipe.model
    if not isinstance(shape, DecoderConfig):
        arguments.error(f"{given.recipe} has model.kind={shape.kind}; peers are decoders, so choose a recipe of one")
    course = Contest(given.shards or newest(given.recipe), recipe, given)
    if course.steps <= SHORT:
        arguments.error(f"{course.steps} steps are too few: a step is timed by a run of {SHORT}; give more --tokens or --steps")
    peak, vocabulary = recipe.pretrain.learning_rate, course.train.vocab_size
    ours = Contender("folio", shape, recipe.pretrain.model_dump(), given.ours or (peak / 2, peak, 2 * peak))
    try:
        peers = [PEERS[name](shape, vocabulary) for name in given.peers.split(",")]
    except ValueError as error:
        arguments.error(str(error))
    if wrong := [one for one in peers if len(one.rates) != len(ours.rates)]:
        arguments.error(f"{len(ours.rates)} rates for ours and {len(wrong[0].rates)} for {wrong[0].name}: give as many")
    print(f"{course.shards}: {course.tokens:,} tokens a run in {course.steps} steps of {course.batch} rows, warm-up {course.warmup}")
    for one in (ours, *peers):
        size = count_parameters(one.decoder, vocabulary)
        print(f"  {one.name:13} {size:,} parameters, width {one.decoder.width}, {one.decoder.layers} layers")
    header = f"{'rate':>10} {'seed':>5} {'steps':>6} {'train loss':>11} {'val loss':>10} {'bits a byte':>11}"
    print(f"\n  {'':13} {header}", flush=True)
    compare(course, ours, peers, recipe.seed, given.seeds)
    return 0


def compare(course: Contest, ours: Contender, peers: Sequence[Contender], seed: int, seeds: int) -> None:
    """Print ours against each peer, at equal tokens and at equal time."""
    mine = best(course, ours, seed, seeds)
    step = course.seconds(ours, mine[0].rate, seed, seeds)
    for peer in peers:
        theirs = best(course, peer, seed, seeds)
        their_step = course.seconds(peer, theirs[0].rate, seed, seeds)
        steps = max(1, round(course.steps * step / their_step))
        timed = [course.run(peer, theirs[0].rate, seed + more, steps) for more in range(seeds)]
        print(f"\n  a step takes folio {step * 1000:.0f} ms and {peer.name} {their_step * 1000:.0f} ms of processor time")
        report("equal tokens", mine, peer, theirs)
        report("equal time", mine, peer, timed)


def best(course: Contest, contender: Contender, seed: int, seeds: int) -> list[Result]:
    """Return the best of the sweep, then the same with other seeds."""
    results = [course.run(contender, rate, seed) for rate in contender.rates]
    found = min(results, key=lambda result: result.bits)
    if len(contender.rates) > 2 and found.rate in (min(contender.rates), max(contender.rates)):
        print(f"  {contender.name:13} the best rate, {found.rate:g}, is at the edge of those tried", flush=True)
    return [found, *(course.run(contender, found.rate, seed + more) for more in range(1, seeds))]


def report(budget: str, ours: Sequence[Result], peer: Contender, theirs: Sequence[Result]) -> None:
    """Print the difference, in words."""
    mine, other = (statistics.mean(result.bits for result in results) for results in (ours, theirs))
    spreads = [f"{min(r.bits for r in results):.4f}-{max(r.bits for r in results):.4f}" for results in (ours, theirs)]
    seeds = f", seeds {spreads[0]} and {spreads[1]}" if len(ours) > 1 else ""
    verdict = "no worse" if mine <= other else "WORSE"
    print(f"  {budget:12} folio {mine:.4f}, {peer.name} {other:.4f}: {(mine / other - 1) * 100:+.1f} %, {verdict}{seeds}", flush=True)


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
