"""A vector for each token from how it is spelled: its hashed character n-grams, as in fastText.

Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information": a word between `<` and `>` is the bag of its n-grams of 3 to 6
characters, each hashed (FNV-1a) to a bucket with a learned vector. Here a token is the bag of its n-grams of bytes, `width` buckets wide
and of length 1, so a learned projection of it is the sum of its buckets' vectors, scaled. Tokens spelled alike have vectors alike. Special
tokens and `<|unk|>`, which have no spelling, have zeros.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

COLUMN = "spelling"
SHORTEST, LONGEST = 3, 6  # bytes of an n-gram, with the marks of beginning and end


def spelling_table(spellings: Iterable[bytes], width: int) -> NDArray[np.float16]:
    """Return the vector of each token, float16 [vocab_size, width], from its bytes."""
    rows = []
    for spelling in spellings:
        row = np.zeros(width, dtype=np.float64)
        if spelling:
            np.add.at(row, [fnv1a(gram) % width for gram in byte_ngrams(b"<" + spelling + b">")], 1.0)
            row /= np.linalg.norm(row)
        rows.append(row)
    return np.array(rows, dtype=np.float16).reshape(len(rows), width)


def byte_ngrams(marked: bytes) -> list[bytes]:
    """Return every run of SHORTEST to LONGEST bytes."""
    return [marked[at : at + size] for size in range(SHORTEST, LONGEST + 1) for at in range(len(marked) - size + 1)]


def fnv1a(value: bytes) -> int:
    """Return the 32-bit FNV-1a hash."""
    found = 2_166_136_261
    for byte in value:
        found = (found ^ byte) * 16_777_619 & 0xFFFFFFFF
    return found
