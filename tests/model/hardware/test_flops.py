"""Operations are counted from the shape; a peak is that of a named device, or measured."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from model.hardware.devices import DEVICES, device_of_driver, find_device
from model.hardware.flops import attention_flops, product_weights, training_flops, utilization
from model.hardware.peak import _timed, measured_peak, peak_of
from model.layers.attention_plan import causal_mask, pattern_rule
from model.layers.mixers.config import RecurrenceMixer
from model.networks.config import DecoderConfig, HybridConfig
from model.networks.decoder import Decoder
from model.networks.meta import parameters_by_role
from model.planning.memory import row_activations

SHAPE = DecoderConfig(width=64, layers=2, heads=4, kv_heads=2, feed_forward=192, context=32)


@pytest.mark.parametrize("tied", [True, False])
def test_training_operations_are_those_that_torch_counts(tied: bool) -> None:
    shape = SHAPE.model_copy(update={"tied_embeddings": tied})
    decoder = Decoder(shape, 100)
    with FlopCounterMode(display=False) as counted, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        torch.autograd.backward(decoder.logits({"tokens": torch.zeros(1, shape.context, dtype=torch.long)}).sum())
    # Norms' gains are counted among the weights and are no products: less than a hundredth.
    assert training_flops(shape, 100) * shape.context == pytest.approx(counted.get_total_flops(), rel=0.01)


def test_the_count_is_six_per_weight_and_twelve_times_layers_times_heads_times_context() -> None:
    gpt3 = DecoderConfig(width=12288, layers=96, heads=96, kv_heads=96, feed_forward=49152, context=2048)
    assert attention_flops(gpt3, 50257) == 12 * 96 * 12288 * 2048
    assert training_flops(gpt3, 50257) == 6 * product_weights(gpt3, 50257) + attention_flops(gpt3, 50257)
    untied = gpt3.model_copy(update={"tied_embeddings": False})
    assert product_weights(untied, 50257) == product_weights(gpt3, 50257)


def test_norms_gains_apart_every_weight_of_a_tied_decoder_is_in_a_product() -> None:
    counts = parameters_by_role(SHAPE, 100)
    assert product_weights(SHAPE, 100) == counts["matrix"] + counts["embedding"]
    assert counts == {"matrix": 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 192), "embedding": 100 * 64, "vector": 5 * 64}


def test_every_recurrence_counts_six_operations_per_weight_of_its_products() -> None:
    for kind in ("rnn", "lstm", "gru"):
        shape = HybridConfig(width=32, layers=1, feed_forward=64, mixers=(RecurrenceMixer(kind=kind),))
        weights = sum(weight.numel() for weight in shape.build(64).parameters() if weight.dim() > 1)
        assert training_flops(shape, 64) == 6 * weights, kind


@pytest.mark.parametrize(
    ("pattern", "attended"),
    [({"pattern": "sliding", "window": 5}, 5), ({"pattern": "block_sparse", "block": 3, "local_blocks": 1, "global_blocks": 1}, 9)],
)
def test_attention_counts_the_most_tokens_that_a_token_sees(pattern: dict[str, Any], attended: int) -> None:
    shape = DecoderConfig.model_validate({**SHAPE.model_dump(), **pattern})
    assert shape.attended == most_seen(shape) == attended
    assert attention_flops(shape, 100) == 12 * 2 * 64 * attended
    assert product_weights(shape, 100) == product_weights(SHAPE, 100)


@given(block=st.integers(1, 6), local=st.integers(0, 3), first=st.integers(0, 3), more=st.integers(1, 30))
def test_of_any_block_sparse_pattern_a_tokens_own_block_is_counted(block: int, local: int, first: int, more: int) -> None:
    sizes = {"block": block, "local_blocks": local, "global_blocks": first, "context": max(2, block * (local + first + 1) + more)}
    shape = DecoderConfig.model_validate({**SHAPE.model_dump(), "pattern": "block_sparse", **sizes})
    assert shape.attended == most_seen(shape)


def most_seen(shape: DecoderConfig) -> int:
    """The most tokens that the mask of the pattern shows to one token of a row."""
    positions = torch.arange(shape.context)
    seen = causal_mask(shape.context, torch.device("cpu"))[0, 0] & pattern_rule(shape)(positions[:, None], positions[None, :])
    return int(seen.sum(dim=1).max())


def test_measuring_a_network_leaves_random_numbers_as_they_were() -> None:
    before = torch.random.get_rng_state()
    shape = SHAPE.model_copy(update={"dropout": 0.1, "width": 96})
    training_flops(shape, 101)
    row_activations(shape, 101, "none", packed=False)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_mfu_is_the_share_of_the_peak() -> None:
    each = training_flops(SHAPE, 100)
    assert utilization(SHAPE, 100, 1000.0, 2000 * each) == pytest.approx(0.5)


def test_a_device_is_found_by_its_name_and_its_drivers_name() -> None:
    assert find_device("NVIDIA H100") is DEVICES["h100-sxm"]
    assert find_device("a100").memory == 80 * 2**30
    for driver_name, name in (
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H200", "h200-sxm"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
    ):
        found = device_of_driver(driver_name)
        assert found is not None
        assert found.name == name
    for other in ("NVIDIA H100 NVL", "NVIDIA GeForce RTX 4090 Laptop GPU", "Quadro K600"):
        assert device_of_driver(other) is None
    with pytest.raises(ValueError, match=r"device 'h101' is not known: did you mean h100\?"):
        find_device("h101")
    with pytest.raises(ValueError, match=r"t4 does not support bf16 \(NVIDIA T4 data sheet\); it supports fp32, fp16"):
        find_device("t4").peak("bf16")


def test_a_peak_says_where_it_is_from() -> None:
    cpu = torch.device("cpu")
    named = peak_of(cpu, "bf16", "h200")
    assert (named.flops, named.source) == (989.5e12, "h200-sxm bf16, NVIDIA H200 data sheet, SXM")
    measured = peak_of(cpu, "fp32")
    assert "measured at the start" in measured.source
    assert 1e8 < measured.flops < 1e14
    assert measured_peak("cpu", 0, "fp32") is measured_peak("cpu", 0, "fp32")


def test_a_stall_while_small_products_are_timed_does_not_lower_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(left: torch.Tensor, right: torch.Tensor) -> float:
        size = left.shape[0]
        return 0.024 if size == 1024 else 2 * size**3 / 1e11  # it stalled at first; then it computes 1e11 operations a second

    monkeypatch.setattr("model.hardware.peak._timed", timed)
    measured_peak.cache_clear()
    try:
        assert measured_peak("cpu", 0, "fp32")[0] == pytest.approx(1e11)
    finally:
        measured_peak.cache_clear()


def test_time_in_which_a_processor_does_other_work_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "mm", lambda left, right: time.sleep(0.2))
    assert _timed(torch.ones(2, 2), torch.ones(2, 2)) < 0.1
