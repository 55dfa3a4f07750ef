"""Many requests are written in two streams on a CPU, which nobody can tell from their replies."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor

from model.hardware.transfers import torch_threads
from model.inference.config import SamplingConfig
from model.inference.generation import LEAST, Completion, generate, generate_batch, sample_batch
from model.networks.decoder import Decoder

WARM = SamplingConfig(temperature=0.9, max_new_tokens=20)
PROMPTS = [[3 + number % 7] * (1 + number % 5) for number in range(2 * LEAST + 9)]
SEEDS = list(range(len(PROMPTS)))
STOPS = {5, 11, 17}


def replies(decoder: Decoder, threads: int, rows: int) -> list[Completion]:
    with torch_threads(threads):
        return sample_batch(decoder.decoding(), PROMPTS, SEEDS, WARM, STOPS, rows)


@pytest.mark.parametrize("rows", [2 * LEAST, 128])
def test_no_bit_of_a_reply_depends_on_the_number_of_threads(decoder: Decoder, rows: int) -> None:
    alone = replies(decoder, 1, rows)
    assert len({len(reply.tokens) for reply in alone}) > 1
    assert replies(decoder, 2, rows) == replies(decoder, 3, rows) == alone


def test_each_reply_is_the_one_that_its_prompt_and_seed_give_alone(decoder: Decoder) -> None:
    written = [reply.tokens[:-1] if reply.ended else reply.tokens for reply in replies(decoder, 2, 128)]
    assert written == [list(generate(decoder.decoding(), prompt, WARM, STOPS, seed)) for prompt, seed in zip(PROMPTS, SEEDS, strict=True)]


def test_two_streams_write_at_once_where_there_are_two_threads(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    network, writers = decoder.decoding(), set[str]()
    step = type(network).step

    def noted(*given: Any) -> Tensor:
        writers.add(threading.current_thread().name)
        return step(*given)

    monkeypatch.setattr(type(network), "step", noted)
    for threads, expected in ((1, 1), (2, 2)):
        writers.clear()
        with torch_threads(threads):
            generate_batch(network, PROMPTS, 8)
            assert torch.get_num_threads() == threads
        assert len(writers) == expected


def test_a_stream_that_fails_ends_both_and_says_why(decoder: Decoder) -> None:
    network = decoder.decoding()
    network.table_VD = network.table_VD.clone()
    network.table_VD[9] = torch.nan
    with torch_threads(2):
        with pytest.raises(ValueError, match="logits is nan: the weights are damaged"):
            generate_batch(network, [*PROMPTS, [3, 9]], 12)
        assert torch.get_num_threads() == 2 and not any(thread.name.startswith("stream") for thread in threading.enumerate())
