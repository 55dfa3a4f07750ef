"""Every accepted combination of layout, shape and optimizer learns in 20 steps what one process learns.

Tolerance: losses within 1e-3 in fp32, gradient norms, by their share where they are more than 1, within 1e-2. It is 3e-2 where more than
rounding differs: an optimizer that draws targets draws others on other workers; and with batch norm, biases before it cancel out in
training, so that Adam makes steps of what is rounding in their gradients, which validation sees as the running means follow a little late.
Muon multiplies in float64 here (`exact_muon`): in bf16, gradient norms of two layouts were off by a tenth, of rounding alone.
The combinations are generated (`combinations`), not picked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from model.networks.config import KINDS
from model.training.job import Job
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import JobMaker

from .alone import train_together
from .combinations import Combination, Space, layouts

TOLERANCES = {"loss": 1e-3, "val_loss": 1e-3, "grad_norm": 1e-2}
WIDE = 3e-2
LEAST_EFFECT = 0.05
SEED = 1
TRAINED = [name for name, kind in KINDS.items() if "gradients" in kind.SUPPORTS]
PLAIN = layouts()[0]


def curves(job: Job) -> dict[str, list[float]]:
    """What every step says of itself, and the validation loss."""
    lines = read_lines(job.output / "history.jsonl")
    return {name: [line[name] for line in lines if name in line] for name in TOLERANCES}


def differences(pairs: Iterable[tuple[Combination, Job, Job]]) -> list[str]:
    """Return where a combination learned something else than one process, and where nothing was learned."""
    found = []
    for combination, alone, spread in pairs:
        if not (alone.output / "history.jsonl").exists() or not (spread.output / "history.jsonl").exists():
            found.append(f"not trained: {combination}")
            continue
        expected, seen = curves(alone), curves(spread)
        if (learned := effect(alone)) < LEAST_EFFECT:
            found.append(f"its steps move the loss by at most {learned:.2g}, so equal losses prove nothing: {combination}")
        for name, values in expected.items():
            offs = [abs(one - other) / max(1, abs(other)) for one, other in zip(seen[name], values, strict=True)]
            off = max(offs, default=0.0)
            drawn = spread.train.optimizer.DRAWS_TARGETS or (name == "val_loss" and spread.network.whole_batch)
            if off > (WIDE if drawn else TOLERANCES[name]):
                found.append(f"{name} is off by {off:.2g}: {combination}")
    return found


def effect(job: Job) -> float:
    """Return how far learning moved the loss of a finished job, at the step where it moved it most.

    A model that begins as good as a guess by frequency gets no better in 20 steps of masked rows, so where the losses do not fall, they are
    held against those of steps of next to no length.
    """
    losses = curves(job)["loss"]
    first, last = (fmean(part) for part in (losses[:5], losses[-5:]))
    if last < first - LEAST_EFFECT:
        return first - last
    still = {"train": job.train.model_copy(update={"learning_rate": 1e-9}), "output": job.output.parent / "still"}
    unmoved = job.model_copy(update={**still, "checkpoints": job.output.parent / "still-checkpoints"})
    train_together([(unmoved, None)], unmoved.output.parent, wait_seconds=120, exactly=True)
    return max(abs(moved - here) for moved, here in zip(losses, curves(unmoved)["loss"], strict=True))


def trained(space: Space, rows: Sequence[Combination], folder: Path) -> list[tuple[Combination, Job, Job]]:
    """Train each combination, and its shape and optimizer in one process; those of equal groups share their worker processes."""
    pairs, groups = list[tuple[Combination, Job, Job]](), defaultdict[tuple[int, ...], list[Job]](list)
    for number, row in enumerate(rows):
        alone = space.job_of({**row, "layout": PLAIN, "micro_batch": 0, "recompute": "none"}, f"alone{number}")
        spread = space.job_of(row, f"spread{number}")
        assert alone is not None and spread is not None
        pairs.append((row, alone, spread))
        for job in (alone, spread):
            parallel = job.resources.parallel
            groups[parallel.workers, parallel.tensor, parallel.pipeline].append(job)
    failures = []
    for group, jobs in groups.items():
        place = folder / "-".join(map(str, group))
        place.mkdir()
        for job in jobs:
            job.output.parent.mkdir(parents=True, exist_ok=True)
        try:
            train_together([(job, None) for job in jobs], place, wait_seconds=60 + 60 * len(jobs), exactly=True)
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, "\n".join(failures)
    return pairs


def layout(**keys: Any) -> Combination:
    return {"layout": {**PLAIN, "workers": 2, **keys}}


@pytest.mark.slow
def test_a_shape_drawn_for_tensor_parallelism_learns_the_weights_of_one_process(make_job: JobMaker, tmp_path: Path) -> None:
    """With norms inside the heads: each worker computes with its own heads alone, so their gradients are parts, to be summed."""
    space = Space("decoder", make_job())
    rows = [*space.drawn(SEED, 1, **layout(tensor=2, zero_stage=1), **{"model.qk_norm": True, "optimizer": "adamw"})]
    pairs = trained(space, rows, tmp_path)
    assert not differences(pairs)
    ((_, alone, cut),) = pairs
    weights, joined = (load_file(job.output / "model.safetensors") for job in (alone, cut))
    assert any("q_norm" in name for name in weights)
    for name, tensor in weights.items():
        torch.testing.assert_close(joined[name], tensor, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", TRAINED)
def test_the_combinations_are_accepted_and_hold_every_accepted_pair(make_job: JobMaker, kind: str) -> None:
    space = Space(kind, make_job())
    pairs, rows = set(space.pairs()), [*space.covering(SEED)]
    assert all(space.job_of(row, "asked") is not None for row in rows)
    held = {frozenset(pair) for row in rows for pair in combinations(space.features(row), 2)}
    assert pairs <= held
    by_chance = {frozenset(pair) for row in space.drawn(SEED, 10) for pair in combinations(space.features(row), 2)}
    assert by_chance <= pairs, "what is drawn whole is accepted in pairs, too"


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRAINED)
def test_any_two_choices_together_learn_what_one_process_learns(make_job: JobMaker, tmp_path: Path, kind: str) -> None:
    space = Space(kind, make_job())
    assert not differences(trained(space, [*space.covering(SEED)], tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("cut", ["tensor", "pipeline"])
def test_choices_drawn_at_random_learn_what_one_process_learns(make_job: JobMaker, tmp_path: Path, cut: str) -> None:
    space = Space("decoder", make_job())
    rows = [*space.drawn(SEED, 12, **layout(**{cut: 2}, zero_stage=1))]
    assert not differences(trained(space, rows, tmp_path))


@pytest.mark.slow
def test_choices_drawn_at_random_with_experts_learn_what_one_process_learns(make_job: JobMaker, tmp_path: Path) -> None:
    space = Space("decoder", make_job())
    mixtures = [value for value in space.choices["model.experts"] if value]
    rows = [row for number, value in enumerate(mixtures) for row in space.drawn(SEED + number, 6, **{"model.experts": value})]
    assert not differences(trained(space, rows, tmp_path))
