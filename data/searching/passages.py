"""Cut documents into passages, and texts into the terms that they are found by.

Terms are words without case, compatibility forms and accents. Scripts that put no spaces between words (Chinese, Japanese, Thai, Lao,
Khmer, Burmese) and Korean, whose particles stick to words, give single characters and pairs of neighbours, as Lucene's CJK analyzer gives
pairs. Vowel signs of Indic scripts stay, since they tell words apart.

A statement is supported by a passage if the passage has what the statement adds to its question: every number and every name, and two
fifths of the other words, counted by how rare they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache

from pydantic import BaseModel, Field

PASSAGES_FILE, POSTINGS_FILE, VECTORS_FILE = "passages.parquet", "postings.parquet", "vectors.npy"


class IndexConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Settings of cutting documents into searchable passages."""

    passage_characters: int = Field(
        800, ge=40, description="longest passage; it ends with a paragraph or a sentence where one ends in its second half; characters"
    )


# Han, kana, Hangul, Thai, Lao, Burmese and Khmer, with their marks.
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e50-\u0e59\u0e80-\u0eff\u1000-\u1049\u1050-\u109f\u1100-\u11ff\u1780-\u17d3\u17dc-\u17ff\u3005-\u3007"
    "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uaa60-\uaa7f\uac00-\ud7ff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
# A mark over or under a letter: accents (230, 220 and their neighbours), points of Hebrew (10-26) and of Arabic (27-35). Other classes are
# marks without which a word is another one: nuktas, voiced kana, viramas, vowels of Thai and Lao.
_ACCENTS = (*range(10, 36), *range(200, 241))
_INVISIBLE = dict.fromkeys(map(ord, "\xad\u200c\u200d"))  # joiners and soft hyphens within words
_BREAKS = (re.compile(r"\n\s*\n"), re.compile(r"[.!?…。！？।؟።၊။៕]+[\"”’»」』)\]]*(?=\s)|[。！？]+[」』）]*"), re.compile(r"\s+"))


@cache
def _words() -> re.Pattern[str]:
    # \w knows no combining marks, and would cut words of Indic scripts at every vowel sign.
    marks = "".join(chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M")
    letter = f"(?:[^\\W_{_UNSPACED}]|(?![{_UNSPACED}])[{marks}])"
    return re.compile(f"(?P<unspaced>[{_UNSPACED}]+)|{letter}+")


def terms(text: str) -> list[str]:
    """Return the terms of a text in order, each as often as it occurs."""
    found: list[str] = []
    for match in _words().finditer(fold(text)):
        word = match[0]
        found += [*word, *(word[at : at + 2] for at in range(len(word) - 1))] if match["unspaced"] else [word]
    return found


def fold(text: str) -> str:
    """Return a text without case, compatibility forms and accents: what is spelled alike in a search is equal in it."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text.translate(_INVISIBLE)).casefold())
    return unicodedata.normalize("NFC", "".join(char for char in apart if unicodedata.combining(char) not in _ACCENTS))


def cut_passages(text: str, most: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of passages of at most `most` characters, in order, that hold every character but white space between them."""
    start, size = 0, len(text)
    while start < size:
        if text[start].isspace():
            start += 1
            continue
        end = size if size - start <= most else _end(text, start, most)
        stripped = start + len(text[start:end].rstrip())
        yield start, stripped
        start = end


def _end(text: str, start: int, most: int) -> int:
    """Return where a passage ends that the rest of the text is too long for: at a paragraph, a sentence, a word, or anywhere."""
    limit = start + most
    for pattern in _BREAKS:
        ends = [match.start() if pattern is _BREAKS[0] else match.end() for match in pattern.finditer(text, start + most // 2, limit + 1)]
        if fitting := [end for end in ends if start < end <= limit]:
            return fitting[-1]
    while limit > start + 1 and unicodedata.combining(text[limit]):
        limit -= 1  # a mark stays with its letter
    return limit


_SENTENCES = re.compile(r"(?<=[.!?…।؟])\s+|(?<=[。！？])|\n+")
NEAR, FAR = 0.95, 0.2  # share of the best sentence's words of the question: about the same; about nothing of it, as after a pronoun


def evidence(question: str, passage: str, weigh: Callable[[str], float]) -> str:
    """Return the sentences of a passage that are about a question: those with most of its words, and what follows them about nothing else.

    The whole passage if it has none of the words.
    """
    asked = set(terms(question))
    sentences = [sentence for sentence in _SENTENCES.split(passage) if sentence.strip()]
    shared = [sum(map(weigh, asked & set(terms(sentence)))) for sentence in sentences]
    best, kept = max(shared, default=0.0), False
    if not best:
        return passage
    found = []
    for sentence, share in zip(sentences, shared, strict=True):
        kept = share >= NEAR * best or (kept and share <= FAR * best)
        found += [sentence] if kept else []
    return "\n".join(found)


SUPPORT = 0.4  # share of what is said, by rarity, that a passage must have; the rest is how people word it
STEM = 4  # letters that forms of one word share at least, and three fifths of the longer form


def supported(statement: str, question: str, passage: str, weigh: Callable[[str], float], *, strict: bool = False) -> bool:
    """Return whether a passage has the words of a statement that answers a question.

    `weigh`: how rare a term is, above 0. `strict`: a rare word with a capital at the beginning is taken for a name, too.
    """
    said, asked, held = dict.fromkeys(terms(statement)), set(terms(question)), set(terms(passage))
    words = re.findall(r"\w+", statement)
    exact = {term for word in words[1:] if word[0].isupper() for term in terms(word)}
    exact |= {term for term in said if any(char.isdigit() for char in term)}
    if strict and words and words[0][0].isupper():
        exact |= {term for term in terms(words[0]) if weigh(term) >= weigh("") / 2 and not _has(held | asked, term)}
    if not said or not exact <= held | asked:
        return False
    new = [term for term in said if term not in asked] or list(said)
    new = [term for term in new if not _is_particle(term)] or new
    return sum(weigh(term) for term in new if _has(held, term)) >= SUPPORT * sum(map(weigh, new))


def _is_particle(term: str) -> bool:
    """Whether a term is a word of one or two letters in a script with capitals: such words join others, and say little themselves."""
    return len(term) <= 2 and term.upper() != term


def _has(held: set[str], term: str) -> bool:
    """Return whether a passage has a term, or another form of it."""
    return term in held or any(
        other[:length] == term[:length] for other in held if (length := max(STEM, -(-3 * max(len(term), len(other)) // 5))) <= len(term)
    )
