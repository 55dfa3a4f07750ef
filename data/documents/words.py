"""The definition of a word for comparing texts, defined once for SQL and once for Python.

A word is a run of characters between spaces and punctuation, in lower case. Each punctuation character is replaced by a space, never
deleted, so the n-th word in SQL (`words.sql`) is the n-th span here. Scripts without spaces get words as long as a clause; comparison
still works, on longer units.
"""

from __future__ import annotations

import re
import string

SEPARATORS = "".join(
    sorted(
        set(string.punctuation + "\t\n\r\f\v\u0085\u00a0¡¿«»§¶·")
        | {chr(code) for code in (*range(0x2000, 0x2070), *range(0x3000, 0x3040), *range(0xFF01, 0xFF10))}
    )
)
_BLANK = str.maketrans(SEPARATORS, " " * len(SEPARATORS))
_WORD = re.compile("[^ ]+")
PARAGRAPH_BREAK = r"\n[ \t\r]*\n[ \t\r\n]*"  # means the same in RE2 (DuckDB) and in Python


def spans(text: str) -> list[tuple[int, int]]:
    """Return start and end of every word of `text`, in characters, in order."""
    return [match.span() for match in _WORD.finditer(text.translate(_BLANK))]


def gram_macro(name: str, size: int) -> str:
    """Return SQL that defines macro `name`(hashes): the hashes of all n-grams of `size` word hashes.

    A text of fewer than `size` words is one gram, an empty text none. Zipping list slices takes linear time; slicing inside a lambda is
    quadratic in DuckDB 2.0.
    """
    slices = ", ".join(f"h[{k} : len(h) - {size - k}]" for k in range(1, size + 1))
    return f"""CREATE OR REPLACE TEMP MACRO {name}(h) AS
        CASE WHEN len(h) = 0 THEN []::UBIGINT[]
             WHEN len(h) < {size} THEN [hash(h)]
             ELSE list_transform(list_zip({slices}), lambda gram: hash(gram)) END"""
