"""Each optimizer against its reference: torch's own class, or the paper's formula in plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.training.config import PretrainConfig
from model.training.optimizers.build import average_weights, build_optimizer, parameters_by_role
from model.training.optimizers.lion_and_sophia import Lion, Sophia

SHAPE = DecoderConfig(width=16, layers=2, heads=2, kv_heads=1, feed_forward=24, context=8)
GRADIENTS = [[0.5, -2.0, 0.0], [1.5, 1.0, 0.1], [-4.0, 0.25, -0.2], [0.125, 0.5, 0.1]]


def tiny() -> Decoder:
    return Decoder(SHAPE, 20, seed=3)


def config(**keys: Any) -> PretrainConfig:
    return PretrainConfig.model_validate({"steps": 5, "tokens": 0, "learning_rate": 0.01, **keys})


def taught(decoder: Decoder, optimizers: list[torch.optim.Optimizer], updates: int = 5) -> dict[str, Tensor]:
    """Its weights after some updates, with gradients that depend on the number of the update."""
    for update in range(updates):
        generator = torch.Generator().manual_seed(update)
        for parameter in decoder.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        for optimizer in optimizers:
            optimizer.step()
    return dict(decoder.named_parameters())


def split(decoder: Decoder) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices and one-dimensional parameters, chosen by name and not by shape."""
    gains = [parameter for name, parameter in decoder.named_parameters() if "norm" in name]
    return [parameter for name, parameter in decoder.named_parameters() if "norm" not in name], gains


def test_matrices_decay_and_the_gains_of_norms_do_not() -> None:
    optimizer = build_optimizer(tiny(), config(weight_decay=0.3))
    decays = {parameter.dim(): group["weight_decay"] for group in optimizer.param_groups for parameter in group["params"]}
    assert decays == {1: 0.0, 2: 0.3}


TORCHS: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {}, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.8, "nesterov": True}, {"momentum": 0.8}),
    "adam": (torch.optim.Adam, {"betas": (0.8, 0.9), "eps": 1e-6}, {"beta1": 0.8, "beta2": 0.9, "epsilon": 1e-6}),
    "adamw": (torch.optim.AdamW, {"betas": (0.8, 0.9), "eps": 1e-6}, {"beta1": 0.8, "beta2": 0.9, "epsilon": 1e-6}),
    "adafactor": (torch.optim.Adafactor, {}, {}),
}


@pytest.mark.parametrize("name", TORCHS)
def test_optimizers_that_torch_has_are_torchs(name: str) -> None:
    kind, arguments, keys = TORCHS[name]
    ours, reference = tiny(), tiny()
    matrices, gains = split(reference)
    # Every other way through torch rounds as it likes; the fused one is what is trained with.
    fused = {} if name == "adafactor" else {"fused": True}
    groups = [{"params": matrices, "weight_decay": 0.2}, {"params": gains, "weight_decay": 0.0}]
    expected = taught(reference, [kind(groups, lr=0.01, **arguments, **fused)])
    for parameter, tensor in taught(ours, [build_optimizer(ours, config(optimizer=name, weight_decay=0.2, **keys))]).items():
        assert torch.equal(tensor, expected[parameter]), parameter


def test_muon_moves_the_matrices_of_the_blocks_and_adamw_the_rest_embeddings_five_times_as_fast() -> None:
    ours, reference = tiny(), tiny()
    names = {name for name, _ in reference.named_parameters() if ".layers." in name and "norm" not in name}
    inside = [parameter for name, parameter in reference.named_parameters() if name in names]
    outside = [parameter for name, parameter in reference.named_parameters() if name not in names]
    muon = torch.optim.Muon(inside, lr=0.02, weight_decay=0.2, momentum=0.9, nesterov=True, adjust_lr_fn="match_rms_adamw")
    groups = [
        {"params": [each for each in outside if each.dim() == dim], "weight_decay": decay, "lr": rate}
        for dim, decay, rate in ((2, 0.2, 0.05), (1, 0.0, 0.01))
    ]
    expected = taught(reference, [muon, torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95), fused=True)])
    optimizer = build_optimizer(ours, config(optimizer="muon", weight_decay=0.2, muon_learning_rate=0.02, momentum=0.9))
    got = taught(ours, [optimizer])
    for name, tensor in got.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-6, atol=1e-7, msg=name)
    chosen = {id(matrix) for matrix in parameters_by_role(ours)["matrix"]}
    assert {name for name, parameter in ours.named_parameters() if id(parameter) in chosen} == names
    assert all("momentum_buffer" in optimizer.state[got[name]] for name in names)


