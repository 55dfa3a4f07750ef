"""A split as one stream of tokens: `<|bos|>` text `<|eos|>`, document after document in shuffled order.

Guarantee: the order is that of a hash of (seed, document id), so it does not depend on any text. Accounts add up:
their tokens are the stream's, their bytes the texts'.
Cost: two to four bytes of memory a token, twice for a moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.tokens.documents import hash_place, read_documents
from data.tokens.encoder import Ids, TextEncoder
from data.tokens.special import BOS, EOS


@dataclass(frozen=True)
class Account:
    """One document in a stream: its tokens begin at `start` and include `<|bos|>` and `<|eos|>`; `bytes` of UTF-8."""

    id: str
    source: str
    bytes: int
    tokens: int
    start: int


@dataclass(frozen=True)
class Stream:
    """All tokens of a split, and the account of each document in stream order."""

    tokens: Ids
    accounts: list[Account]
    unknown_size: float = 0.0  # UTF-8 bytes that one `<|unk|>` stands for, on average


def read_stream(encoder: TextEncoder, path: Path, seed: int) -> Stream:
    """Read and encode the split at `path`."""
    seen: list[tuple[str, str, int]] = []

    def texts() -> Iterator[str]:
        for document in read_documents(path):
            seen.append((document.id, document.source, len(document.text.encode())))
            yield document.text

    encoded = list(encoder.encode(texts()))
    order = sorted(range(len(seen)), key=lambda number: (hash_place(seed, seen[number][0]), seen[number][0]))
    bos, eos = (np.array([token], dtype=encoder.dtype) for token in (BOS, EOS))
    parts: list[Ids] = [np.empty(0, dtype=encoder.dtype)]
    accounts: list[Account] = []
    start = 0
    for number in order:
        parts += [bos, encoded[number], eos]
        length = len(encoded[number]) + 2
        accounts.append(Account(*seen[number], tokens=length, start=start))
        start += length
    tokens = np.concatenate(parts)
    unknown = int((tokens == encoder.unknown).sum()) if encoder.unknown is not None else 0
    lost = encoder.unknown_bytes(sum(account.bytes for account in accounts), tokens) if unknown else 0
    return Stream(tokens, accounts, lost / unknown if unknown else 0.0)
