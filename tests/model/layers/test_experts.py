"""A mixture of experts: against a loop over tokens, the same for any neighbours, balanced by what a step has counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from model.adapters.config import AnyAdapter
from model.adapters.lora import LoraConfig
from model.adapters.qlora import QLoraConfig
from model.hardware.flops import product_weights
from model.layers import experts as layer_module
from model.layers.config import ExpertsConfig
from model.layers.experts import TILE, Experts, Routing, TiledLinear, rebalance
from model.networks.base import Layout
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.meta import active_parameters, count_parameters
from model.quantization.config import GgufConfig, OnnxConfig
from model.quantization.integers import Int8Config
from tests.model.adapters.adapted import adapted
from tests.model.networks.decoders import VOCABULARY, small_config, spread_decoder, tokens

CHOICES: dict[str, dict[str, Any]] = {
    "biased": {"count": 5, "active": 2},
    "shared": {"count": 4, "active": 3, "shared": 2, "scale": 2.5},
    "softmax": {"count": 6, "active": 2, "score": "softmax", "balance": {"kind": "loss"}},
    "top 1": {"count": 3, "active": 1, "normalize": False, "score": "softmax", "balance": {"kind": "none"}},
}
EACH = pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES.keys())
ROWS, TIME = 3, 32
DOCUMENTS = torch.tensor([[0] * 9 + [1] * 14 + [2] * 9] * ROWS)


def decoder(**choice: Any) -> Decoder:
    return spread_decoder(small_config(experts=choice))


def experts_of(network: Decoder, number: int = 0) -> Experts:
    found = network.blocks()[number].mlp
    assert isinstance(found, Experts)
    return found


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fed(weights: dict[str, Tensor], part: str, x_D: Tensor) -> Tensor:
    gate, up, down = (weights[f"{part}.{name}_proj.weight"].double() for name in ("gate", "up", "down"))
    return down @ (functional.silu(gate @ x_D) * (up @ x_D))


def plain(settings: ExpertsConfig, weights: dict[str, Tensor], x_D: Tensor) -> Tensor:
    """What one token's experts make of it, one after the other, in Python."""
    x_D = x_D.double()
    logits = [float(row.double() @ x_D) for row in weights["gate.weight"]]
    if settings.score == "sigmoid":
        scores = [float(torch.tensor(logit, dtype=torch.float64).sigmoid()) for logit in logits]
    else:
        powers = [float(torch.tensor(logit, dtype=torch.float64).exp()) for logit in logits]
        scores = [power / sum(powers) for power in powers]
    bias = weights.get("gate.e_score_correction_bias", torch.zeros(settings.count)).tolist()
    chosen = sorted(range(settings.count), key=lambda number: -(scores[number] + bias[number]))[: settings.active]
    total = sum(scores[number] for number in chosen) if settings.normalize else 1.0
    out_D = torch.zeros_like(x_D)
    for number in chosen:
        out_D += settings.scale * scores[number] / total * fed(weights, f"experts.{number}", x_D)
    return out_D + fed(weights, "shared_experts", x_D) if settings.shared else out_D


