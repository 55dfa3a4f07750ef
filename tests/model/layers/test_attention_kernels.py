"""Plain attention against PyTorch's fused kernel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model.layers.attention import attend, plain_attention
from model.layers.attention_plan import AttentionInputs, additive_mask, causal_mask, document_mask
from model.layers.config import AttentionConfig
from tests.model.layers.tensors import normal

DOCUMENTS = torch.tensor([[0] * 10 + [1] * 14, [0] * 24])


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("mask", [None, document_mask(DOCUMENTS)], ids=["causal", "packed"])
def test_plain_attention_and_its_gradients_match_the_fused_kernel(groups: int, mask: Tensor | None) -> None:
    inputs = [normal(2, 4, 24, 8, 1), normal(2, groups, 24, 8, 2), normal(2, groups, 24, 8, 3)]
    results = []
    for fused in (False, True):
        q, k, v = (one.clone().requires_grad_() for one in inputs)
        if fused:
            out = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=True)
        else:
            seen = causal_mask(24, q.device) if mask is None else mask
            out = plain_attention(q, k, v, additive_mask(seen, 2, 4, groups, q.dtype))
        torch.autograd.backward((out * normal(2, 4, 24, 8, 4)).sum())
        results.append((out, q.grad, k.grad, v.grad))
    for plain, reference in zip(*results, strict=True):
        torch.testing.assert_close(plain, reference, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kernel", ["fused", "plain", "flex"])
@pytest.mark.parametrize("packed", [False, True])
def test_without_the_causal_mask_a_token_sees_all_of_its_document(kernel: str, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AttentionInputs, "_kernel", lambda self, **_: kernel)
    config = AttentionConfig(width=32, heads=4, kv_heads=4, positions="none")
    q, k, v = normal(2, 4, 24, 8, 1), normal(2, 4, 24, 8, 2), normal(2, 4, 24, 8, 3)
    seen = AttentionInputs(config, torch.zeros(2, 24, 32), None, DOCUMENTS if packed else None, training=False, causal=False)
    out = attend(q, k, v, seen.plan(None))
    same = DOCUMENTS[:, :, None] == DOCUMENTS[:, None, :] if packed else torch.ones(2, 24, 24, dtype=torch.bool)
    scores = (q @ k.mT / 8**0.5).masked_fill(~same[:, None], float("-inf"))
    torch.testing.assert_close(out, scores.softmax(-1) @ v, atol=1e-5, rtol=1e-5)


def test_what_looks_back_alone_is_refused_without_the_causal_mask() -> None:
    x = torch.zeros(1, 8, 32)
    for changes in ({"positions": "alibi"}, {"pattern": "sliding", "window": 4}):
        config = AttentionConfig.model_validate({"width": 32, "heads": 4, "kv_heads": 4, "context": 8, **changes})
        with pytest.raises(ValueError, match="look back alone"):
            AttentionInputs(config, x, None, None, training=False, causal=False)
