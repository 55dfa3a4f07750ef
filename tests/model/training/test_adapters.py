"""Training by an adapter: what is learned, what checkpoints hold, what becomes of it, on every layout."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.adapters.lora import LoraConfig
from model.adapters.opening import Reference
from model.networks.directory import load_model
from model.networks.network import Network
from model.objectives.dpo import Dpo
from model.objectives.protocol import POLICY, REFERENCE, Objective
from model.training.checkpoint.retained import ADAPTER, read_best
from model.training.config import DpoConfig, PretrainConfig, SftConfig
from model.training.initial import initial_models, initial_network
from model.training.job import Job
from model.training.job_batches import job_batches
from model.training.launch.launch import launch
from model.training.optimizers.build import rate_factor
from model.training.parallel.compatibility import incompatibilities
from model.training.resources import TrainResources
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import SHAPE, JobMaker, follow_up, packed_rows, write_shards
from tests.model.training.rollout_jobs import RolloutJobMaker
from tests.model.training.rollout_jobs import make_rollout_job as make_rollout_job

from .alone import train_here, train_together
from .test_checkpoints import losses, on, same_bytes, stored
from .test_killed import killed_after_a_checkpoint

LORA: dict[str, Any] = {"kind": "lora", "rank": 2, "alpha": 8.0}
SHORT: dict[str, Any] = {"tokens": 0, "steps": 8, "global_batch": 4, "warmup_steps": 0, "learning_rate": 2e-2, "eval_rows": 4}
STAGES = pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])


@pytest.fixture
def tuned(make_job: JobMaker, shards: Path, backwards: Path, base: Job) -> Any:
    """Make a job that tunes the base model with an adapter; keyword arguments change its train fields."""

    def make(name: str = "tuned", resources: dict[str, Any] | None = None, *, dpo: bool = False, **train: Any) -> Job:
        kind = DpoConfig if dpo else SftConfig
        job = follow_up(base, shards, kind.model_validate({"adapter": LORA, **SHORT, **train}), name)
        rows = {} if dpo else {"train_shards": backwards, "val_shards": backwards}
        return job.model_copy(update={"resources": make_job(resources=resources).resources, **rows})

    return make


@pytest.fixture(scope="module")
def backwards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows that count down, which the base model has not seen."""
    rows = packed_rows(20, seed=3)
    return write_shards(tmp_path_factory.mktemp("backwards") / "sft", "sft", {**rows, "tokens": 70 - rows["tokens"]})


@pytest.fixture
def base(make_job: JobMaker) -> Job:
    job = make_job("base", steps=30)
    train_here(job)
    return job


def test_the_loss_is_that_of_a_plain_torch_loop_over_peft(tuned: Any) -> None:
    job = tuned(weight_decay=0.0, steps=16)
    train_here(job)
    expected, network = plain_loop(job, {})
    assert losses(job) == expected and expected[-1] < expected[0] - 0.1
    for name, weight in job.train.adapter.build().merged(network.state_dict()).items():
        assert torch.equal(load_model(job.output).state_dict()[name], weight), name


def plain_loop(job: Job, frozen: dict[str, Network]) -> tuple[list[float], Network]:
    """AdamW on what peft says is trained, with nothing but torch."""
    torch.set_num_threads(1)
    network, _ = initial_models(job, Dpo() if frozen else job.build_objective())
    trained = [parameter for parameter in network.train().parameters() if parameter.requires_grad]
    objective: Objective = job.build_objective()
    optimizer = torch.optim.AdamW(trained, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0, fused=True)
    batches, found = job_batches(job, objective, torch.device("cpu")), []
    for update in range(job.total_steps):
        optimizer.param_groups[0]["lr"] = job.train.learning_rate * rate_factor(update, job.total_steps, job.train)
        rows, nats = batches.step(update), 0.0
        units = rows.units[objective.terms[0].unit]
        for batch in rows.micro_batches:
            loss = objective.sums({POLICY: network, **frozen}, batch)[0]
            torch.autograd.backward(loss / units)
            nats += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(trained, job.train.clip)
        optimizer.step()
        optimizer.zero_grad()
        found.append(nats / units)
    return found, network


def test_the_reference_is_the_policy_with_its_adapter_off_and_learns_as_with_a_second_copy(tuned: Any) -> None:
    job = tuned(dpo=True, beta=0.5, weight_decay=0.0)
    train_here(job)
    expected, _ = plain_loop(job, {REFERENCE: initial_network(job)})
    assert losses(job) == expected and expected[-1] < expected[0] == pytest.approx(math.log(2), abs=1e-6)
    _, frozen = initial_models(job, job.build_objective())
    assert isinstance(frozen[REFERENCE], Reference) and not list(frozen[REFERENCE].parameters())


