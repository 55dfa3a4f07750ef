"""Masks of packed rows for an accelerator: made without waiting for it, and compiled once for whatever documents there are."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask

from model.layers.attention_plan import AttentionInputs
from model.layers.config import AttentionConfig
from tests.model.training.synchronizations import Synchronizations


def plan_of(documents_BT: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(AttentionInputs, "_kernel", lambda self, **_: "flex")
    config = AttentionConfig(width=64, heads=4, kv_heads=2, context=documents_BT.shape[1], pattern="sliding", window=300)
    x_BTD = torch.zeros(*documents_BT.shape, 64)
    return AttentionInputs(config, x_BTD, None, documents_BT, training=True).plan(None)


def documents(rows: int, seed: int) -> torch.Tensor:
    return (torch.rand(rows, 768, generator=torch.Generator().manual_seed(seed)) < 0.004).cumsum(1)


def test_a_mask_of_packed_rows_is_made_without_waiting_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    documents_BT = documents(3, seed=1)
    with Synchronizations() as counter:
        counter.mark([documents_BT], hold=True)
        plan = plan_of(documents_BT, monkeypatch)
    assert not counter.waits, counter.waits
    assert plan.kernel == "flex" and plan.block_mask.shape == (3, 1, 768, 768)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile wants a compiler")
def test_masks_of_other_documents_are_made_by_the_graph_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._dynamo

    from model.layers import attention_plan

    plain = [plan_of(documents(3, seed), monkeypatch).block_mask.to_dense() for seed in range(3)]
    torch._dynamo.reset()
    compiled: Any = torch.compile(create_block_mask)
    monkeypatch.setattr(attention_plan, "block_mask_maker", lambda device_type: compiled)
    torch._dynamo.utils.counters.clear()
    found = [plan_of(documents(3, seed), monkeypatch).block_mask.to_dense() for seed in range(3)]
    assert all(map(torch.equal, found, plain)) and not torch.equal(found[0], found[1])
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
