"""Logits computed in chunks give the losses and gradients of logits computed at once, in a fraction of the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model.networks.config import DecoderConfig, EncoderConfig
from model.networks.network import Network
from model.objectives import chunked
from model.objectives.dpo import Dpo
from model.objectives.grpo import Grpo
from model.objectives.masked import Masked
from model.objectives.next_token import NextToken
from model.objectives.protocol import POLICY, REFERENCE, Objective
from tests.model.jobs import SHAPE, VOCABULARY, packed_rows, preference_rows
from tests.model.objectives.grpo_rows import Rows, rollout_rows

ROWS = 7  # targets in a chunk: no divisor of what there is
Shape = dict[str, Any]
SHAPES: list[Shape] = [{}, {"tied_embeddings": False, "logit_soft_cap": 5.0}]


@contextmanager
def chunks_of(monkeypatch: pytest.MonkeyPatch, rows: int, vocabulary: int = VOCABULARY) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setitem(chunked.LOGITS_BYTES, "cpu", rows * 4 * vocabulary)
        yield


def case(name: str, shape: Shape) -> tuple[Objective, Network, dict[str, Tensor]]:
    """An objective, a network and a batch."""
    decoder = SHAPE.model_copy(update={"initial_std": 0.3, **shape}).build(VOCABULARY, seed=1)
    positions = {"position": torch.arange(6).numpy()}
    objective: Any = {"next_token": NextToken(), "masked": Masked(share=0.5), "dpo": Dpo(), "grpo": Grpo(12)}[name]
    makers: dict[str, Callable[[int, int], Rows]] = {
        "dpo": preference_rows,
        "grpo": lambda rows, seed: rollout_rows(3, 2, 17, VOCABULARY, seed),
    }
    rows = makers.get(name, packed_rows)(6, 3)
    network: Network = decoder
    if name == "masked":
        network = EncoderConfig(width=32, layers=1, heads=2, feed_forward=48, context=16, initial_std=0.3).build(VOCABULARY, seed=1)
    batch = objective.batch({**rows, **positions})
    return objective, network, {column: torch.from_numpy(values.copy()) for column, values in batch.items()}


def learned(objective: Objective, network: Network, batch: dict[str, Tensor], precision: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Sums, and the gradients of a multiple of their weighted sum."""
    network.zero_grad()
    torch.manual_seed(0)
    reference = SHAPE.model_copy(update={"initial_std": 0.3}).build(VOCABULARY, seed=2).eval().requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        sums = objective.sums({POLICY: network, REFERENCE: reference}, batch)
    sum(0.3 * term.weight * value for term, value in zip(objective.terms, sums, strict=True) if term.weight).backward()
    return sums.detach(), {name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["next_token", "masked", "dpo", "grpo"])
def test_chunks_give_the_same_sums_and_gradients(monkeypatch: pytest.MonkeyPatch, name: str, shape: Shape, precision: str) -> None:
    objective, network, batch = case(name, shape)
    expected, gradients = learned(objective, network, batch, precision)
    with chunks_of(monkeypatch, ROWS):
        found, in_chunks = learned(objective, network, batch, precision)
    rtol, atol = (1e-5, 1e-6) if precision == "fp32" else (2e-2, 2e-2)
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)
    assert in_chunks.keys() == gradients.keys()
    for parameter, gradient in gradients.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(
            in_chunks[parameter] / scale, gradient / scale, rtol=rtol, atol=atol, msg=partial("{}: {}".format, parameter)
        )


@pytest.mark.parametrize("name", ["next_token", "dpo"])
def test_a_head_that_is_not_trained_passes_gradients_on(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    objective, network, batch = case(name, {"tied_embeddings": False})
    for weight in network.read_weights():
        weight.requires_grad_(False)
    _, gradients = learned(objective, network, batch, "fp32")
    with chunks_of(monkeypatch, ROWS):
        _, in_chunks = learned(objective, network, batch, "fp32")
    assert in_chunks.keys() == gradients.keys() and "lm_head.weight" not in gradients
    for parameter, gradient in gradients.items():
        torch.testing.assert_close(in_chunks[parameter], gradient, rtol=1e-5, atol=1e-5 * float(gradient.abs().max()))


def test_no_tensor_as_large_as_all_logits_is_ever_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted over all operations of the forward and backward pass, on tensors without numbers."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    from model.networks.meta import fake_network

    class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's modes have no types
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.numbers = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            self.numbers = max([self.numbers, *(leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, Tensor))])
            return out

    config, vocabulary, rows, context = DecoderConfig(width=64, layers=1, heads=2, kv_heads=2, feed_forward=96, context=128), 5000, 8, 128
    largest = {}
    for size in (100, rows * context):
        with chunks_of(monkeypatch, size, vocabulary), fake_network(config, vocabulary) as network, Largest() as mode:
            tokens = torch.zeros(rows, context, dtype=torch.long)
            torch.autograd.backward(NextToken().sums({POLICY: network.train()}, {"tokens": tokens, "targets": tokens})[0])
        largest[size] = mode.numbers
    assert largest[rows * context] == rows * context * vocabulary
    assert largest[100] == 100 * vocabulary


def test_a_token_is_drawn_for_every_target(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, network, batch = case("next_token", {})
    assert isinstance(objective, NextToken)
    with chunks_of(monkeypatch, ROWS):
        drawn = objective.drawn({POLICY: network}, batch)["targets"]
    assert drawn.shape == batch["targets"].shape and bool(((drawn == -100) == (batch["targets"] == -100)).all())
    assert int(drawn.max()) < VOCABULARY and len(set(drawn.flatten().tolist())) > 10


def test_measuring_without_gradients_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, network, batch = case("next_token", {})
    with torch.no_grad():
        logits, targets = network.logits(batch), batch["targets"]
        whole = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        with chunks_of(monkeypatch, ROWS):
            torch.testing.assert_close(objective.sums({POLICY: network}, batch)[0], whole, rtol=1e-5, atol=0)
