"""Each layer against an independent reference: transformers where it has that layer, else its formula."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from model.layers.attention import attend
from model.layers.attention_plan import AttentionInputs
from model.layers.block import FeedForward
from model.layers.positions import Alibi, RelativeBias, SinusoidalPositions, alibi_slopes, relative_buckets
from model.networks.config import DecoderConfig
from tests.model.layers.tensors import normal
from tests.model.networks.decoders import small_config

pytest.importorskip("transformers")


def test_the_soft_cap_on_scores_matches_gemma2() -> None:
    from transformers.models.gemma2.modeling_gemma2 import eager_attention_forward

    config = small_config(attention_soft_cap=1.5)
    q, k, v = (normal(2, heads, 12, 8, seed) for seed, heads in enumerate((4, 2, 2)))
    plan = AttentionInputs(config, torch.zeros(2, 12, 32), None, None, training=False).plan(None)
    mask = torch.full((12, 12), float("-inf")).triu(1)[None, None]
    module = SimpleNamespace(num_key_value_groups=2, training=False, head_dim=8)
    theirs, _ = eager_attention_forward(module, q, k, v, mask, scaling=8**-0.5, softcap=1.5)
    torch.testing.assert_close(attend(q, k, v, plan).transpose(1, 2), theirs, atol=1e-6, rtol=1e-5)


def test_relative_buckets_match_t5() -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    for buckets, farthest in ((32, 128), (8, 20)):
        theirs = T5Attention._relative_position_bucket(-torch.arange(200), False, buckets, farthest)
        assert torch.equal(relative_buckets(200, buckets, farthest), theirs)


@pytest.mark.parametrize("heads", [2, 6, 8, 12])
def test_alibi_slopes_match_bloom(heads: int) -> None:
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    theirs = build_alibi_tensor(torch.ones(1, 2), heads, torch.float32).view(heads, 2)[:, 1]
    torch.testing.assert_close(torch.tensor(alibi_slopes(heads)), theirs)


def test_sinusoids_match_the_paper() -> None:
    x_BTD = normal(1, 1, 9, 32, 1)[0]
    added = SinusoidalPositions(small_config()).add(x_BTD, torch.arange(9)[None], 9)
    for place in range(9):
        for pair in range(16):
            angle = place / 10_000 ** (2 * pair / 32)
            expected = x_BTD[0, place, 2 * pair : 2 * pair + 2] * math.sqrt(32) + torch.tensor([math.sin(angle), math.cos(angle)])
            torch.testing.assert_close(added[0, place, 2 * pair : 2 * pair + 2], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("activation", ["swiglu", "geglu", "relu", "relu2", "gelu", "gelu_tanh", "silu"])
def test_the_feed_forward_matches_its_formula(activation: str) -> None:
    layer, x = FeedForward(small_config(activation=activation, feed_forward_bias=True)), normal(1, 1, 5, 32, 2)[0]
    with torch.no_grad():
        up = x @ layer.up_proj.weight.t() + layer.up_proj.bias
        entered = up if layer.gate_proj is None else x @ layer.gate_proj.weight.t() + layer.gate_proj.bias
        formulas = {
            "silu": lambda x: x / (1 + torch.exp(-x)),
            "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
            "gelu_tanh": lambda x: x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
            "relu": lambda x: x.clamp(min=0),
            "relu2": lambda x: x.clamp(min=0) ** 2,
        }
        bent = formulas[{"swiglu": "silu", "geglu": "gelu"}.get(activation, activation)](entered)
        inner = bent if layer.gate_proj is None else bent * up
        torch.testing.assert_close(layer(x), inner @ layer.down_proj.weight.t() + layer.down_proj.bias, atol=1e-6, rtol=1e-5)
    assert (layer.gate_proj is None) == (activation in ("relu", "relu2", "gelu", "gelu_tanh", "silu"))


PATTERNS: dict[str, dict[str, Any]] = {
    "full": {},
    "sliding": {"pattern": "sliding", "window": 4},
    "block-sparse": {"pattern": "block_sparse", "block": 3, "local_blocks": 1, "global_blocks": 1},
    "own-block-alone": {"pattern": "block_sparse", "block": 3, "local_blocks": 0, "global_blocks": 0},
}


@pytest.mark.parametrize("documents", [[0] * 20, [0] * 3 + [1] * 17], ids=["alone", "packed"])
@pytest.mark.parametrize("positions", ["none", "alibi", "relative"])
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
def test_attention_is_a_softmax_over_exactly_the_keys_that_each_query_may_see(
    pattern: dict[str, Any], positions: str, documents: list[int]
) -> None:
    config = small_config(**pattern, positions=positions, relative_buckets=8, relative_distance=10)
    q, k, v = (normal(1, heads, 20, 8, seed) for seed, heads in enumerate((4, 2, 2)))
    bias = {"none": None, "alibi": Alibi(config), "relative": RelativeBias(config)}[positions]
    table_HP = torch.zeros(4, 20) if bias is None else bias.table(20, q.device).detach()
    given = None if len(set(documents)) == 1 else torch.tensor([documents])
    out = attend(q, k, v, AttentionInputs(config, torch.zeros(1, 20, 32), None, given, training=False).plan(bias))
    for head in range(4):
        for query in range(20):
            first = documents.index(documents[query])
            seen = [key for key in range(first, query + 1) if visible(config, query - first, key - first)]
            scores = torch.stack([q[0, head, query] @ k[0, head // 2, key] / 8**0.5 + table_HP[head, query - key] for key in seen])
            torch.testing.assert_close(out[0, head, query], scores.softmax(0) @ v[0, head // 2, seen], atol=1e-5, rtol=1e-5)


def visible(config: DecoderConfig, query: int, key: int) -> bool:
    if config.pattern == "sliding":
        return key in range(query - config.window + 1, query + 1)
    if config.pattern == "block_sparse":
        own, other = query // config.block, key // config.block
        return other in (own, *range(own - config.local_blocks, own), *range(config.global_blocks))
    return True
