"""A padded vocabulary changes neither logits nor gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from model.layers.linear import head_product, padded_product


@settings(max_examples=30, deadline=None)
@given(vocabulary=st.integers(1, 200), rows=st.integers(1, 5), precision=st.sampled_from(["fp32", "bf16"]))
def test_a_padded_product_has_the_logits_and_gradients_of_a_plain_one(vocabulary: int, rows: int, precision: str) -> None:
    generator = torch.Generator().manual_seed(vocabulary)
    found = []
    for product in (functional.linear, padded_product):
        x = torch.randn(rows, 24, generator=generator.manual_seed(1)).requires_grad_()
        weight = torch.randn(vocabulary, 24, generator=generator.manual_seed(2)).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = product(x, weight)
        assert logits.shape == (rows, vocabulary)
        torch.autograd.backward((logits.float() * torch.randn(rows, vocabulary, generator=generator.manual_seed(3))).sum())
        found.append((logits, x.grad, weight.grad))
    rtol, atol = (1e-5, 1e-5) if precision == "fp32" else (2e-2, 5e-2)
    for plain, padded in zip(*found, strict=True):
        torch.testing.assert_close(padded, plain, rtol=rtol, atol=atol)


@pytest.mark.parametrize("vocabulary", [64, 65])
def test_on_a_cpu_nothing_is_padded(vocabulary: int) -> None:
    x, weight = torch.randn(3, 8), torch.randn(vocabulary, 8)
    assert torch.equal(head_product(x, weight), functional.linear(x, weight))