def test_replies_are_sampled_and_learned_from_through_an_adapter(make_rollout_job: RolloutJobMaker) -> None:
    """Where weights are whole the adapted network samples; in ZeRO 3 a copy with merged weights does."""
    curves = []
    for stage in (0, 3):
        job = make_rollout_job(f"stage{stage}", {"zero_stage": stage}, adapter=LORA, learning_rate=1e-2)
        train_here(job)
        history = read_lines(job.output / "history.jsonl")
        assert history[0]["kl"] == pytest.approx(0, abs=1e-5) and history[-1]["kl"] > 1e-5
        assert sorted(path.name for path in (job.output / "adapter").iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
        curves.append([line["loss"] for line in history])
    assert curves[1] == pytest.approx(curves[0], abs=1e-4)


def test_checkpoints_hold_the_adapter_alone_and_the_model_directory_opens_as_before(tuned: Any, base: Job) -> None:
    job = tuned(resources={"checkpoint_every_steps": 4})
    train_here(job)
    names = {name for name, _ in stored(job)}
    assert len(names) == 2 * 7 * SHAPE.layers and all("lora_" in name for name in names)
    parameters = sum(parameter.numel() for parameter in load_model(base.output).parameters())
    of_adapter = sum(tensor.numel() for (_, state), tensor in stored(job).items() if state == "weight")
    (file,) = (job.checkpoints / "step-000000004").glob("*.safetensors")
    assert of_adapter < parameters / 5 and file.stat().st_size < 3 * 4 * of_adapter + 30_000
    before, after = load_model(base.output).state_dict(), load_model(job.output).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.endswith("_proj.weight")}
    assert sorted(path.name for path in (job.output / "adapter").iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert (job.output / "config.json").read_bytes() == (base.output / "config.json").read_bytes()
    (line, *_) = read_lines(job.output / "logs" / "timing.jsonl")
    assert "mfu" not in line and line["tokens_per_second"] > 0  # gradients of frozen weights are not computed, but would be counted


def test_the_adapter_beside_the_model_gives_it_from_the_base_with_peft(tuned: Any, base: Job) -> None:
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    job = tuned(ema_decay=0.5)
    train_here(job)
    llama = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base.output), job.output / "adapter").eval()
    tokens_BT = torch.arange(32).view(2, 16)
    torch.testing.assert_close(
        llama(input_ids=tokens_BT).logits, load_model(job.output).logits({"tokens": tokens_BT}), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("zero_stage", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow), 3])
def test_a_run_that_stops_and_resumes_ends_with_the_same_bytes(tuned: Any, zero_stage: int) -> None:
    resources = {"zero_stage": zero_stage, "checkpoint_every_steps": 1000}
    keys = {"ema_decay": 0.8, "adapter": {**LORA, "dropout": 0.2}}
    undisturbed, stopped = (tuned(name, resources, **keys) for name in ("undisturbed", "stopped"))
    train_here(undisturbed)
    train_here(stopped, stop_after=3)
    train_here(stopped)
    same_bytes(undisturbed, stopped)
    same_adapter(undisturbed, stopped)


def same_adapter(first: Job, second: Job) -> None:
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (first.output / "adapter" / name).read_bytes() == (second.output / "adapter" / name).read_bytes()


WITH: list[dict[str, Any]] = [{"optimizer": "muon"}, {"optimizer": "sophia", "sophia_every": 3}, {"precision": "bf16"}, {"dora": True}]


@pytest.mark.parametrize("settings", WITH)
def test_it_learns_with(tuned: Any, settings: dict[str, Any]) -> None:
    """Muon on A and B, curvature from sampled targets, autocast, DoRA; on ZeRO's partitions where the optimizer allows them."""
    adapter = {**LORA, "dora": settings.get("dora", False)}
    settings = {name: value for name, value in settings.items() if name != "dora"}
    curves = []
    for stage in (0,) if settings.get("optimizer") == "muon" else (0, 2):
        job = tuned(f"stage{stage}", {"zero_stage": stage}, adapter=adapter, steps=16, **settings)
        train_here(job)
        curves.append(losses(job))
    tolerance = 5e-3 if "precision" in settings else 1e-4
    assert all(curve == pytest.approx(curves[0], abs=tolerance) for curve in curves) and curves[0][-1] < curves[0][0] - 0.1


def test_the_best_weights_and_retained_models_have_their_adapter(tuned: Any, tmp_path: Path) -> None:
    job = tuned(resources={"keep_every_steps": 4, "keep_in": "kept"}, eval_every=2, select="best")
    job = job.model_copy(update={"retained": tmp_path / "kept"})
    train_here(job)
    steps = [line["step"] for line in read_lines(job.output / "history.jsonl") if "val_loss" in line]
    best = min(steps, key=lambda step: next(line["val_loss"] for line in read_lines(job.output / "history.jsonl") if line["step"] == step))
    saved = adapter_of(job.output)
    if (job.checkpoints / f"best-{round(best):09d}.safetensors").exists():
        weights = read_best(job.checkpoints, round(best))
        own = {name.removeprefix(ADAPTER): tensor for name, tensor in weights.items() if name.startswith(ADAPTER)}
        assert own.keys() == saved.keys() and all(torch.equal(own[name], saved[name]) for name in own)
    folders = sorted((tmp_path / "kept").glob("*/step-*"))
    assert [folder.name for folder in folders] == ["step-000000004", "step-000000008"]
    assert not torch.equal(*(next(iter(adapter_of(folder).values())) for folder in folders))


