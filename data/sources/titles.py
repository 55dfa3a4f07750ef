"""Finds a work's title: from its text where that states one, else from the file's name.

A title is never empty, has at most 120 characters, and depends on name and text alone. Project Gutenberg's "Title:" line is taken first.
Otherwise the first line after any credits is the title if it is short, stands apart from what follows and doesn't read like a sentence, a
quotation or a chapter heading. The text wins over the file's name, which may be wrong: see `name_disagrees`.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import PurePosixPath

from data.sources.formats import PACKED

TITLE_LIMIT = 120
CREDITS_LIMIT = 4
LINE_END = re.compile(r"\r*\n|\r")
TITLE_LINE = re.compile(r"^\s*Title:\s*(\S.*)$", re.MULTILINE)
CREDIT = re.compile(
    r"^\W*((html|e-?text|this) .*\b)?(produced|prepared|transcribed|transcriber'?s?|scanned|note:|project gutenberg|\w+ edition\W*$)",
    re.IGNORECASE,
)
UNLIKELY_START = ('"', "'", "\N{LEFT DOUBLE QUOTATION MARK}", "\N{LEFT SINGLE QUOTATION MARK}", "[", "_", "by ", "By ", "BY ")
UNLIKELY_END = (",", ";", ":", "-", "--", "\N{EM DASH}")
LOWER = re.compile(r"\b(?!(?:and|the|for|with|from)\b)[a-z]{3,}")
SENTENCE = re.compile(r"[^\W\d_]{4}[.!?](\s|$)")
HEADING = re.compile(
    r"^(chapter|book|part|act|scene|canto|letter|section|volume|persons|dramatis|contents|enter|footnotes"
    r"|(the )?(prologue|epilogue|induction|argument|preface|introduction))\b",
    re.IGNORECASE,
)
WORD = re.compile(r"[a-z]{4,}")
RESEMBLES = 0.75  # difflib's ratio


def title_of(path: str, text: str) -> str:
    """Return the work's title. `path`: the name inside its source; `text`: the raw text."""
    head = LINE_END.sub("\n", text[:20_000]).lstrip("\ufeff\n ")
    stated = TITLE_LINE.search(head[:6000])
    if stated:
        return tidy_title(stated.group(1))
    paragraphs = re.split(r"\n[ \t]*\n\s*", head, maxsplit=CREDITS_LIMIT + 1)
    while len(paragraphs) > 1 and _is_credit(paragraphs[0]):
        del paragraphs[0]
    first, _, rest = paragraphs[0].partition("\n")
    line = tidy_title(re.sub(r"^#+\s*", "", first))
    alone = not rest.strip() or rest.lstrip().lower().startswith("by ") or (line.isupper() and line.endswith(":"))
    line = line.rstrip(":;,") if line.isupper() else line
    return line if alone and _looks_like_title(line) else name_title(path)


def _is_credit(paragraph: str) -> bool:
    """Return whether a paragraph says who typed or scanned the text, as many texts do before their title."""
    return len(paragraph) < 400 and CREDIT.match(paragraph) is not None


def _looks_like_title(line: str) -> bool:
    short = 2 < len(line) <= 80 and len(line.split()) <= 12 and any(c.isalpha() for c in line)
    quotation = line.endswith((".", "!", "?")) and LOWER.search(line) is not None
    sentence = quotation or SENTENCE.search(line[:-1]) is not None
    return short and not sentence and not line.startswith(UNLIKELY_START) and not line.endswith(UNLIKELY_END) and not HEADING.match(line)


def name_title(path: str) -> str:
    """Return a readable title from a path: no extensions, spaces for underscores; for a record, the file's and the record's name."""
    file, hash_sign, record = path.rpartition("#")
    name = PurePosixPath(file if hash_sign else path)
    name = name.with_suffix("") if name.suffix.lower() in PACKED else name
    return tidy_title(f"{name.stem} {record}".replace("_", " ") if hash_sign else name.stem.replace("_", " ")) or path[-TITLE_LIMIT:]


def name_disagrees(path: str, text: str) -> bool:
    """Return whether a text shows that its file's name is wrong.

    Only words of four letters or more count, and only names of at least two, since shorter names are often catalogue numbers. A text with a
    title of its own contradicts the name if the title resembles none of its words (comedie resembles comedy) and the text lacks at least
    half of them: a Macbeth filed as Shakespeare_Hamlet. A text without a title contradicts a name of which it contains no word."""
    words = WORD.findall(PurePosixPath(path).stem.lower().replace("_", " "))
    if len(words) < 2:
        return False
    lowered, title = text.lower(), title_of(path, text)
    absent = sum(word not in lowered for word in words)
    stated = WORD.findall(title.lower()) if title != name_title(path) else []
    if any(get_close_matches(word, stated, 1, RESEMBLES) for word in words):
        return False
    return 2 * absent >= len(words) if stated else absent == len(words)


def tidy_title(title: str) -> str:
    """Return a title on one line, cut to the limit."""
    return " ".join(title.replace("\0", " ").split())[:TITLE_LIMIT].strip()
