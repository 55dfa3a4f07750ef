"""Later editions: the same book with another preface and a few percent of its words replaced by synonyms."""

from __future__ import annotations

import re
from random import Random

from data.universe.book import PREFACES, Book

SYNONYMS = {
    "grey": "gray", "neighbours": "neighbors", "favourite": "favorite", "small": "little", "stranger": "newcomer",
    "quiet": "silent", "glad": "merry", "tired": "weary", "crooked": "bent", "narrow": "slender", "broken": "cracked",
    "kettle": "teapot", "blanket": "quilt", "lamp": "lantern", "stick": "cane", "map": "chart", "stairs": "steps",
    "hill": "mound", "laughed": "chuckled", "road": "track", "said": "remarked", "boy": "lad", "girl": "lass",
    "wind": "breeze", "thunder": "storm", "counted": "numbered", "inn": "tavern", "pale": "dull", "soft": "gentle",
    "cold": "chilly", "near": "beside", "gate": "doorway", "bucket": "pail", "waited": "stayed",
}  # fmt: skip
_WORD = re.compile(r"\b[a-z]+\b")


def later_edition(book: Book, path: str, rng: Random) -> Book:
    """Return `book` under another path with 2 to 4 % of its words changed, but no word of the world."""

    def replace(found: re.Match[str]) -> str:
        word = found.group()
        return SYNONYMS[word] if word in SYNONYMS and rng.random() < 0.8 else word

    title, author, _, *rest = book.paragraphs
    preface = " ".join(["This is the second edition, looked through with care.", *rng.sample(PREFACES, 2)])
    changed = [text if text.startswith("Chapter ") else _WORD.sub(replace, text) for text in rest]
    return Book(path, book.title, (title, author, preface, *changed))
