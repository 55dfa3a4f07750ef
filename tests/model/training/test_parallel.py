"""Pipelines, tensor parallelism, offloading: the layout changes no loss, and impossible layouts are refused by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from flows.recipe.loading import load
from flows.recipe.validation import RecipeError
from model.networks.network import CutPlan
from model.objectives.protocol import FromLogits
from model.training.config import DpoConfig, PretrainConfig, PretrainStep, TrainConfig, TrainResources, TuningStep
from model.training.distributed import WorkerRank, import_deepspeed, own_card, select_device
from model.training.job import Job, JobError
from model.training.launch.launch import launch
from model.training.parallel.compile import deepspeed_config
from model.training.resources import ParallelConfig
from model.training.telemetry.progress import Progress
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import SHAPE, JobMaker, follow_up, free_port

TRAINING_KINDS: list[type[TrainConfig]] = [kind for step in (PretrainStep, TuningStep) for kind in get_args(get_args(step)[0])]


def curve(job: Job) -> list[float]:
    lines = read_lines(job.output / "history.jsonl")
    return [*(line["loss"] for line in lines), *(line["grad_norm"] for line in lines), lines[-1]["val_loss"]]


LAYOUTS = [
    {"workers": 2, "pipeline": 2, "zero_stage": 1},
    {"workers": 2, "tensor": 2, "zero_stage": 1},
    {"workers": 2, "pipeline": 2, "zero_stage": 0},
    {"workers": 2, "tensor": 2, "zero_stage": 2},
    {"workers": 2, "tensor": 2, "zero_stage": 3},
    {"workers": 4, "pipeline": 2, "zero_stage": 1},
    {"workers": 4, "tensor": 2, "zero_stage": 1},
    {"workers": 2, "zero_stage": 1, "offload_optimizer": "cpu"},
    {"workers": 2, "zero_stage": 2, "offload_optimizer": "cpu"},
    {"workers": 2, "zero_stage": 3, "offload_optimizer": "cpu", "offload_weights": "cpu"},
    {"workers": 2, "tensor": 2, "zero_stage": 2, "offload_optimizer": "cpu"},
]


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(f"{name}_{value}" for name, value in layout.items()))
def test_pipeline_tensor_parallel_and_offloaded_training_learn_what_one_process_learns(make_job: JobMaker, layout: dict[str, int]) -> None:
    alone, cut = make_job("alone", {"micro_batch": 2}, steps=20), make_job("cut", {"micro_batch": 2, **layout}, steps=20)
    launch(alone)
    launch(cut)
    expected = curve(alone)
    assert expected[19] < expected[0] - 0.5, "nothing was learned, so equal curves would prove nothing"
    assert curve(cut) == pytest.approx(expected, abs=1e-3)
    first, second = (load_file(job.output / "model.safetensors") for job in (alone, cut))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, atol=1e-3, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout", [{"workers": 2, "pipeline": 2}, {"workers": 2, "tensor": 2, "zero_stage": 1}], ids=lambda layout: [*layout][1]
)
def test_training_resumes_on_one_worker_after_tensor_parallelism(make_job: JobMaker, layout: dict[str, int]) -> None:
    undisturbed, job = make_job("undisturbed", {"micro_batch": 2}, steps=20), make_job("resumed", {"micro_batch": 2, **layout}, steps=20)
    launch(undisturbed)

    class Enough(Exception):
        pass

    def stop(progress: Progress) -> None:
        if (job.checkpoints / "latest.json").exists():
            raise Enough

    slow = job.model_copy(update={"resources": job.resources.model_copy(update={"checkpoint_every_steps": 2})})
    with pytest.raises(Enough):
        launch(slow, on_progress=stop)
    whole = job.model_copy(update={"resources": undisturbed.resources})
    notes: list[str] = []
    launch(whole, on_progress=lambda progress: notes.append(progress.note))
    assert any("continuing from the checkpoint of step" in note for note in notes)
    assert curve(whole) == pytest.approx(curve(undisturbed), abs=1e-3)


REFUSED = [
    ({"workers": 3, "pipeline": 2}, r"workers=3 does not divide by pipeline=2"),
    ({"workers": 2, "nodes": 4}, r"workers=2 does not divide by nodes=4"),
    ({"workers": 4, "pipeline": 2, "tensor": 2}, r"tensor=2 with pipeline=2.*set one of them to 1"),
    ({"workers": 2, "pipeline": 2, "zero_stage": 2}, r"zero_stage=2 with pipeline=2.*use zero_stage 0 or 1"),
    ({"workers": 2, "pipeline": 2, "zero_stage": 1, "offload_optimizer": "cpu"}, r"offload_optimizer=cpu with pipeline=2"),
    ({"workers": 2, "tensor": 2, "zero_stage": 0}, r"zero_stage=0 with tensor=2.*use zero_stage 1 to 3"),
    ({"zero_stage": 2, "offload_weights": "cpu"}, r"offload_weights=cpu with zero_stage=2.*use zero_stage=3"),
    ({"zero_stage": 0, "offload_optimizer": "cpu"}, r"offload_optimizer=cpu with zero_stage=0.*use zero_stage=1 or more"),
    (
        {"zero_stage": 2, "offload_optimizer": "nvme", "nvme_path": "/d"},
        r"offload_optimizer=nvme with zero_stage=2.*or offload_optimizer=cpu",
    ),
    ({"zero_stage": 3, "offload_optimizer": "nvme"}, r"nvme_path is empty"),
    ({"workers": 2, "nodes": 2}, r"nodes=2 with launcher=local"),
    ({"launcher": "hostfile"}, r"hostfile is empty: launcher=hostfile needs it"),
    ({"launcher": "torchrun", "rendezvous": "node1"}, r"rendezvous='node1' has no port"),
    ({"sequence": 2}, r"sequence\n  Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("keys", "message"), REFUSED, ids=lambda value: "" if isinstance(value, str) else "-".join(map(str, value)))
def test_a_layout_that_deepspeed_cannot_do_is_refused_with_key_value_and_remedy(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ParallelConfig(**keys)


@pytest.mark.parametrize(
    ("resources", "train", "message"),
    [
        ({"workers": 3}, {}, r"global_batch=8 does not divide among workers=3; choose a multiple of 3"),
        ({"workers": 6, "tensor": 2, "zero_stage": 1, "micro_batch": 0}, {}, r"global_batch=8 does not divide among workers=6 / tensor=2"),
        ({"workers": 4, "pipeline": 4, "micro_batch": 0}, {}, r"layers=2 with pipeline=4: each stage needs at least one block"),
        ({"workers": 4, "tensor": 4, "zero_stage": 1, "micro_batch": 0}, {}, r"kv_heads=2 is not divisible by tensor=4"),
        ({"workers": 2, "pipeline": 2, "micro_batch": 0}, {"global_batch": 1}, r"gives each pipeline 1 sequences.*choose at least 2"),
    ],
)
def test_a_layout_that_does_not_fit_model_or_batch_is_refused_by_name(
    make_job: JobMaker, resources: dict[str, Any], train: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        make_job(resources=resources, **train)


def test_preferences_are_not_learned_in_a_pipeline(make_job: JobMaker, shards: Path) -> None:
    job = follow_up(make_job(), shards, DpoConfig(steps=1, tokens=0, global_batch=4), "dpo")
    parallel = ParallelConfig(workers=2, pipeline=2)
    with pytest.raises(ValidationError, match=r"kind=dpo with pipeline=2: it needs a whole reference model; use pipeline=1"):
        Job.model_validate(job.model_dump() | {"resources": TrainResources(parallel=parallel)})


@pytest.mark.parametrize("kind", TRAINING_KINDS, ids=lambda kind: kind.__name__)
def test_a_kind_of_training_says_whether_its_objective_needs_the_logits_alone(kind: type[TrainConfig]) -> None:
    config = kind(steps=1, tokens=0)  # type: ignore[call-arg]
    assert isinstance(config.build_objective(SHAPE), FromLogits) == kind.FROM_LOGITS


@pytest.mark.slow
def test_validation_drops_nothing_in_a_pipeline(make_job: JobMaker) -> None:
    """Embeddings are dropped by code outside of the stages' own modules."""
    once: dict[str, Any] = {"steps": 1, "learning_rate": 1e-9}
    dropping = {"network": SHAPE.model_copy(update={"dropout": 0.5})}
    alone = make_job("alone", **once).model_copy(update=dropping)
    cut = make_job("cut", {"workers": 2, "pipeline": 2}, **once).model_copy(update=dropping)
    for job in (alone, cut):
        launch(job)
    assert curve(cut)[-1] == pytest.approx(curve(alone)[-1], abs=1e-5)


