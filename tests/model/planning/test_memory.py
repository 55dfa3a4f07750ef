"""Memory estimates: exact for what autograd saves and ZeRO partitions, close to measured runs in total."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from model.hardware.flops import training_flops
from model.networks.config import KINDS, DecoderConfig
from model.networks.decoder import Decoder
from model.networks.meta import count_parameters
from model.objectives.next_token import NextToken
from model.objectives.protocol import POLICY
from model.planning.memory import row_activations, worker_memory
from model.planning.proposal import described_job
from model.planning.trial import run_trial
from model.training.config import PretrainConfig, TrainResources
from model.training.job import Job
from model.training.kinds.pretraining import MaskedConfig, SpansConfig
from tests.benchmarks.planned_memory import OPTIMIZERS, Case, compared, generated, job_of

SMALL = DecoderConfig(width=64, layers=3, heads=4, kv_heads=2, feed_forward=192, context=32)


def job(shape: DecoderConfig = SMALL, vocabulary: int = 100, batch: int = 4, micro: int = 2, train: Any = None, **parallel: Any) -> Job:
    """A job that is never run."""
    return described_job(
        shape,
        vocabulary,
        PretrainConfig(
            tokens=0,
            steps=20,
            global_batch=batch,
            **{"optimizer": "adamw", "precision": "fp32", "within_documents": False, **(train or {})},
        ),
        TrainResources(threads=1, micro_batch=micro, parallel=parallel),
    )


def saved_bytes(shape: DecoderConfig, rows: int, precision: str) -> int:
    """What autograd saves of a forward pass besides the weights, each storage counted once."""
    decoder = Decoder(shape, 100)
    weights = {parameter.untyped_storage().data_ptr() for parameter in decoder.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    tokens = torch.zeros(rows, shape.context, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            NextToken().sums({POLICY: decoder}, {"tokens": tokens, "targets": tokens})
        return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_block_saves_for_its_backward_pass_what_is_counted(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # ZeRO 3, once begun in a process, puts a linear map of its own in place, which rounds weights again instead of keeping them.
    monkeypatch.setattr(torch.nn.functional, "linear", torch._C._nn.linear)
    two, one = (saved_bytes(SMALL.model_copy(update={"layers": layers}), 8, precision) for layers in (3, 2))
    counted = 8 * row_activations(SMALL, 100, "none" if precision == "fp32" else "bf16", packed=False).blocks[-1]
    if precision == "bf16":  # and each weight once more, rounded
        counted += 2 * (count_parameters(SMALL, 100) - count_parameters(SMALL.model_copy(update={"layers": 2}), 100))
    assert two - one == pytest.approx(counted, rel=0.001)


def test_zero_partitions_optimizer_gradients_and_weights_in_that_order() -> None:
    size = 4 * count_parameters(SMALL, 100)
    stages = [worker_memory(job(workers=2, zero_stage=stage), accelerator=True) for stage in range(4)]
    assert [memory.weights for memory in stages] == [size, size, size, size // 2]
    assert [memory.gradients for memory in stages] == [size, size, size // 2, size // 2]
    assert [memory.optimizer for memory in stages] == [2 * size, 3 * size // 2, 3 * size // 2, 3 * size // 2]
    assert all(memory.total == sum(vars(memory).values()) for memory in stages)


def test_optimizer_memory_depends_on_the_optimizer_and_offloading_removes_it() -> None:
    size = 4 * count_parameters(SMALL, 100)
    for train, numbers in (({"optimizer": "lion"}, 1), ({"optimizer": "sgd"}, 0), ({}, 2), ({"ema_decay": 0.9}, 3)):
        assert worker_memory(job(train=train, zero_stage=0), accelerator=True).optimizer == numbers * size
    assert worker_memory(job(zero_stage=1, offload_optimizer="cpu"), accelerator=True).optimizer == 0


def test_a_larger_micro_batch_takes_more_memory_and_recomputing_takes_less() -> None:
    whole = worker_memory(job(micro=2), accelerator=True)
    assert worker_memory(job(micro=4), accelerator=True).activations == 2 * whole.activations
    resources = TrainResources(micro_batch=2, recompute="blocks")
    assert worker_memory(job().model_copy(update={"resources": resources}), accelerator=True).activations < whole.activations


LONG = DecoderConfig(width=192, layers=6, heads=6, kv_heads=2, feed_forward=512, context=256)
DEEP, WIDE = Case(192, 4, 512, 256, 4096, 8), Case(448, 3, 1344, 64, 8192, 1)
# Megabytes that training processes took beyond what they had before the model was built, by `tests.benchmarks.planned_memory`, of which
# these had three steps; Linux, torch 2.13, DeepSpeed 0.19, one thread.
MEASURED = [
    ("adamw", DEEP, 572),
    ("muon", DEEP, 570),
    ("sgd", WIDE, 451),
    ("adamw", WIDE, 648),
    ("muon", WIDE, 620),
    ("adamw", WIDE._replace(stage=1), 833),
    ("muon", WIDE._replace(stage=1), 810),
]


@pytest.mark.parametrize(("optimizer", "case", "megabytes"), MEASURED)
def test_the_estimate_is_within_ten_percent_of_measured_processes(optimizer: str, case: Case, megabytes: int, tmp_path: Path) -> None:
    said = worker_memory(job_of(case, optimizer, tmp_path), accelerator=False, framework=0).total
    assert said == pytest.approx(megabytes * 1e6, rel=0.10)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_is_said_of_every_optimizer_is_within_ten_percent_of_what_a_process_takes(optimizer: str) -> None:
    found = [compared(generated(number, optimizer), optimizer).ratio for number in range(3)]
    print(f"\n{optimizer}: said for each byte used " + ", ".join(f"{ratio:.2f}" for ratio in found))
    assert found == pytest.approx([1.0] * len(found), abs=0.10)


@pytest.mark.slow
def test_the_time_of_runs_is_predicted_within_thirty_percent() -> None:
    shapes = [
        (DecoderConfig(width=128, layers=4, heads=4, kv_heads=2, feed_forward=344, context=128), 3072, 16, 16),
        (LONG, 4096, 16, 8),
        (DecoderConfig(width=320, layers=8, heads=10, kv_heads=5, feed_forward=832, context=256), 4096, 8, 4),
    ]
    for shape, vocabulary, batch, micro in shapes:
        asked = job(shape, vocabulary, batch, micro, zero_stage=1)
        # A run of two of the layers tells how fast the machine is; processor time, since others may want the machine meanwhile.
        short = run_trial(asked.model_copy(update={"network": short_shape(shape)}))
        speed = short.tokens * training_flops(short_shape(shape), vocabulary) / short.cpu_seconds
        run = run_trial(asked, updates=6)
        assert run.tokens * training_flops(shape, vocabulary) / speed == pytest.approx(run.cpu_seconds, rel=0.30)


def short_shape(shape: DecoderConfig) -> DecoderConfig:
    """Two of its layers."""
    return shape.model_copy(update={"layers": 2})


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if "gradients" in kind.SUPPORTS])
def test_the_memory_of_every_kind_of_network_is_known_without_building_it(kind: str) -> None:
    network = KINDS[kind].model_validate({"width": 64, "layers": 2, "context": 32})
    kinds: Any = {"causal": PretrainConfig, "bidirectional": MaskedConfig, "infilling": SpansConfig}
    train = next(kinds[ability] for ability in kinds if ability in network.SUPPORTS)(global_batch=64, precision="fp32")
    described = described_job(network, 500, train, TrainResources(threads=1))  # type: ignore[arg-type]  # KINDS holds the members
    memory = worker_memory(described, accelerator=False)
    assert memory.weights == 4 * count_parameters(network, 500) and memory.activations > 0
    # Log-probabilities, their gradients and those of the logits, of the tokens that the loss reads.
    assert memory.logits == 3 * 4 * 500 * described.micro_batch * round(32 * train.read_share)