@EACH
@torch.no_grad()
def test_each_token_is_the_weighted_sum_of_the_experts_it_chooses(choice: dict[str, Any]) -> None:
    layer, x_BTD = experts_of(decoder(**choice)), numbers(2, 9, 32)
    wanted = torch.stack([torch.stack([plain(layer.settings, layer.state_dict(), x_D) for x_D in row]) for row in x_BTD])
    assert wanted.std() > 0.1, "outputs this small would agree whatever is computed"
    torch.testing.assert_close(layer(x_BTD).double(), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sizes", [(32, 48), (24, 10), (768, 640)], ids=str)
@torch.no_grad()
def test_a_row_of_a_product_is_the_same_bits_wherever_it_stands_and_however_many_there_are(sizes: tuple[int, int]) -> None:
    inputs, outputs = sizes
    layer, x_XI = TiledLinear(inputs, outputs, bias=False), numbers(7 * TILE, inputs)
    alone_XO = torch.cat([layer(x_QI[None])[0] for x_QI in torch.split(x_XI, TILE)])
    order = torch.randperm(len(x_XI), generator=torch.Generator().manual_seed(2))
    moved_XO = layer(x_XI[order].view(7, TILE, inputs)).flatten(0, 1)
    assert moved_XO.equal(alone_XO[order])
    torch.testing.assert_close(alone_XO, functional.linear(x_XI, layer.weight), atol=1e-4, rtol=1e-4)


@EACH
def test_changing_one_document_of_a_packed_row_leaves_the_others_logits_and_inputs_gradients_bit_equal(choice: dict[str, Any]) -> None:
    network, batch = decoder(**choice).train(), tokens(ROWS, TIME)
    changed = batch.clone()
    changed[1, 9:23] = (changed[1, 9:23] + 1) % VOCABULARY
    same = torch.ones(ROWS, TIME, dtype=torch.bool)
    same[1, 9:23] = False
    found, gradients, chosen = [], [], []
    for one in (batch, changed):
        x_BTD = network.model.embed_tokens(one).detach().requires_grad_()
        hook = network.model.embed_tokens.register_forward_hook(lambda *_, x=x_BTD: x)
        with network.noting(torch.ones_like(one, dtype=torch.bool)) as routing:
            logits_BTV = network.logits({"tokens": one, "documents": DOCUMENTS})
        hook.remove()
        (gradient,) = torch.autograd.grad(logits_BTV[same].square().sum(), [x_BTD])
        found.append(logits_BTV.detach())
        gradients.append(gradient)
        chosen.append(routing.counts())
    assert not chosen[0].equal(chosen[1]), "experts that get as many tokens prove nothing"
    assert found[0][same].equal(found[1][same]) and not found[0][~same].isclose(found[1][~same]).all()
    assert gradients[0][same].equal(gradients[1][same])


@EACH
@torch.no_grad()
def test_any_number_of_threads_computes_the_same_bits(choice: dict[str, Any]) -> None:
    network, threads, found = decoder(**choice), torch.get_num_threads(), []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        found.append(network.logits({"tokens": tokens(ROWS, TIME)}))
    torch.set_num_threads(threads)
    assert found[0].equal(found[1]) and found[0].equal(found[2])


@EACH
def test_gradients_are_those_of_all_experts_computed_for_all_tokens(choice: dict[str, Any]) -> None:
    layer, x_BTD = experts_of(decoder(**choice)).train(), numbers(2, 9, 32)
    torch.autograd.backward(layer(x_BTD).square().sum())
    ours = {name: parameter.grad for name, parameter in layer.named_parameters()}
    layer.zero_grad()
    x_ND = x_BTD.flatten(0, 1)
    choice_made = layer_module.choose(layer.settings, layer.gate(x_ND), layer.gate.e_score_correction_bias)
    weights_NE = torch.zeros(len(x_ND), layer.settings.count).scatter(1, choice_made.chosen_NK, choice_made.weights_NK)
    out_ND = torch.stack([expert(x_ND[None])[0] for expert in layer.experts], dim=1).mul(weights_NE[..., None]).sum(dim=1)
    if layer.shared_experts is not None:
        out_ND = out_ND + layer.shared_experts(x_ND)
    torch.autograd.backward(out_ND.square().sum())
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(ours[name], parameter.grad, atol=1e-4, rtol=1e-4, msg=name)
    assert layer.gate.weight.grad is not None and layer.gate.weight.grad.abs().max() > 0


def test_an_expert_that_no_token_chooses_has_a_gradient_of_zeros() -> None:
    layer = experts_of(decoder(count=4, active=2))
    assert layer.gate.e_score_correction_bias is not None
    layer.gate.e_score_correction_bias.copy_(torch.tensor([9.0, 9.0, 0.0, 0.0]))
    torch.autograd.backward(layer(numbers(2, 9, 32)).sum())
    gradient = layer.get_parameter("experts.3.up_proj.weight").grad
    assert isinstance(gradient, Tensor) and not gradient.any()


def noted(layer: Experts, x_BTD: Tensor, counted_BT: Tensor) -> Routing:
    routing = Routing(counted_BT)
    layer(x_BTD, routing)
    return routing


def test_losses_are_means_over_each_sequences_tokens_without_padding() -> None:
    layer, x_BTD = experts_of(decoder(**CHOICES["softmax"])), numbers(2, 9, 32)
    counted_BT = torch.arange(9) < torch.tensor([[9], [4]])
    balance, size = 0.0, 0.0
    for row, length in enumerate((9, 4)):
        logits = layer.gate(x_BTD[row, :length]).detach().double()
        shares = logits.softmax(dim=-1)
        used = torch.zeros_like(shares).scatter(1, shares.topk(2).indices, 1.0)
        balance += 6 / 2 * sum(float(used[:, e].mean() * shares[:, e].mean()) for e in range(6))
        size += float(logits.exp().sum(dim=-1).log().square().mean())
    found = noted(layer, x_BTD, counted_BT).losses()
    torch.testing.assert_close(found.double(), torch.tensor([balance, size], dtype=torch.float64), atol=1e-5, rtol=1e-5)
    (gradient,) = torch.autograd.grad(found.sum(), [layer.gate.weight])
    assert gradient.abs().max() > 1e-4, "the losses teach the router"


def test_even_use_has_a_balance_loss_of_one() -> None:
    layer = experts_of(decoder(**CHOICES["softmax"]))
    with torch.no_grad():
        layer.gate.weight.copy_(torch.eye(6, 32) * 20)
    x_BTD = torch.eye(6, 32)[None] + torch.eye(6, 32).roll(1, 0)[None]
    assert noted(layer, x_BTD, torch.ones(1, 6, dtype=torch.bool)).losses()[0].item() == pytest.approx(1.0, abs=1e-4)


def test_a_bias_decides_who_is_chosen_and_not_what_that_one_weighs() -> None:
    logits_NE = numbers(50, 5)
    settings = ExpertsConfig(count=5, active=2, normalize=False)
    bias_E = torch.tensor([5.0, 0.0, 0.0, 0.0, -5.0])
    scores_NE, chosen_NK, weights_NK = layer_module.choose(settings, logits_NE, bias_E)
    assert (chosen_NK == 0).any(dim=1).all() and not (chosen_NK == 4).any()
    assert weights_NK.equal(logits_NE.sigmoid().gather(1, chosen_NK)) and scores_NE.equal(logits_NE.sigmoid())


def test_biases_move_by_one_step_towards_even_use_and_use_is_reported() -> None:
    network = decoder(count=4, active=2, balance={"kind": "bias", "rate": 0.25})
    before = [experts_of(network, number).gate.e_score_correction_bias for number in (0, 1)]
    was = [bias.clone() for bias in before if bias is not None]
    counts = torch.tensor([[10, 6, 8, 8, 0], [0, 16, 8, 8, 4]], dtype=torch.float64)
    report = rebalance(network, counts)
    moved = [bias - old for bias, old in zip(before, was, strict=True) if bias is not None]
    torch.testing.assert_close(moved[0], torch.tensor([-0.25, 0.25, 0.0, 0.0]))
    torch.testing.assert_close(moved[1], torch.tensor([0.25, -0.25, 0.0, 0.0]))
    assert {name: float(value) for name, value in report.items()} == {
        "expert_most": 2.0,
        "expert_least": 0.0,
        "expert_dropped": pytest.approx(4 / 64),
    }


def test_with_a_capacity_an_expert_takes_a_rows_first_tokens_in_training_and_all_otherwise() -> None:
    network = decoder(count=4, active=2, capacity=1.0)
    layer, x_BTD = experts_of(network), numbers(2, 16, 32)
    whole = layer(x_BTD)
    routing = Routing(torch.ones(2, 16, dtype=torch.bool))
    layer.train()
    dropping = layer(x_BTD, routing)
    settings, weights, room = layer.settings, layer.state_dict(), 16 * 2 // 4
    dropped = 0
    for row in range(2):
        taken = [0] * 4
        for time in range(16):
            _, chosen, _ = layer_module.choose(settings, layer.gate(x_BTD[row, time : time + 1]), layer.gate.e_score_correction_bias)
            lost = [number for number in chosen[0].tolist() if taken[number] >= room]
            dropped += len(lost)
            for number in chosen[0].tolist():
                taken[number] += 1
            if lost:
                assert not dropping[row, time].isclose(whole[row, time]).all()
            else:
                torch.testing.assert_close(dropping[row, time].double(), plain(settings, weights, x_BTD[row, time]), atol=1e-5, rtol=1e-5)
    assert dropped and int(routing.counts()[0, -1]) == dropped and int(routing.counts()[0, :-1].sum()) == 64


@EACH
def test_recomputing_blocks_gives_the_same_gradients_bit_for_bit(choice: dict[str, Any]) -> None:
    gradients = []
    for recompute in (False, True):
        network = spread_decoder(small_config(experts={**choice, "capacity": 1.0}, dropout=0.2)).train()
        network.recompute = recompute
        torch.manual_seed(1)
        with network.noting(torch.ones(ROWS, TIME, dtype=torch.bool)) as routing:
            loss = network.logits({"tokens": tokens(ROWS, TIME), "documents": DOCUMENTS}).square().sum()
        torch.autograd.backward(loss + routing.losses().sum())
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert all(one is not None and other is not None and one.equal(other) for one, other in zip(*gradients, strict=True))


@torch.no_grad()
def test_the_router_computes_in_fp32_where_everything_else_is_rounded() -> None:
    layer, x_BTD = experts_of(decoder(count=4, active=2)), numbers(2, 9, 32)
    with torch.autocast("cpu", torch.bfloat16):
        logits, out = layer.gate(x_BTD.flatten(0, 1)), layer(x_BTD)
    assert logits.equal(layer.gate(x_BTD.flatten(0, 1))) and not out.equal(layer(x_BTD))
    torch.testing.assert_close(out, layer(x_BTD), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("config", [LoraConfig(kind="lora", rank=4), QLoraConfig(kind="qlora", rank=4)], ids=lambda config: config.kind)
@torch.no_grad()
def test_low_rank_changes_are_of_the_matrices_that_all_tokens_use_and_merge(config: AnyAdapter) -> None:
    network, adapter = adapted(config, decoder(count=4, active=2, shared=1))
    changed = {name.partition(".lora_")[0] for name in network.state_dict() if ".lora_" in name}
    assert any("shared_experts" in name for name in changed) and not any(".experts." in name for name in changed)
    with pytest.raises(ValueError, match="targets names 'router'"):
        config.model_copy(update={"targets": ("router",)}).build().check(decoder(count=4, active=2))
    whole, rows = decoder(count=4, active=2, shared=1), tokens(2, 16)
    adapter.restore(whole, adapter.own(network.state_dict()))
    torch.testing.assert_close(whole.logits({"tokens": rows}), network.eval().logits({"tokens": rows}), atol=1e-4, rtol=1e-4)
    state = (writing := network.decoding()).new_state()
    state.add(2)
    torch.testing.assert_close(writing.step_all(rows, [16, 16], state), network.logits({"tokens": rows}), atol=1e-4, rtol=1e-4)


def test_what_can_not_be_computed_or_laid_out_is_refused_by_name() -> None:
    for settings, message in (
        ({"count": 4, "active": 4}, "experts.active=4 of experts.count=4 leaves nothing to choose"),
        ({"count": 4, "active": 1}, "experts.active=1 with normalize=true: every weight is 1"),
        ({"balance": {"kind": "luck"}}, "'bias', 'loss', 'none'"),
    ):
        with pytest.raises(ValidationError, match=message):
            DecoderConfig.model_validate({"experts": settings})
    config = small_config(experts={})
    sizes = {"micro_batch": 0, "global_batch": 8, "batch_warmup_steps": 0, "recompute": "none"}
    problems = "; ".join(config.layout_problems(Layout(workers=4, tensor=2, pipeline=2, **sizes)))  # type: ignore[arg-type]
    assert "experts.count=8 with tensor=2: experts can't be cut" in problems and "experts.count=8 with pipeline=2" in problems
    assert "softmax" in small_config(experts={"score": "softmax"}).hub_refusal()
    bits = "byte_level_bpe"
    assert "Glm4MoeForCausalLM" in GgufConfig().refusal(config, bits) and "its experts gets" in OnnxConfig().refusal(config, bits)
    assert not Int8Config().refusal(config, bits)


def test_the_planner_counts_what_a_token_uses_and_makes_it_as_wide_as_one_feed_forward() -> None:
    config = small_config(experts={"count": 8, "active": 3, "shared": 1}, layers=5)
    assert count_parameters(config, VOCABULARY) - active_parameters(config, VOCABULARY) == 5 * (8 - 3) * 3 * 32 * config.feed_forward
    assert active_parameters(config, VOCABULARY) - product_weights(config, VOCABULARY) == (2 * 5 + 1) * 32, "norms are no products"
    dense, sparse = small_config().resized(384, 4), small_config(experts={"count": 8, "active": 3, "shared": 1}).resized(384, 4)
    assert sparse.feed_forward * 4 == dense.feed_forward
