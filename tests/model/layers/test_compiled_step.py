"""Single tokens read by one compiled call: the numbers of the operations one by one, on any number of threads, from whole code alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.hardware.transfers import torch_threads
from model.layers.decoding.compiled import step
from model.layers.decoding.compiled import step as compiled
from model.layers.decoding.compiled.step import SUMS, load
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder, DecodingDecoder
from model.networks.decoding import DecodingNetwork

PROGRAM = """
import numba

@numba.njit("int64(int64)", cache=True)
def step(number):
    return number + 1
"""

Shapes = st.fixed_dictionaries(
    {
        "heads": st.sampled_from([(1, 1), (3, 1), (4, 2), (5, 5)]),
        "head_width": st.sampled_from([2, 6, 16, 34]),
        "width": st.sampled_from([8, 21, 40]),
        "feed_forward": st.sampled_from([9, 32, 50]),
        "layers": st.integers(1, 3),
        "qk_norm": st.booleans(),
        "tied_embeddings": st.booleans(),
        "positions": st.sampled_from(["rope", "none"]),
        "logit_soft_cap": st.sampled_from([0.0, 2.0]),
    }
)


def decoding_of(vocabulary: int = 61, **shape: Any) -> DecodingDecoder:
    """Return a decoder with spread weights, gains that are not 1 among them."""
    heads, kv_heads = shape.pop("heads", (4, 2))
    config = DecoderConfig(**({"width": 32, "layers": 2, "feed_forward": 48, "context": 64} | shape), heads=heads, kv_heads=kv_heads)
    network = Decoder(config, vocabulary, seed=5).eval()
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3 + (weight.dim() == 1))
    return DecodingDecoder(network)


def written(decoding: DecodingDecoder, lengths: list[int], *, compiled: bool, first: int = 0, threads: int = 1) -> torch.Tensor:
    """Read prompts of these lengths, then two single tokens of the rows from `first` on; return the logits after the second.

    threads: those that read the single tokens.
    """
    generator = torch.Generator().manual_seed(8)
    prompts_NT = torch.randint(0, decoding.vocab_size, (len(lengths), max(lengths)), generator=generator)
    next_N2 = torch.randint(0, decoding.vocab_size, (len(lengths), 2), generator=generator)
    state = decoding.new_state()
    state.add(len(lengths))
    with torch_threads(1):
        decoding.step(prompts_NT, lengths, state)
    with torch_threads(threads):
        for turn in range(2):
            arguments = next_N2[first:, turn : turn + 1], [1] * (len(lengths) - first), state, first
            logits_NV = decoding.step(*arguments) if compiled else DecodingNetwork.step(decoding, *arguments)
    assert state.lengths == [length + 2 * (row >= first) for row, length in enumerate(lengths)]
    return logits_NV


@settings(max_examples=40, deadline=None)
@given(shape=Shapes, lengths=st.lists(st.integers(1, 20), min_size=1, max_size=11), seed=st.integers(0, 9), vocabulary=st.integers(3, 70))
def test_it_writes_the_logits_of_the_operations_one_by_one(shape: dict[str, Any], lengths: list[int], seed: int, vocabulary: int) -> None:
    decoding = decoding_of(vocabulary, **shape)
    assert decoding.most_rows == math.inf
    first = seed % len(lengths)
    found_NV, whole_NV = (written(decoding, lengths, compiled=compiled, first=first) for compiled in (True, False))
    torch.testing.assert_close(found_NV, whole_NV, atol=1e-4, rtol=1e-4)


def test_the_bits_do_not_depend_on_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "WORTH_A_THREAD", 1)
    decoding, lengths = decoding_of(), [5, 9, 2, 7, 1, 3, 3, 8, 4, 6, 2, 5, 1]
    for rows in range(5, 14):
        alone_NV, *others = [written(decoding, lengths[:rows], compiled=True, threads=threads) for threads in (1, 2, 3, 8)]
        assert all(torch.equal(other_NV, alone_NV) for other_NV in others)


def test_a_score_far_below_the_others_counts_for_nothing_and_one_far_above_alone() -> None:
    decoding = decoding_of()
    for block in decoding.blocks:
        block.attention.project._weight_IO.mul_(40)  # type: ignore[union-attr]
    found_NV, whole_NV = (written(decoding, [9, 4], compiled=compiled) for compiled in (True, False))
    torch.testing.assert_close(found_NV, whole_NV, atol=1e-3, rtol=1e-3)


def test_weights_that_are_no_numbers_give_logits_that_are_none() -> None:
    decoding = decoding_of()
    decoding.table_VD[7] = float("nan")
    state = decoding.new_state()
    state.add(2)
    logits_NV = decoding.step(torch.tensor([[7], [8]]), [1, 1], state)
    assert logits_NV[0].isnan().all()
    assert logits_NV[1].isfinite().all()


@pytest.mark.parametrize("token", [-1, 61])
def test_a_token_that_the_model_lacks_is_refused(token: int) -> None:
    decoding = decoding_of()
    state = decoding.new_state()
    state.add(1)
    with pytest.raises(IndexError, match="has tokens 0 to 60"):
        decoding.step(torch.tensor([[token]]), [1], state)


@pytest.mark.parametrize(
    "shape",
    [
        {"activation": "geglu"},
        {"attention_bias": True},
        {"feed_forward_bias": True},
        {"norm": "layer"},
        {"norm_place": "post"},
        {"positions": "alibi"},
        {"positions": "learned"},
        {"pattern": "sliding", "window": 5},
        {"attention_soft_cap": 2.0},
        {"attention": "latent"},
    ],
    ids=str,
)
def test_a_network_of_another_form_writes_by_operations(shape: dict[str, Any]) -> None:
    assert decoding_of(**shape).most_rows == 0


def test_a_network_beyond_the_caches_is_compiled_for_one_row_alone_and_one_far_beyond_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "MOST", 1000)
    decoding = decoding_of()
    assert decoding.most_rows == 1
    torch.testing.assert_close(written(decoding, [3], compiled=True), written(decoding, [3], compiled=False), atol=1e-4, rtol=1e-4)
    assert torch.equal(written(decoding, [3, 4], compiled=True), written(decoding, [3, 4], compiled=False))
    monkeypatch.setattr(compiled, "MOST_ALONE", 1000)
    assert decoding_of().most_rows == 0


def test_compiled_code_that_was_damaged_or_of_another_program_is_compiled_again(tmp_path: Path) -> None:
    def stamp() -> list[int]:
        return [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("*.nbc"))]

    assert load(PROGRAM, tmp_path).step(1) == 2
    (first,) = stamp()
    assert load(PROGRAM, tmp_path).step(1) == 2
    assert stamp() == [first], "whole code is taken as it is"
    (machine_code,) = tmp_path.rglob("*.nbc")
    content = bytearray(machine_code.read_bytes())
    content[len(content) // 2] ^= 1
    machine_code.write_bytes(content)
    assert load(PROGRAM, tmp_path).step(1) == 2
    assert stamp() != [first]
    for file in (tmp_path / SUMS, tmp_path / step.PROGRAM.name):
        file.write_bytes(b"\xff{")
        assert load(PROGRAM, tmp_path).step(1) == 2
    (tmp_path / SUMS).write_text("{")
    assert load(PROGRAM, tmp_path).step(1) == 2
    assert load(PROGRAM.replace("+ 1", "+ 2"), tmp_path).step(1) == 3


@pytest.mark.parametrize("writable", [True, False])
def test_code_is_kept_in_the_users_cache_folder_or_compiled_for_one_process(
    writable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, cache = tmp_path / "program.py", tmp_path / "cache"
    program.write_text(PROGRAM)
    if not writable:
        cache.write_text("a file in the folder's place")
    monkeypatch.setattr(step, "PROGRAM", program)
    monkeypatch.setattr(step, "user_cache_path", lambda name: cache / name)
    assert step.program.__wrapped__().step(1) == 2
    assert bool(list(tmp_path.rglob("*.nbc"))) == writable


def test_a_network_that_was_prepared_compiles_nothing_while_it_writes() -> None:
    decoding = decoding_of().prepared()
    assert "compiled" in vars(decoding)
    assert "compiled" not in vars(decoding_of(activation="geglu").prepared())
