"""The key-value cache."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.layers.cache import KeyValueCache
from model.networks.decoder import Decoder


@settings(max_examples=25, deadline=None)
@given(parts=st.lists(st.integers(1, 9), min_size=1, max_size=7), rows=st.integers(1, 3), seed=st.integers(0, 99))
def test_logits_with_the_cache_equal_the_full_forward_pass_however_the_text_is_split(
    decoder: Decoder, parts: list[int], rows: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    tokens_BT = torch.randint(decoder.vocab_size, (rows, sum(parts)), generator=generator)
    cache = KeyValueCache(decoder.config.layers)
    with torch.no_grad():
        whole = decoder.logits({"tokens": tokens_BT})
        pieces = [decoder.logits({"tokens": piece}, cache) for piece in tokens_BT.split(parts, dim=1)]
    assert cache.length == sum(parts)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-4, atol=1e-4)


def test_the_cache_keeps_its_content_when_it_grows() -> None:
    cache = KeyValueCache(1)
    keys = torch.randn(1, 2, 200, 4)
    for start in range(0, 200, 50):
        part = keys[:, :, start : start + 50]
        held, _ = cache.update(0, part, part)
    assert held.equal(keys)


def test_rows_that_are_kept_do_not_depend_on_rows_that_were_dropped(decoder: Decoder) -> None:
    tokens_BT = torch.arange(30).reshape(3, 10)
    next_B1 = torch.tensor([[40], [41], [42]])
    kept = torch.tensor([2, 0])
    alone, together = KeyValueCache(2), KeyValueCache(2)
    with torch.no_grad():
        decoder.logits({"tokens": tokens_BT}, together)
        together.keep_rows(kept)
        decoder.logits({"tokens": tokens_BT[kept]}, alone)
        torch.testing.assert_close(
            decoder.logits({"tokens": next_B1[kept]}, together), decoder.logits({"tokens": next_B1[kept]}, alone), rtol=1e-5, atol=1e-5
        )


def test_another_batch_size_or_a_layer_out_of_turn_is_refused() -> None:
    cache = KeyValueCache(2)
    two, three = torch.zeros(2, 1, 3, 4), torch.zeros(3, 1, 3, 4)
    cache.update(0, two, two)
    with pytest.raises(ValueError, match="out of turn"):
        cache.update(0, two, two)
    cache.update(1, two, two)
    with pytest.raises(ValueError, match="another batch"):
        cache.update(0, three, three)
