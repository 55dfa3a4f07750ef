"""Plain attention against PyTorch's fused kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from model.layers.attention import attend, plain_attention
from model.layers.attention_plan import AttentionInputs, AttentionPlan, additive_mask, causal_mask, document_mask
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


class Handed(TorchFunctionMode):
    """Records what PyTorch's attention is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.heads: list[tuple[int, int, bool]] = []

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func is functional.scaled_dot_product_attention:
            self.heads.append((args[0].shape[1], args[1].shape[1], kwargs["enable_gqa"]))
            return args[0]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_card_is_handed_whole_heads_where_there_is_a_mask_so_that_a_fused_kernel_takes_them(device: str, masked: bool) -> None:
    with FakeTensorMode(), Handed() as handed, torch.no_grad():
        q, k = torch.empty(2, 8, 24, 16, device=device), torch.empty(2, 2, 24, 16, device=device)
        mask = torch.ones(2, 1, 24, 24, dtype=torch.bool, device=device) if masked else None
        attend(q, k, k, AttentionPlan("fused", mask, 0.0, None, None))
    assert handed.heads == [(8, 8, False) if masked and device == "cuda" else (8, 2, True)]


def test_heads_repeated_for_a_card_are_those_that_the_cpu_shares() -> None:
    q, k, v = normal(2, 4, 24, 8, 1), normal(2, 2, 24, 8, 2), normal(2, 2, 24, 8, 3)
    mask = document_mask(DOCUMENTS)
    shared = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    each = functional.scaled_dot_product_attention(q, k.repeat_interleave(2, dim=1), v.repeat_interleave(2, dim=1), attn_mask=mask)
    torch.testing.assert_close(each, shared, atol=1e-6, rtol=1e-6)


def test_flexattention_is_compiled_for_more_than_eight_shapes() -> None:
    import torch._dynamo
    from torch.nn.attention.flex_attention import flex_attention

    from model.layers.attention import compile_for_each_shape

    graphs: list[Any] = []

    def counted(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    compiled = compile_for_each_shape(flex_attention, counted)
    for length in range(1, 13):
        q, k, v = (normal(1, 2, 8 * length, 16, seed) for seed in (1, 2, 3))
        torch.testing.assert_close(compiled(q, k, v), functional.scaled_dot_product_attention(q, k, v), atol=1e-5, rtol=1e-5)
    torch._dynamo.reset()
    assert len(graphs) == 12
