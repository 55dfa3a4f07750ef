"""Sizes of every kind of network, asked of the network without numbers, are those of the network with numbers."""

from __future__ import annotations

from typing import Self

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.hardware.flops import training_flops
from model.networks.base import NetworkBase
from model.networks.config import KINDS, NgramConfig, RecurrentConfig
from model.networks.meta import count_parameters, example_inputs, parameters_by_role
from model.planning.memory import row_activations
from model.planning.rules import shape_for
from tests.model.networks.decoders import EVERY, small_config

VOCABULARY, CONTEXT = 61, 24
TRAINED = {name: kind for name, kind in KINDS.items() if "gradients" in kind.SUPPORTS}
OTHERS = {name: kind for name, kind in TRAINED.items() if name != "decoder"}
SHAPES: dict[str, NetworkBase] = {
    **{name: small_config(**choice, layers=3) for name, choice in EVERY.items()},
    "multi-token": small_config(layers=3, multi_token=2),
    "vector-input": small_config(layers=3, inputs=[{"kind": "tokens"}, {"kind": "vectors", "column": "spelling", "size": 12}]),
    "picture-input": small_config(layers=3, inputs=[{"kind": "tokens"}, {"kind": "pictures", "height": 4, "width": 6, "patch": 2}]),
    **{name: kind(width=32, layers=3, context=CONTEXT) for name, kind in OTHERS.items()},  # type: ignore[call-arg]
}
each = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def saved_bytes(shape: NetworkBase, rows: int, *, packed: bool) -> int:
    """What autograd saves of a real forward pass besides the weights, each storage counted once."""
    network = shape.build(VOCABULARY).train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    inputs = example_inputs(shape, rows, shape.context)
    if packed:
        inputs["documents"] = inputs["tokens"]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        for x_BTD in network.ahead(inputs):
            network.read(x_BTD)
    return sum(storage.nbytes() for storage in kept.values())


@each
def test_parameters_are_those_of_the_network(shape: NetworkBase) -> None:
    network = shape.build(VOCABULARY)
    assert count_parameters(shape, VOCABULARY) == sum(parameter.numel() for parameter in network.parameters())
    assert parameters_by_role(shape, VOCABULARY).keys() == set(network.roles().values())


@each
@pytest.mark.parametrize("packed", [False, True], ids=["alone", "packed"])
def test_what_a_row_keeps_is_what_autograd_saves(shape: NetworkBase, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # ZeRO 3, once begun in a process, puts a linear map of its own in place, which saves the same and more.
    monkeypatch.setattr(torch.nn.functional, "linear", torch._C._nn.linear)
    monkeypatch.setattr("model.layers.experts.TILE", 1)  # a last tile that is not full belongs to no row
    counted = row_activations(shape, VOCABULARY, "none", packed=packed)
    real = saved_bytes(shape, 3, packed=packed) - saved_bytes(shape, 2, packed=packed)
    assert counted.outside + sum(counted.blocks) == pytest.approx(real, rel=0.01)
    assert counted.block_input == 4 * shape.width * shape.context


@pytest.mark.parametrize("kind", TRAINED.values(), ids=TRAINED.keys())
def test_training_operations_are_those_that_torch_counts(kind: type[NetworkBase]) -> None:
    shape = kind(width=32, layers=3, context=CONTEXT)  # type: ignore[call-arg]
    network = shape.build(VOCABULARY)
    counter = FlopCounterMode(display=False)
    with counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        torch.autograd.backward(network.logits(example_inputs(shape, 1, CONTEXT)).sum())
    # Torch counts no product for the gradient of the first state, which is zeros and learns nothing, nor for the last one's, which
    # nothing reads. Where a row is a single chunk that is two in a hundred.
    assert training_flops(shape, VOCABULARY) * CONTEXT == pytest.approx(counter.get_total_flops(), rel=0.03 if shape.period > 1 else 0.01)


@pytest.mark.parametrize("kind", TRAINED.values(), ids=TRAINED.keys())
@pytest.mark.parametrize("parameters", [1e6, 3e7, 2e9])
def test_a_shape_of_about_so_many_parameters_is_found_for_every_kind_with_a_rule(kind: type[NetworkBase], parameters: float) -> None:
    found = shape_for(parameters, 4096, kind(context=CONTEXT))  # type: ignore[arg-type, call-arg]
    assert count_parameters(found, 4096) == pytest.approx(parameters, rel=0.25)


def test_a_model_that_is_counted_multiplies_nothing_and_has_no_size_before_it_has_counted() -> None:
    assert (training_flops(NgramConfig(), VOCABULARY), count_parameters(NgramConfig(), VOCABULARY)) == (0.0, 5)


def test_a_kind_without_a_rule_is_refused_by_name() -> None:
    class Bare(RecurrentConfig):
        def resized(self, width: int, layers: int) -> Self:
            return NetworkBase.resized(self, width, layers)

    with pytest.raises(ValueError, match="kind=recurrent has no rule for its inner sizes"):
        shape_for(1e6, 4096, Bare())
