"""Products in eight bits: their arithmetic on any machine, and a refusal by name without a suitable card."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.training.distributed import import_deepspeed
from model.training.job import JobError
from model.training.precision import Float8Linear, to_float8, use_float8
from tests.model.jobs import JobMaker

from .alone import engine_of
from .test_engine import losses_of


def rounded(x: Tensor, kind: torch.dtype) -> Tensor:
    """x as eight bits represent it: scaled to the format's largest number, rounded, scaled back."""
    scale = x.abs().max() / torch.finfo(kind).max
    return (x / scale).to(kind).float() * scale


def test_a_linear_layer_and_its_gradients_are_products_of_rounded_tensors() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(32, 48)
    x = torch.randn(3, 5, 32, requires_grad=True)  # 15 rows: no multiple of 16
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    layer.__class__ = Float8Linear
    out = layer(x)
    slope = torch.randn(3, 5, 48)
    out.backward(slope.to(out.dtype))
    flat, slopes = x.detach().flatten(0, 1), slope.bfloat16().float().flatten(0, 1)
    eight_x, eight_weight = rounded(flat, torch.float8_e4m3fn), rounded(weight, torch.float8_e4m3fn)
    eight_slope = rounded(slopes, torch.float8_e5m2)
    rtol, atol = 2**-7, 2e-2  # the output is bf16
    torch.testing.assert_close(out.detach().float().flatten(0, 1), eight_x @ eight_weight.t() + bias, rtol=rtol, atol=atol)
    assert x.grad is not None and layer.weight.grad is not None
    torch.testing.assert_close(x.grad.flatten(0, 1), eight_slope @ eight_weight, rtol=rtol, atol=atol)
    torch.testing.assert_close(layer.weight.grad, eight_slope.t() @ eight_x, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.bias.grad, slopes.sum(0), rtol=rtol, atol=atol)


def test_the_largest_element_becomes_the_formats_largest_and_zero_stays_zero() -> None:
    eight, scale = to_float8(torch.tensor([-7.0, 3.5, 0.0]), torch.float8_e4m3fn)
    assert eight.float().tolist() == [-448, 224, 0] and float(scale) == pytest.approx(7 / 448)
    assert to_float8(torch.zeros(3), torch.float8_e5m2)[0].float().tolist() == [0, 0, 0]


def test_the_linear_layers_of_blocks_change_and_no_parameter_does() -> None:
    plain, eight = (
        Decoder(DecoderConfig(width=32, layers=1, heads=2, kv_heads=1, feed_forward=48, context=8), 20, seed=1) for _ in range(2)
    )
    use_float8(eight)
    kinds = {type(module) for module in eight.model.layers.modules() if isinstance(module, nn.Linear)}
    assert kinds == {Float8Linear}
    assert eight.state_dict().keys() == plain.state_dict().keys()
    tokens = torch.arange(8)[None]
    with torch.autocast("cpu", torch.bfloat16):
        exact, near = plain.logits({"tokens": tokens}), eight.logits({"tokens": tokens})
    assert not torch.equal(near, exact)
    torch.testing.assert_close(near, exact, atol=0.05, rtol=0.1)


def test_a_layer_of_another_size_is_refused_by_name() -> None:
    with pytest.raises(JobError, match=r"precision=fp8 needs sizes in multiples of 16, but layers.0.mlp.* to 40"):
        use_float8(Decoder(DecoderConfig(width=32, layers=1, heads=2, kv_heads=2, feed_forward=40, context=8), 20))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a card")
def test_without_a_card_it_is_refused_with_the_way_out(make_job: JobMaker) -> None:
    with pytest.raises(JobError, match=r"precision=fp8 needs a card .* this machine has none; use precision=bf16"):
        engine_of(make_job(precision="fp8"))


@pytest.mark.parametrize("stage", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_a_model_learns_in_eight_bits(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch, stage: int) -> None:
    """Without a suitable card, torch computes these products on the CPU, slowly."""
    import_deepspeed()
    monkeypatch.setattr("model.training.precision.require_float8", lambda: None)
    near, engine = losses_of(job := make_job(resources={"zero_stage": stage}, precision="fp8"))
    assert any(isinstance(module, Float8Linear) for module in engine.deepspeed.module.modules())
    plain = type(job.train).model_validate({**job.train.model_dump(), "precision": "fp32"})
    exact, _ = losses_of(job.model_copy(update={"train": plain}), None)
    assert near == pytest.approx(exact, abs=0.1) and near != exact and near[-1] < near[0] - 0.3
