"""Sample texts from a model, each continuing a given beginning of a document.

Each text depends only on the model, its beginning, the settings, the seed and its number among the samples of that beginning: not on
other texts, their order, or the number of threads. That is why texts are generated one at a time on one thread: other batches or threads
round differently, and so may draw other tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from model.inference.config import SamplingConfig


def sample_texts(directory: Path, beginnings: Iterable[str], samples: int, config: SamplingConfig, seed: int = 0) -> Iterator[str]:
    """Yield `samples` texts for each beginning, in order; each text includes its beginning.

    A text ends where the model ends it, after `max_new_tokens`, or when the context is full; an incomplete character at its end is cut
    off. Raise ValueError, with its number, for a beginning that fills the context.
    """
    from model.hardware.threads import torch_threads
    from model.inference.chat_format import ChatFormat
    from model.inference.generation import generate
    from model.inference.open_model import open_model
    from model.networks.tokenizer_binding import require_tokenizer

    decoder, chat_format = open_model(directory).decoding(), ChatFormat(directory)
    require_tokenizer(directory, chat_format.digest)
    with torch_threads(1):
        for number, beginning in enumerate(beginnings, start=1):
            prompt = chat_format.encode_document(beginning)
            for sample in range(samples):
                try:
                    tokens = generate(decoder, prompt, config, chat_format.stop_ids, _seed(seed, beginning, sample))
                except ValueError as error:
                    raise ValueError(f"beginning {number} ({beginning[:40]!r}): {error}") from error
                yield beginning + chat_format.decode_behind(prompt, list(tokens)).rstrip("\ufffd")


def _seed(seed: int, beginning: str, sample: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{sample}:{beginning}".encode()).digest()[:8]) >> 1
