"""Blocks that are alike share one compiled graph, however many there are, and compute what they computed before."""

from __future__ import annotations

import shutil

import pytest

from model.networks.config import DecoderConfig
from model.objectives.next_token import NextToken
from model.objectives.protocol import POLICY


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile wants a compiler")
def test_twice_as_many_blocks_take_as_many_graphs() -> None:
    import torch._dynamo

    graphs = []
    for layers in (2, 4):
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        network = DecoderConfig(width=32, layers=layers, heads=2, kv_heads=2, feed_forward=48, context=16).build(64).train()
        tokens = torch.arange(32).view(2, 16)
        batch = {"tokens": tokens, "targets": tokens}
        (plain,) = NextToken().sums({POLICY: network}, batch)
        network.compile_parts()
        for _ in range(2):
            (compiled,) = NextToken().sums({POLICY: network}, batch)
            compiled.backward()
        torch.testing.assert_close(compiled, plain)
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert graphs == [2, 2], "a block, and the loss"
