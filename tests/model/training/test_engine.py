"""One engine in this process learns what a plain torch loop learns, in every ZeRO stage and after every resume."""

from __future__ import annotations

import math
import shutil
from typing import Any

import pytest
import torch
from torch import Tensor

from model.networks.decoder import Decoder
from model.objectives.chunked import LOGITS_BYTES
from model.objectives.next_token import NextToken
from model.objectives.protocol import POLICY
from model.seeds import draw_seed
from model.training.job import Job, JobError
from model.training.job_batches import job_batches
from model.training.optimizers.build import rate_factor
from model.training.optimizers.lion_and_sophia import Sophia
from model.training.train_module import require_compiler
from tests.model.jobs import SHAPE, VOCABULARY, JobMaker

from .alone import engine_of, train_here

STAGES = (0, 1, 2, 3)


def losses_of(job: Job, engine: Any = None) -> tuple[list[float], Any]:
    """The loss of every update, and the engine after the last."""
    batches = job_batches(job, NextToken(), torch.device("cpu"))
    engine = engine or engine_of(job)
    losses = []
    while engine.updates < job.total_steps:
        units, _, micro_batches = batches.step(engine.updates)
        losses.append(float(engine.update(micro_batches, units).sums[0]) / units["tokens"])
    return losses, engine


def validated(job: Job, engine: Any) -> float:
    units, loss = engine.measure(job_batches(job, NextToken(), torch.device("cpu")).validation()).tolist()
    return float(loss / units)


def plain_loop(job: Job) -> tuple[list[float], dict[str, Tensor]]:
    """AdamW, cosine, clipping and accumulation with nothing but torch."""
    decoder, objective = Decoder(SHAPE, VOCABULARY, seed=job.seed), NextToken()
    gains = [parameter for name, parameter in decoder.named_parameters() if "norm" in name]
    matrices = [parameter for name, parameter in decoder.named_parameters() if "norm" not in name]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=job.train.learning_rate, betas=(0.9, 0.95), eps=1e-8, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: rate_factor(update, job.total_steps, job.train))
    batches, losses = job_batches(job, objective, torch.device("cpu")), []
    for update in range(job.total_steps):
        units, _, micro_batches = batches.step(update)
        nats = 0.0
        for batch in micro_batches:
            (loss,) = objective.sums({POLICY: decoder}, batch)
            (loss / units["tokens"]).backward()
            nats += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), job.train.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(nats / units["tokens"])
    return losses, {name: parameter.detach() for name, parameter in decoder.named_parameters()}


@pytest.mark.parametrize("micro_batch", [4, 8])
def test_adamw_with_cosine_and_clipping_is_bit_for_bit_a_plain_torch_loop(make_job: JobMaker, micro_batch: int) -> None:
    job = make_job(resources={"zero_stage": 0, "micro_batch": micro_batch}, steps=30, clip=0.9)
    losses, engine = losses_of(job)
    expected, weights = plain_loop(job)
    assert losses == expected
    for name, tensor in engine.weights().items():
        assert torch.equal(tensor, weights[name]), name


OPTIMIZERS = {"sgd": 1.0, "momentum": 0.1, "adam": 1e-2, "adamw": 1e-2, "lion": 2e-3, "sophia": 3e-3}


@pytest.mark.parametrize("optimizer", [pytest.param(name, marks=() if name == "adamw" else pytest.mark.slow) for name in OPTIMIZERS])
def test_an_optimizer_learns_the_same_on_zero_partitions(make_job: JobMaker, optimizer: str) -> None:
    keys = {"optimizer": optimizer, "learning_rate": OPTIMIZERS[optimizer], "steps": 8, "ema_decay": 0.5}
    keys |= {"sophia_every": 3} if optimizer == "sophia" else {}
    curves = []
    for stage in (0, 2, 3):
        job = make_job(resources={"zero_stage": stage, "micro_batch": 8}, **keys)
        losses, engine = losses_of(job)
        curves.append([*losses, validated(job, engine)])
    assert curves[0][7] < curves[0][0] - 0.2, "nothing was learned, so equal curves would prove nothing"
    assert curves[1] == pytest.approx(curves[0], abs=1e-4)
    assert curves[2] == pytest.approx(curves[0], abs=1e-4)


