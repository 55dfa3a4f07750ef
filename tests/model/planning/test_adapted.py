"""The memory of an adapted network is counted on an update of it, and small ones tell of large ones."""

from __future__ import annotations

import pytest

from model.adapters.config import AnyAdapter
from model.adapters.lora import LoraConfig
from model.adapters.qlora import QLoraConfig
from model.networks.config import DecoderConfig
from model.networks.meta import count_parameters, parameters_by_role
from model.planning.adapted import adapted_update
from model.planning.memory import worker_memory
from model.planning.proposal import described_job
from model.training.config import PretrainConfig, TrainResources
from model.training.job import Job

pytest.importorskip("peft")
LORA, QLORA = LoraConfig(kind="lora", rank=16, alpha=32), QLoraConfig(kind="qlora", rank=16, alpha=32)
SHAPE = DecoderConfig(width=64, layers=7, heads=4, kv_heads=2, feed_forward=160, context=32)
VOCABULARY = 512
# Qwen2.5-7B.
LARGE, MANY = DecoderConfig(width=3584, layers=28, heads=28, kv_heads=4, feed_forward=18944, context=256, tied_embeddings=False), 152_064


def adapted(config: DecoderConfig, vocabulary: int, adapter: AnyAdapter, rows: int = 2) -> Job:
    """A job that is only described; an adapter in it, as an open model's has."""
    train = PretrainConfig.model_validate(
        {"tokens": 0, "steps": 4, "global_batch": rows, "optimizer": "adamw", "precision": "bf16", "warmup_steps": 1}
    )
    job = described_job(config, vocabulary, train, TrainResources())
    return job.model_copy(update={"train": train.model_copy(update={"adapter": adapter})})


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("adapter", [LORA, QLORA], ids=lambda adapter: adapter.kind)
def test_two_depths_tell_exactly_what_a_deep_network_holds(adapter: AnyAdapter, recompute: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told = adapted_update(SHAPE, VOCABULARY, adapter, 2, "bf16", packed=True, recompute=recompute)
    monkeypatch.setattr(DecoderConfig, "shallow", property(lambda self: self))
    adapted_update.cache_clear()
    counted = adapted_update(SHAPE, VOCABULARY, adapter, 2, "bf16", packed=True, recompute=recompute)
    adapted_update.cache_clear()
    assert told == counted


def test_lora_holds_whole_weights_and_trains_its_own() -> None:
    held = adapted_update(SHAPE, VOCABULARY, LORA, 2, "none", packed=False, recompute=False)
    matrices = [(64, 64), (32, 64), (32, 64), (64, 64), (160, 64), (160, 64), (64, 160)]
    own = 4 * SHAPE.layers * sum(16 * (rows + columns) for rows, columns in matrices)
    assert held.trained == own
    assert held.weights == pytest.approx(4 * count_parameters(SHAPE, VOCABULARY) + own, rel=0.01)


def test_qlora_of_seven_billion_takes_a_seventh_of_its_matrices_and_is_counted_without_them() -> None:
    roles = parameters_by_role(LARGE, MANY)
    memory = worker_memory(adapted(LARGE, MANY, QLORA), accelerator=False)
    packed = roles["matrix"] * (1 / 2 + 2 / 64) + 4 * (sum(roles.values()) - roles["matrix"])
    assert memory.weights == pytest.approx(packed + memory.gradients, rel=0.01)
    assert memory.total < worker_memory(adapted(LARGE, MANY, LORA), accelerator=False).total - 3 * roles["matrix"]


def test_states_and_checkpoint_are_of_what_is_trained() -> None:
    memory = worker_memory(adapted(SHAPE, VOCABULARY, LORA), accelerator=False)
    assert (memory.optimizer, memory.checkpoint) == (2 * memory.gradients, 3 * memory.gradients)
