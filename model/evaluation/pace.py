"""Measure a network's speed of writing and what it keeps of the text before, by the length of that text.

Neither depends on the weights, so networks are built anew with room for the longest text, which may exceed what they were trained on; only
a network that is counted is read, since its counts are its tables. Time is the processor's, on one thread, so neighbours on the machine
cost little; like all speeds, it differs from run to run and is written to no file.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from model.evaluation.config import ArenaEvaluation
from model.hardware.flops import training_flops
from model.hardware.transfers import torch_threads
from model.inference.open_model import open_model
from model.networks.directory import read_config

WRITTEN = 16  # tokens that are timed behind each text
PREFIX = 256  # tokens of the text before that are read at once


def measure_pace(model_dir: Path, config: ArenaEvaluation) -> dict[str, float]:
    """Return `parameters`, `operations` (of training on a token), and of one row, for each length, `state_bytes.<tokens>` and
    `writes_per_second.<tokens>`.

    A length that the network can't have, such as one beyond a table of learned positions, is left out."""
    import torch

    shape, vocab_size = read_config(model_dir)
    longest = max(config.lengths) + WRITTEN
    network = open_model(model_dir) if shape.counted else shape.model_copy(update={"context": longest}).build(vocab_size).eval()
    decoding = network.decoding()
    found = {"parameters": float(decoding.parameters), "operations": training_flops(shape, vocab_size)}
    generator = torch.Generator().manual_seed(0)
    text_T = torch.randint(vocab_size, (longest,), generator=generator)
    with torch_threads(1):
        state = decoding.new_state()
        state.add(1)
        read = 0
        for length in (length for length in config.lengths if length + WRITTEN <= decoding.context or shape.counted):
            while read < length:
                some = min(PREFIX, length - read)
                decoding.step(text_T[None, read : read + some], [some], state)
                read += some
            kept = state.keep(0)
            found[f"state_bytes.{length}"] = float(kept.size_bytes)
            seconds = []
            for token in text_T[length : length + WRITTEN].tolist():
                began = time.process_time()
                decoding.step(torch.tensor([[token]]), [1], state)
                seconds.append(time.process_time() - began)
            found[f"writes_per_second.{length}"] = 1 / _median(seconds)
            state.remove(0)
            state.restore(kept, length)
    return found


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