def test_muon_resumes_from_a_loaded_state_exactly() -> None:
    whole, halves = tiny(), tiny()
    expected = taught(whole, [build_optimizer(whole, config(optimizer="muon"))], updates=5)
    first = build_optimizer(halves, config(optimizer="muon"))
    taught(halves, [first], updates=3)
    second = build_optimizer(halves, config(optimizer="muon"))
    second.load_state_dict(first.state_dict())
    for update in (3, 4):
        generator = torch.Generator().manual_seed(update)
        for parameter in halves.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        second.step()
    for name, tensor in halves.named_parameters():
        assert torch.equal(tensor, expected[name]), name


def weights_after(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> list[list[float]]:
    rows = []
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        rows.append(parameter.tolist())
    return rows


def test_lion_is_the_papers_formula() -> None:
    parameter = nn.Parameter(torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64))
    got = weights_after(Lion([parameter], lr=0.1, betas=(0.9, 0.99), weight_decay=0.2), parameter)
    weight, memory = [1.0, -1.0, 0.5], [0.0, 0.0, 0.0]
    for row, gradient in zip(got, GRADIENTS, strict=True):
        for index, slope in enumerate(gradient):
            mixed = 0.9 * memory[index] + 0.1 * slope
            weight[index] -= 0.1 * ((mixed > 0) - (mixed < 0) + 0.2 * weight[index])
            memory[index] = 0.99 * memory[index] + 0.01 * slope
        assert row == pytest.approx(weight, abs=1e-12)


def test_sophia_is_the_papers_formula_with_curvature_estimated_every_other_update() -> None:
    parameter = nn.Parameter(torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64))
    optimizer = Sophia([parameter], lr=0.1, betas=(0.9, 0.8), gamma=0.5, epsilon=1e-3, weight_decay=0.2)
    weight, memory, curvature = [1.0, -1.0, 0.5], [0.0] * 3, [0.0] * 3
    clipped = set()
    for update, gradient in enumerate(GRADIENTS):
        if update % 2 == 0:
            drawn = [0.3, -0.7 * (update + 1), 1e-5]
            parameter.grad = torch.tensor(drawn, dtype=torch.float64)
            with optimizer.estimating(tokens=50):
                optimizer.step()
            curvature = [0.8 * old + 0.2 * 50 * slope**2 for old, slope in zip(curvature, drawn, strict=True)]
            assert parameter.tolist() == pytest.approx(weight, abs=1e-12), "an estimate changes no weight"
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        for index, slope in enumerate(gradient):
            memory[index] = 0.9 * memory[index] + 0.1 * slope
            step = memory[index] / max(0.5 * curvature[index], 1e-3)
            clipped.add(abs(step) > 1)
            weight[index] -= 0.1 * 0.2 * weight[index]
            weight[index] -= 0.1 * min(1.0, max(-1.0, step))
        assert parameter.tolist() == pytest.approx(weight, abs=1e-12)
    assert clipped == {True, False}, "both sides of the clipping must have been seen"


def test_averaged_weights_soon_forget_the_initial_ones() -> None:
    parameter = nn.Parameter(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    optimizer, update = torch.optim.SGD([parameter], lr=0.1), 0
    average_weights(optimizer, 0.15, lambda: update)
    expected: list[float] = []
    for update, row in enumerate([[1.0, 2.0, 4.0], [3.0, -1.0, 2.0], [1.0, 0.5, -2.0], [9.0, 8.0, 0.0]]):
        parameter.grad = torch.tensor(row, dtype=torch.float64)
        optimizer.step()
        decay = min(0.15, (1 + update) / (10 + update))
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected or parameter.tolist(), parameter.tolist(), strict=True)]
    assert optimizer.state[parameter]["ema"].tolist() == pytest.approx(expected)
    assert math.isclose(decay, 0.15)