def adapter_of(directory: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(directory / "adapter" / "adapter_model.safetensors")


REFUSED: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    ({}, {"workers": 2, "tensor": 2, "zero_stage": 1}, {}, r"adapter.kind=lora with tensor=2 is not offered; use tensor=1"),
    ({"dora": True}, {"zero_stage": 3}, {}, r"adapter.kind=lora with zero_stage=3 is not offered; use zero_stage 0 to 2"),
    ({}, {}, {"precision": "fp8"}, r"adapter.kind=lora with precision=fp8 is not offered; use precision=bf16"),
]


@pytest.mark.parametrize(("adapter", "parallel", "train", "message"), REFUSED)
def test_what_was_not_built_is_refused_by_name(
    adapter: dict[str, Any], parallel: dict[str, Any], train: dict[str, Any], message: str
) -> None:
    config = SftConfig.model_validate({"adapter": {**LORA, **adapter}, **train})
    resources = TrainResources.model_validate({"parallel": parallel})
    (problem,) = incompatibilities(SHAPE, config, resources)
    assert problem.startswith(message)


def test_batch_statistics_missing_packages_and_random_weights_are_refused(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    config, resources = SftConfig.model_validate({"adapter": LORA}), TrainResources()
    (problem,) = incompatibilities(SHAPE.model_copy(update={"norm": "batch"}), config, resources)
    assert problem == "adapter.kind=lora with norm=batch: training changes its statistics; use adapter.kind=full"
    with pytest.raises(ValueError, match=r"initial_model is missing: adapter.kind=lora trains changes of its weights"):
        make_job(adapter=LORA, initial="models/one")
    monkeypatch.setattr(LoraConfig, "LIBRARIES", ("a_package_that_is_not_there",))
    (problem,) = incompatibilities(SHAPE, config, resources)
    assert problem == "adapter.kind=lora needs a_package_that_is_not_there: pip install -e '.[adapters]', or use adapter.kind=full"


def test_pretraining_goes_on_from_a_model_by_an_adapter(make_job: JobMaker, base: Job) -> None:
    train = make_job(learning_rate=2e-2).train.model_dump() | {"initial": "models/one", "adapter": LORA}
    job = make_job("continued").model_copy(update={"train": PretrainConfig.model_validate(train), "initial_model": base.output})
    train_here(job)
    assert losses(job)[0] < losses(base)[0] - 0.1 and (job.output / "adapter").is_dir()


@pytest.mark.slow
def test_two_workers_lose_what_one_does_in_every_zero_stage_and_go_on_from_its_checkpoint(tuned: Any, tmp_path: Path) -> None:
    rare = {"checkpoint_every_steps": 1000}
    alone = {dpo: tuned(f"alone{dpo}", rare, dpo=dpo) for dpo in (False, True)}
    for job in alone.values():
        train_here(job)
    together, moved = [], []
    for zero_stage in (0, 1, 2, 3):
        layout = {"workers": 2, "zero_stage": zero_stage, **rare}
        together += [(dpo, tuned(f"two{dpo}{zero_stage}", layout, dpo=dpo)) for dpo in alone]
        moved.append((False, tuned(f"moved{zero_stage}", layout)))
        train_here(on(moved[-1][1], 1, 0), stop_after=4)
    train_together([(job, None) for _, job in together + moved], tmp_path)
    for dpo, job in together + moved:
        assert losses(job) == pytest.approx(losses(alone[dpo]), abs=1e-4), job.output
    assert all(losses(job)[-1] < losses(job)[0] - 0.1 for job in alone.values())


@pytest.mark.slow
def test_a_pipeline_learns_the_same_and_saves_the_same_adapter(tuned: Any, tmp_path: Path) -> None:
    pairs = []
    for dora in (False, True):
        adapter = {**LORA, "dora": dora}
        one = tuned(f"one{dora}", {"micro_batch": 2}, adapter=adapter)
        train_here(one)
        for zero_stage in (0, 1):
            layout = {"workers": 2, "pipeline": 2, "zero_stage": zero_stage, "micro_batch": 2}
            pairs.append((one, tuned(f"cut{dora}{zero_stage}", layout, adapter=adapter)))
    train_together([(cut, stop) for _, cut in pairs for stop in (4, None)], tmp_path)
    for one, cut in pairs:
        assert losses(cut) == pytest.approx(losses(one), abs=1e-4), cut.output
        for name, tensor in adapter_of(one.output).items():
            torch.testing.assert_close(adapter_of(cut.output)[name], tensor, atol=1e-4, rtol=0)
        assert load_model(cut.output).state_dict().keys() == load_model(one.output).state_dict().keys()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_killed_with_signal_9_ends_with_the_same_bytes(tuned: Any, tmp_path: Path, workers: int) -> None:
    resources = {"workers": workers, "zero_stage": 1, "checkpoint_every_steps": 10}
    undisturbed, killed = (tuned(name, resources, steps=60) for name in ("undisturbed", "killed"))
    launch(undisturbed)
    assert 0 < killed_after_a_checkpoint(killed, tmp_path) < 60
    launch(killed)
    same_bytes(undisturbed, killed)
    same_adapter(undisturbed, killed)