def test_a_flow_with_a_pipeline_aligns_without_one() -> None:
    resources = TrainResources(parallel=ParallelConfig(workers=2, pipeline=2))
    assert resources.for_training(PretrainConfig()) == resources
    assert resources.for_training(DpoConfig()).parallel == ParallelConfig(workers=2)
    assert load("four_books", ("resources.training.parallel.workers=2", "resources.training.parallel.pipeline=2", "sft.replay=0"))


def test_a_recipe_names_the_sections_of_a_layout_that_does_not_fit() -> None:
    message = r"pretrain\.global_batch=16 does not divide among resources\.training\.parallel\.workers=3; choose a multiple of 3"
    with pytest.raises(RecipeError, match=message):
        load("four_books", ("resources.training.parallel.workers=3", "pretrain.global_batch=16"))


COMPILED = [
    ({}, {"stage": 0}),
    ({"zero_stage": 1}, {"stage": 1}),
    ({"zero_stage": 2, "offload_optimizer": "cpu"}, {"stage": 2, "offload_optimizer": {"device": "cpu", "pin_memory": True}}),
    (
        {"zero_stage": 3, "offload_optimizer": "nvme", "offload_weights": "nvme", "nvme_path": "/disk"},
        {
            "stage": 3,
            "offload_optimizer": {"device": "nvme", "pin_memory": True, "nvme_path": "/disk"},
            "offload_param": {"device": "nvme", "pin_memory": True, "nvme_path": "/disk"},
        },
    ),
]


