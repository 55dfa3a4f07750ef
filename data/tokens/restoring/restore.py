"""Verifies that a tokenizer restores a shard of the training split, and counts how it encodes it.

Every chunk of every document is encoded and decoded. A chunk without `<|unk|>` must be restored byte for byte; one with it must have as
many bytes as its known tokens. Chunks that fail are counted and a document is named; joining the shards raises for them.
Equal texts give equal files. Costs one pass over the shard; memory holds a batch of chunks, and a number for each token.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.documents.stream import Files
from data.tokens.config import RestoreConfig
from data.tokens.documents import read_documents, shuffle_key
from data.tokens.encoder import TextEncoder, batches
from data.tokens.restoring.counts import Beginning, Counts, Tally

SAMPLE_CHARACTERS = 900


class _Owner(NamedTuple):
    """The document that a chunk belongs to."""

    id: str
    source: str


def restore(train: Files, fitted: Path, output: Path, config: RestoreConfig) -> dict[str, float]:
    """Write the counts over a shard's training text into `output`.

    `fitted`: the folder with tokenizer.json. Return train_bytes, tokens and round_trip_errors, the number of chunks that fail."""
    counts = measure(TextEncoder(fitted), train, config.seed)
    counts.save(output)
    whole = counts.whole
    return {"train_bytes": float(whole.bytes), "tokens": float(whole.tokens), "round_trip_errors": float(counts.failures)}


def measure(encoder: TextEncoder, train: Files, seed: int) -> Counts:
    """Encode, decode and count every chunk."""
    counts = Counts(np.zeros(encoder.vocab_size, dtype=np.int64))
    for group in batches(_texts(train, seed, counts)):
        encodings = encoder.tokenizer.encode_batch_fast([text for _, text in group], add_special_tokens=False)
        lists = [encoding.ids for encoding in encodings]
        back = encoder.tokenizer.decode_batch(lists, skip_special_tokens=True)  # would drop a special token, if there were one
        for (owner, text), ids, decoded in zip(group, lists, back, strict=True):
            used = np.bincount(np.array(ids, dtype=np.int64), minlength=encoder.vocab_size)
            unknown = int(used[encoder.unknown]) if encoder.unknown is not None else 0
            size, known_bytes = len(text.encode()), int(used @ encoder.token_bytes)
            counts.count(owner.source, Tally(size, len(text.split()), len(ids), unknown, size - known_bytes))
            counts.uses += used
            restored = len(decoded.encode()) == known_bytes if unknown else decoded == text
            if not restored:
                counts.fail(owner.id)
    return counts


def _texts(train: Files, seed: int, counts: Counts) -> Iterator[tuple[_Owner, str]]:
    """Yield each document's text if it has any; offer every document's beginning to be shown."""
    for document in read_documents(train):
        key = shuffle_key(seed, "shown", document.id)
        counts.show(Beginning(key, document.id, document.source, document.text[:SAMPLE_CHARACTERS]))
        if document.text:
            yield _Owner(document.id, document.source), document.text
