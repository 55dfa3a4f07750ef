"""Tuning by preferences as a whole job: what a step log says, cached references, layouts, and a run that was stopped."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from model.training.config import DpoConfig, KtoConfig, OrpoConfig, RewardModelConfig, SimpoConfig
from model.training.job import Job
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import CONTEXT, JobMaker, follow_up, preference_rows, write_shards

from .alone import train_here, train_together

SHARED: dict[str, Any] = {"steps": 4, "tokens": 0, "global_batch": 8, "learning_rate": 3e-3, "warmup_steps": 0, "eval_rows": 6}
KINDS = {
    "dpo": DpoConfig(**SHARED, loss="ipo"),
    "kto": KtoConfig(**SHARED, beta=0.5),
    "orpo": OrpoConfig(**SHARED),
    "simpo": SimpoConfig(**SHARED),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path:
    """A model that the jobs start from."""
    from model.networks.directory import TOKENIZER_DIGEST, save_model
    from tests.model.jobs import DIGEST, SHAPE, VOCABULARY

    folder = tmp_path_factory.mktemp("base")
    save_model(SHAPE.model_copy(update={"initial_std": 0.2}).build(VOCABULARY, seed=1), folder, extra={TOKENIZER_DIGEST: DIGEST})
    return folder


def tuning(make_job: JobMaker, shards: Path, base: Path, config: Any, name: str, **resources: Any) -> Job:
    job = follow_up(make_job(resources={"checkpoint_every_steps": 2, **resources}), shards, config, name)
    pairs = {"train_shards": shards / "preference", "val_shards": shards / "preference"}
    network = job.network.model_copy(update={"initial_std": 0.2})
    return job.model_copy(update={"initial_model": base, "network": network, **pairs})


def history(job: Job) -> list[dict[str, float]]:
    return read_lines(job.output / "history.jsonl")


@pytest.mark.parametrize("kind", KINDS)
def test_tuning_prefers_the_chosen_answers_and_says_how_long_they_are(make_job: JobMaker, shards: Path, base: Path, kind: str) -> None:
    config = KINDS[kind].model_copy(update={"steps": 12})
    job = tuning(make_job, shards, base, config, kind)
    train_here(job)
    first, last = history(job)[0], history(job)[-1]
    assert last["chosen_logp"] - last["rejected_logp"] > first["chosen_logp"] - first["rejected_logp"] + 1
    assert last["val_loss"] < first["loss"] and first["chosen_tokens"] == first["rejected_tokens"] == 8
    if kind == "kto":
        assert first["z"] == 0 and first["loss"] == pytest.approx(0.5), "the model is its own reference"


def test_tuning_without_validation_pairs_trains_and_has_no_validation_figures(
    make_job: JobMaker, shards: Path, base: Path, tmp_path: Path
) -> None:
    empty = write_shards(tmp_path / "nothing", "preference", preference_rows(0, seed=1))
    config = KINDS["dpo"].model_copy(update={"reference": "cached"})
    train_here(job := tuning(make_job, shards, base, config, "dpo").model_copy(update={"val_shards": empty}))
    assert len(history(job)) == 4 and not [name for line in history(job) for name in line if "val_" in name]


@pytest.mark.parametrize("kind", ["dpo", "kto"])
@pytest.mark.parametrize("replay", [0.0, 0.5])
def test_a_cached_reference_trains_the_same_model(make_job: JobMaker, shards: Path, base: Path, kind: str, replay: float) -> None:
    jobs = []
    for reference in ("model", "cached"):
        config = KINDS[kind].model_copy(update={"reference": reference, "replay": replay})
        job = tuning(make_job, shards, base, config, reference)
        if replay:
            packed = shards.parent / f"packed-{shards.name}"
            for part in ("train", "val"):
                shutil.copytree(shards / part, packed / part, dirs_exist_ok=True)
            job = job.model_copy(update={"replayed": packed})
        train_here(job)
        jobs.append(job)
    whole, cached = map(history, jobs)
    for one, other in zip(whole, cached, strict=True):
        assert "kl" in one and "kl" not in other
        assert {name: one[name] for name in other if name != "seconds"} == pytest.approx(
            {name: value for name, value in other.items() if name != "seconds"}, rel=2e-3, abs=2e-4
        )


@pytest.mark.parametrize("adapter", [{"kind": "prefix", "length": 4}, {"kind": "prompt", "length": 4}], ids=["prefix", "prompt"])
@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_a_cached_reference_is_the_model_without_a_prefix_that_is_drawn_before_training(
    make_job: JobMaker, shards: Path, base: Path, kind: str, adapter: dict[str, Any]
) -> None:
    losses = []
    for reference in ("model", "cached"):
        config = type(KINDS[kind]).model_validate({**SHARED, "steps": 1, "reference": reference, "adapter": adapter})
        train_here(job := tuning(make_job, shards, base, config, reference))
        losses.append(history(job)[0]["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_a_stopped_run_goes_on_with_the_reference_that_it_cached(make_job: JobMaker, shards: Path, base: Path, kind: str) -> None:
    config = KINDS[kind].model_copy(update={"reference": "cached"})
    undisturbed, stopped = (tuning(make_job, shards, base, config, name) for name in ("undisturbed", "stopped"))
    train_here(undisturbed)
    train_here(stopped, stop_after=3)
    (folder,) = stopped.checkpoints.glob("reference-*")
    before = (folder / "train" / "00000.arrow").stat().st_mtime_ns
    train_here(stopped)
    assert (folder / "train" / "00000.arrow").stat().st_mtime_ns == before
    for name in ("model.safetensors", "history.jsonl"):
        assert (stopped.output / name).read_bytes() == (undisturbed.output / name).read_bytes(), name


@pytest.mark.slow
def test_workers_zero_stages_and_micro_batches_give_the_same_losses(make_job: JobMaker, shards: Path, base: Path, tmp_path: Path) -> None:
    kinds = {**KINDS, **{f"{kind}-cached": KINDS[kind].model_copy(update={"reference": "cached"}) for kind in ("dpo", "kto")}}
    alone = {name: tuning(make_job, shards, base, config, f"alone-{name}") for name, config in kinds.items()}
    for job in alone.values():
        train_here(job)
    spread = {
        (name, stage): tuning(make_job, shards, base, config, f"{name}-{stage}", workers=2, zero_stage=stage, micro_batch=size)
        for name, config in kinds.items()
        for stage, size in ((2, 1), (3, 4))
    }
    train_together([(job, None) for job in spread.values()], tmp_path)
    for (name, stage), job in spread.items():
        for one, other in zip(history(alone[name]), history(job), strict=True):
            for measured in ("loss", "val_loss", "chosen_logp"):
                if measured in one:
                    assert other[measured] == pytest.approx(one[measured], rel=1e-3, abs=1e-4), (name, stage, measured)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "none"])
@pytest.mark.parametrize("kind", ["reward", *KINDS])
def test_every_kind_learns_from_answers_that_fill_their_rows(make_job: JobMaker, tmp_path: Path, kind: str, positions: str) -> None:
    rows = preference_rows(12, seed=3)
    for side in ("chosen", "rejected"):
        rows[side][:, 12:] = rows[side][:, 11:12]
        rows[f"{side}_loss"][:, 12:] = True
    full = write_shards(tmp_path / "full", "preference", rows)
    assert rows["chosen_loss"].shape[1] == CONTEXT + 1 and rows["chosen_loss"][:, -1].all()
    config = {"reward": RewardModelConfig(**SHARED), **KINDS}[kind]
    made = make_job()
    network = made.network.model_copy(update={"positions": positions})
    job = made.model_copy(update={"train": config, "network": network, "train_shards": full, "val_shards": full})
    train_here(job)
    lines = history(job)
    assert len(lines) == 4 and all(math.isfinite(line["loss"]) for line in lines)


def test_smoothing_that_a_loss_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"label_smoothing=0.1 does nothing with loss=hinge; set it to 0, or loss=sigmoid"):
        DpoConfig(loss="hinge", label_smoothing=0.1)