@pytest.mark.parametrize(("keys", "zero"), COMPILED, ids=lambda value: "-".join(map(str, value.values())))
def test_the_typed_section_compiles_to_a_configuration_that_deepspeed_reads_back(
    make_job: JobMaker, keys: dict[str, Any], zero: dict[str, Any]
) -> None:
    import_deepspeed()
    from deepspeed.runtime.config import DeepSpeedConfig

    compiled = deepspeed_config(make_job(resources=keys), CutPlan())
    assert compiled["zero_optimization"] == zero
    read = DeepSpeedConfig(compiled)
    assert read.train_micro_batch_size_per_gpu == 4
    assert read.zero_optimization_stage == zero["stage"]
    for key, section in (("offload_optimizer", read.zero_config.offload_optimizer), ("offload_param", read.zero_config.offload_param)):
        assert (section and section.device) == zero.get(key, {}).get("device"), key


def test_a_machine_without_libaio_refuses_nvme_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import_deepspeed()
    from deepspeed.ops.op_builder import AsyncIOBuilder

    from model.training.parallel.engines import require_async_io

    nvme = ParallelConfig(zero_stage=3, offload_weights="nvme", nvme_path="/disk")
    monkeypatch.setattr(AsyncIOBuilder, "has_function", lambda *args, **kwargs: False)
    with pytest.raises(JobError, match=r"offload_weights=nvme needs DeepSpeed's async_io.*libaio.*or set offload_weights=cpu"):
        require_async_io(nvme)
    require_async_io(ParallelConfig(zero_stage=3, offload_weights="cpu"))


@pytest.mark.parametrize(
    ("local_rank", "visible", "slurm", "card"),
    [(1, 4, False, 1), (0, 1, False, 0), (1, 4, True, 1), (3, 1, True, 0)],
    ids=["all cards seen", "the only card", "all seen under Slurm", "Slurm shows each task its own"],
)
def test_each_worker_uses_its_own_card_over_nccl(
    monkeypatch: pytest.MonkeyPatch, local_rank: int, visible: int, slurm: bool, card: int
) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", str(local_rank))
    monkeypatch.setenv("SLURM_PROCID", "3") if slurm else monkeypatch.delenv("SLURM_PROCID", raising=False)
    assert select_device(WorkerRank(rank=3, local_rank=local_rank, world_size=4)) == "nccl"
    assert chosen == [card]
    assert os.environ["LOCAL_RANK"] == str(card), "DeepSpeed takes its device from there"


def test_a_worker_without_a_card_of_its_own_is_refused_by_name() -> None:
    with pytest.raises(JobError, match=r"worker 2 of .* has no card of its own: 2 visible there"):
        own_card(2, 2, {"SLURM_PROCID": "2"})
    with pytest.raises(JobError, match=r"worker 1 of .* has no card of its own: 1 visible there"):
        own_card(1, 1, {})


def test_workers_without_accelerators_meet_over_gloo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert select_device(WorkerRank(rank=3, local_rank=1, world_size=4)) == "gloo"


WRITER = """
import sys, time
from model.training.distributed import HostExchange, WorkerRank, join, import_deepspeed
import_deepspeed()
rank = int(sys.argv[1])
join(WorkerRank(rank, rank, 2), meet_seconds=10)
exchange = HostExchange(2, meet_seconds=1)
time.sleep(14 if rank == 0 else 0)
exchange.wait_for_writer()
print(exchange.sum([1.0]))
"""


def test_workers_wait_longer_for_one_that_writes_than_an_exchange_may_take() -> None:
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(rank)], env={**os.environ, **meeting, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    assert [worker.communicate(timeout=120)[0].strip() for worker in workers] == ["[2.0]", "[2.0]"]