def test_adafactor_works_in_stage_0_and_is_refused_in_others(make_job: JobMaker) -> None:
    losses, _ = losses_of(make_job(resources={"zero_stage": 0}, optimizer="adafactor", learning_rate=0.1, steps=8))
    assert losses[-1] < losses[0] - 0.4
    with pytest.raises(ValueError, match=r"optimizer=adafactor .*zero_stage=1 .*set zero_stage=0"):
        make_job(resources={"zero_stage": 1}, optimizer="adafactor")


def test_muon_learns_the_same_in_every_zero_stage(make_job: JobMaker) -> None:
    curves = [losses_of(make_job(str(stage), resources={"zero_stage": stage}, optimizer="muon", steps=8))[0] for stage in STAGES]
    assert curves[0][-1] < curves[0][0] - 0.4, "nothing was learned, so equal curves would prove nothing"
    for curve in curves[1:]:
        assert curve == pytest.approx(curves[0], abs=1e-4)


@pytest.mark.parametrize(("keys", "message"), [
    ({"tensor": 2, "workers": 2, "zero_stage": 1}, "tensor=2 divides; set tensor=1"),
    ({"pipeline": 2, "workers": 2}, "pipeline=2 divides; set pipeline=1"),
    ({"zero_stage": 3, "offload_optimizer": "nvme", "nvme_path": "/fast"}, "offload_optimizer=nvme divides; set offload_optimizer=cpu"),
])  # fmt: skip
def test_muon_is_refused_where_matrices_are_cut(make_job: JobMaker, keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_job(resources=keys, optimizer="muon")


def test_sophia_estimates_curvature_from_targets_sampled_from_the_model(make_job: JobMaker) -> None:
    """Compared with gradients computed by hand: h = (1 - beta2) B g^2, and an estimate changes no weight."""
    job = make_job(resources={"zero_stage": 0, "micro_batch": 8}, optimizer="sophia", steps=1)
    units, _, (batch,) = job_batches(job, NextToken(), torch.device("cpu")).step(0)
    _, engine = losses_of(job)
    decoder = Decoder(SHAPE, VOCABULARY, seed=job.seed)
    torch.manual_seed(draw_seed(job.seed, 0, 0))
    drawn = NextToken().drawn({POLICY: decoder}, batch)
    torch.autograd.backward(NextToken().sums({POLICY: decoder}, drawn)[0] / units["tokens"])
    ignored = batch["targets"] < 0
    assert torch.equal(drawn["targets"] < 0, ignored) and not torch.equal(drawn["targets"], batch["targets"])
    optimizer = engine.deepspeed.optimizer
    assert isinstance(optimizer, Sophia)
    for local, parameter in zip(engine.local_parameters(), decoder.parameters(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(
            optimizer.state[local.parameter]["hessian"], 0.05 * units["tokens"] * parameter.grad.square(), rtol=1e-5, atol=1e-12
        )


@pytest.mark.parametrize("stage", STAGES)
def test_averaged_weights_are_measured_and_saved_but_not_trained_on(make_job: JobMaker, stage: int) -> None:
    resources = {"zero_stage": stage, "micro_batch": 8}
    plain, _ = losses_of(make_job(resources=resources, steps=6))
    job = make_job(resources=resources, steps=6, ema_decay=0.5)
    batches, engine = job_batches(job, NextToken(), torch.device("cpu")), engine_of(job)
    averages: dict[str, Tensor] = {}
    losses = []
    for update in range(6):
        units, _, micro_batches = batches.step(update)
        losses.append(float(engine.update(micro_batches, units).sums[0]) / units["tokens"])
        decay = min(0.5, (1 + update) / (10 + update))
        now = current_weights(engine, stage)
        averages = {name: decay * averages[name] + (1 - decay) * now[name] for name in now} if averages else now
        loss = validated(job, engine)
    assert losses == plain, "an average, or measuring it, changed what is learned"
    for name, tensor in engine.weights().items():
        torch.testing.assert_close(tensor, averages[name], atol=1e-6, rtol=0)
    decoder = Decoder(SHAPE, VOCABULARY)
    decoder.load_state_dict(averages)
    assert loss == pytest.approx(plain_validation(job, decoder), abs=1e-5)


def current_weights(engine: Any, stage: int) -> dict[str, Tensor]:
    import deepspeed

    copies = {}
    for local in engine.local_parameters():
        with deepspeed.zero.GatheredParameters([local.parameter], enabled=stage == 3):
            copies[local.name] = local.parameter.detach().clone()
    return copies


def plain_validation(job: Job, decoder: Decoder) -> float:
    objective, nats, counted = NextToken(), 0.0, 0.0
    with torch.no_grad():
        for units, batch in job_batches(job, objective, torch.device("cpu")).validation():
            nats += float(objective.sums({POLICY: decoder}, batch)[0])
            counted += units["tokens"]
    return nats / counted


@pytest.mark.parametrize("stage", STAGES)
def test_an_fp16_update_that_overflows_is_skipped_and_the_scale_halved(make_job: JobMaker, stage: int) -> None:
    keys = {"precision": "fp16", "loss_scale": 2.0**120, "loss_scale_window": 2}
    job = make_job(resources={"zero_stage": stage}, steps=4, **keys)
    batches, engine = job_batches(job, NextToken(), torch.device("cpu")), engine_of(job)
    before = engine.weights()
    before = {name: tensor.clone() for name, tensor in before.items()}
    units, _, micro_batches = batches.step(0)
    update = engine.update(micro_batches, units)
    assert not update.applied and update.metrics["skipped"] == 1 and not math.isfinite(update.norm)
    assert all(torch.equal(tensor, before[name]) for name, tensor in engine.weights().items())
    assert engine.scalars()["loss_scale"] == 2.0**119
    engine.set_scalars({**engine.scalars(), "loss_scale": 1024.0})
    reference = make_job("reference", {"zero_stage": 0}, steps=4)
    _, exact = losses_of(reference, None)
    losses, engine = losses_of(job, engine)
    assert engine.scalars()["skipped_updates"] == 1 and losses[-1] < losses[0] - 0.1
    assert exact.scalars()["skipped_updates"] == 0


def test_every_row_of_a_growing_batch_is_learned_in_every_stage(make_job: JobMaker) -> None:
    keys = {"batch_warmup_steps": 4, "batch_warmup_from": 2, "steps": 6}
    job = make_job(resources={"zero_stage": 0, "micro_batch": 2}, **keys)
    sizes = [len(micro_batches) for _, _, micro_batches in map(job_batches(job, NextToken(), torch.device("cpu")).step, range(6))]
    assert sizes == [1, 1, 2, 3, 4, 4]
    losses, _ = losses_of(job)
    assert losses == plain_loop(job)[0]
    for stage in (1, 3):
        assert losses_of(make_job(resources={"zero_stage": stage, "micro_batch": 2}, **keys))[0] == pytest.approx(losses, abs=1e-5)


def test_workers_and_micro_batches_divide_the_smallest_batch(make_job: JobMaker) -> None:
    keys = {"global_batch": 8, "batch_warmup_steps": 4, "batch_warmup_from": 2}
    with pytest.raises(ValueError, match="batch_warmup_from=2 does not divide among workers=4"):
        make_job(resources={"workers": 4}, **keys)
    assert [make_job(resources={"micro_batch": most}, **keys).micro_batch for most in (0, 1, 4)] == [2, 1, 2]


def test_random_draws_of_an_update_depend_only_on_seed_update_and_worker(make_job: JobMaker) -> None:
    job = make_job(resources={"zero_stage": 0}, steps=3)
    engine, batches = engine_of(job), job_batches(job, NextToken(), torch.device("cpu"))
    drawn = []
    engine.deepspeed.module.register_forward_pre_hook(lambda module, arguments: drawn.append(float(torch.rand(()))))
    for scalars in ({}, {"updates": 1}, {"updates": 2}, {"updates": 1}):
        engine.set_scalars(engine.scalars() | scalars)
        units, _, micro_batches = batches.step(1)
        torch.manual_seed(len(drawn))
        engine.update(micro_batches, units)
    first, second, third, again = drawn[0::2], drawn[2:4], drawn[4:6], drawn[6:8]
    assert second == again and len({*drawn[:6]}) == 6, (first, third)
    assert len({draw_seed(5, update, rank) for update in range(20) for rank in range(20)}) == 400


def test_the_update_norm_is_measured_at_intervals(make_job: JobMaker) -> None:
    norms = {}
    for stage in STAGES:
        job = make_job(resources={"zero_stage": stage, "micro_batch": 8}, steps=2, warmup_steps=0)
        engine, batches = engine_of(job), job_batches(job, NextToken(), torch.device("cpu"))
        before = {name: tensor.clone() for name, tensor in engine.weights().items()}
        units, _, micro_batches = batches.step(0)
        norms[stage] = engine.update(micro_batches, units).metrics["update_norm"]
        after = engine.weights()
        change = math.sqrt(sum(float((after[name] - tensor).double().square().sum()) for name, tensor in before.items()))
        assert norms[stage] == pytest.approx(change / math.sqrt(sum(float(tensor.double().square().sum()) for tensor in before.values())))
        assert "update_norm" not in engine.update(micro_batches, units).metrics


@pytest.mark.parametrize("stage", STAGES)
def test_logits_in_chunks_learn_the_same(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch, stage: int) -> None:
    whole, _ = losses_of(make_job(resources={"zero_stage": stage}))
    monkeypatch.setitem(LOGITS_BYTES, "cpu", 9 * 4 * VOCABULARY)
    chunked, engine = losses_of(make_job(resources={"zero_stage": stage}))
    assert chunked == pytest.approx(whole, abs=1e-6) and chunked != whole
    assert validated(make_job(resources={"zero_stage": stage}), engine) > 0


@pytest.mark.parametrize("stage", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_recomputed_blocks_learn_the_same(make_job: JobMaker, stage: int) -> None:
    kept, _ = losses_of(make_job(resources={"zero_stage": stage}))
    again, engine = losses_of(make_job(resources={"zero_stage": stage, "recompute": "blocks"}))
    assert engine.deepspeed.module.network.recompute
    assert again == pytest.approx(kept, abs=1e-6)


def test_compiling_without_a_compiler_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(JobError, match=r"compile=true needs a C\+\+ compiler, but g\+\+ or .*set compile=false"):
        require_compiler()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile wants a compiler")
def test_compiled_training_learns_the_same(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _ = losses_of(make_job(resources={"zero_stage": 1}))
    compiled, _ = losses_of(make_job(resources={"zero_stage": 1, "compile": True}))
    assert compiled == pytest.approx(plain, abs=1e-4)
    monkeypatch.setitem(LOGITS_BYTES, "cpu", 9 * 4 * VOCABULARY)
    for stage in (0, 3):
        in_chunks, _ = losses_of(make_job(resources={"zero_stage": stage, "compile": True}))
        assert in_chunks == pytest.approx(plain, abs=1e-4)


RESUMED: list[tuple[str, int, dict[str, Any]]] = [
    ("muon", 0, {}),
    ("adafactor", 0, {}),
    ("lion", 3, {}),
    ("sophia", 1, {"sophia_every": 2}),
    ("adamw", 1, {"precision": "fp16", "loss_scale": 2.0**24, "loss_scale_window": 2}),
    ("momentum", 0, {"batch_warmup_steps": 4, "batch_warmup_from": 4}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "stage", "keys"), RESUMED)
def test_a_run_that_stops_and_resumes_ends_with_the_same_bytes(
    make_job: JobMaker, optimizer: str, stage: int, keys: dict[str, Any]
) -> None:
    """With averaged weights, which are part of the optimizer's state."""
    train_fields = {"optimizer": optimizer, "ema_decay": 0.8, "learning_rate": 5e-3, **keys}
    whole, halves = (make_job(name, {"zero_stage": stage}, **train_fields) for name in ("whole", "halves"))
    train_here(whole)
    train_here(halves, stop_after=3)
    assert not (halves.output / "model.safetensors").exists()
    train_here(halves)
    for name in ("model.safetensors", "history.jsonl"):
        assert (halves.output / name).read_bytes() == (whole.output / name).read_bytes(), name
