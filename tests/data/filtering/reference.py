"""The published measures in plain Python, written from the papers and not from the SQL, to compare with."""

from __future__ import annotations

import re
from collections import defaultdict

WHITE = "\t\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
STOP = ("the", "be", "to", "of", "and", "that", "have", "with")


def plain(text: str) -> str:
    """Replace all white space except line ends by spaces."""
    return text.translate(dict.fromkeys(map(ord, WHITE), " "))


def lines(text: str) -> list[str]:
    """Return lines that aren't blank, stripped."""
    return [line.strip() for line in plain(text).split("\n") if line.strip()]


def paragraphs(text: str) -> list[str]:
    """Return what blank lines separate."""
    found: list[list[str]] = [[]]
    for line in plain(text).split("\n"):
        if line.strip():
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return ["\n".join(part).strip() for part in found if part]


def share(part: float, whole: float) -> float | None:
    """Return a ratio, None for a divisor of 0."""
    return part / whole if whole else None


def duplicates(pieces: list[str]) -> tuple[float | None, float | None]:
    """Return the shares of units, and of their characters, that occur earlier."""
    again = [piece for place, piece in enumerate(pieces) if piece in pieces[:place]]
    return share(len(again), len(pieces)), share(sum(map(len, again)), sum(map(len, pieces)))


def gopher_quality(text: str) -> dict[str, float | None]:
    """Return Gopher's quality measures."""
    words, rows = text.split(), lines(text)
    return {
        "words": len(words),
        "mean_word_length": share(sum(map(len, words)), len(words)),
        "hashes_a_word": share(text.count("#"), len(words)),
        "ellipses_a_word": share(text.count("...") + text.count("…"), len(words)),
        "bullet_lines": share(sum(row[0] in "•‣◦●▪" or (row + " ")[:2] in ("- ", "* ") for row in rows), len(rows)),
        "ellipsis_lines": share(sum(row.endswith(("...", "…")) for row in rows), len(rows)),
        "alphabetic_words": share(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        "stop_words": sum(re.search(rf"\b{word}\b", text, re.I | re.A) is not None for word in STOP),
    }


def gopher_repetition(text: str) -> dict[str, float | None]:
    """Return Gopher's repetition measures."""
    found: dict[str, float | None] = {}
    found["duplicate_lines"], found["duplicate_line_characters"] = duplicates(lines(text))
    found["duplicate_paragraphs"], found["duplicate_paragraph_characters"] = duplicates(paragraphs(text))
    words = text.split()
    whole = sum(map(len, words))
    for size in range(2, 11):
        places: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for start in range(len(words) - size + 1):
            places[tuple(words[start : start + size])].append(start)
        if size < 5:
            most = max(map(len, places.values()), default=0)
            top = max((gram for gram, at in places.items() if len(at) == most), key=lambda gram: len("".join(gram)), default=())
            starts = places[top] if most > 1 else []
        else:
            starts = [start for at in places.values() for start in at[1:]]
        covered = {place for start in starts for place in range(start, start + size)}
        name = f"{'top' if size < 5 else 'repeated'}_{size}_grams"
        found[name] = share(sum(len(words[place]) for place in covered), whole) if covered else None
    return found


def fineweb(text: str, short: int = 30) -> dict[str, float | None]:
    """Return FineWeb's measures."""
    rows = lines(text)
    ended = [re.search(r"""[.!?…。！？؟।։]["'”’»)\]}]*$""", row) is not None for row in rows]
    return {
        "punctuated_lines": share(sum(ended), len(rows)),
        "duplicate_characters": duplicates(rows)[1],
        "short_lines": share(sum(len(row) < short for row in rows), len(rows)),
    }
