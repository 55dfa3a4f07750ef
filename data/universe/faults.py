"""Faults inside words, as scanners and careless converters make them.

Positions count whitespace-separated words of the clean text. A fault covers the words [start, end); where start == end it is an insertion
before word `start`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

MISREADINGS = (("rn", "m"), ("m", "rn"), ("l", "1"), ("o", "0"))
GARBAGE = "~^|}{#*§¤¦;:.,l1I!_\\/=+<>%&"
_OPENING = re.compile(r'(^|[\s(\[])"')


@dataclass(frozen=True)
class Fault:
    """One fault: `injected` replaces `original`."""

    kind: str
    paragraph: int
    start: int
    end: int
    injected: str
    original: str


def curl_quotes(word: str) -> str:
    """Return the word with typographic quotation marks and apostrophes."""
    return _OPENING.sub("\\1\u201c", word).replace('"', "\u201d").replace("'", "\u2019")


def mojibake(word: str) -> str:
    """Return the word's UTF-8 read as Windows-1252; the five bytes it doesn't define become control characters, as in browsers."""
    encoded = word.encode("utf-8")
    return "".join(chr(byte) if byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else bytes([byte]).decode("cp1252") for byte in encoded)


def misread(word: str, rng: Random) -> str | None:
    """Return the word with one letter shape misread as another, or None if no shape in it can be."""
    if len(word) < 4:
        return None
    places = [
        (at.start(), seen, read) for seen, read in MISREADINGS for at in re.finditer(seen, word) if at.start() > 0
    ]  # fmt: skip
    if not places:
        return None
    at, seen, read = rng.choice(places)
    return word[:at] + read + word[at + len(seen) :]


def garbage(rng: Random) -> list[str]:
    """Return two to four lines of a corrupted block."""
    return [
        " ".join("".join(rng.choices(GARBAGE, k=rng.randint(1, 7))) for _ in range(rng.randint(6, 11)))
        for _ in range(rng.randint(2, 4))
    ]  # fmt: skip


def break_word(word: str, room: int) -> int:
    """Return where to hyphenate a lower-case word with `room` columns left, including the hyphen; 0 if nowhere."""
    letters = len(word.rstrip(".,;"))
    if letters < 5 or not word[:letters].isalpha() or not word.islower():
        return 0
    for at in range(min(letters - 2, room - 1), 1, -1):
        if word[at] not in "aeiouy" and any(vowel in word[:at] for vowel in "aeiouy"):
            return at
    return 0
