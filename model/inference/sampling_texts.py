"""Texts drawn from a model, each from a beginning that it is given.

Guarantee: each text is a function of the model, its beginning, the settings, the seed and its number among the beginning's samples alone:
not of the other texts, their order, or how many threads there are. Beginnings are documents' beginnings; a text holds its own, and ends
where the model ends it, after `max_new_tokens`, or with the model's context. Half a character at the end is left out.
Cost: one text at a time on one thread, since sums of other batches or threads round differently, and so may draw other words.
When it can't: ModelError, ChatFormatError, and ValueError for a beginning that fills the context, with its number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from model.inference.config import SamplingConfig


def sample_texts(directory: Path, beginnings: Iterable[str], samples: int, config: SamplingConfig, seed: int = 0) -> Iterator[str]:
    """`samples` texts from each beginning, in order."""
    import torch

    from model.inference.chat_format import ChatFormat
    from model.inference.generation import generate
    from model.inference.open_model import open_model
    from model.networks.binding import expect_tokenizer

    decoder, words = open_model(directory), ChatFormat(directory)
    expect_tokenizer(directory, words.digest)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number, beginning in enumerate(beginnings, start=1):
            prompt = words.encode_document(beginning)
            for sample in range(samples):
                try:
                    tokens = generate(decoder, prompt, config, words.stop_ids, _seed(seed, beginning, sample))
                except ValueError as error:
                    raise ValueError(f"beginning {number} ({beginning[:40]!r}): {error}") from error
                yield beginning + words.decode(list(tokens)).rstrip("\ufffd")
    finally:
        torch.set_num_threads(threads)


def _seed(seed: int, beginning: str, sample: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{sample}:{beginning}".encode()).digest()[:8]) >> 1
