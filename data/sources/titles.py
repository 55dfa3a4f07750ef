"""What a work is called: by its own text where it says so, else by its file's name.

Guarantees: never empty; at most 120 characters; a function of name and text alone. A title line is believed when it is
short, stands apart from what follows and does not read like a sentence, a saying or a part's heading; lines of credit
before it are passed over; Project Gutenberg's "Title:" line comes first. The text wins over the file's name, because names
lie: `name_disagrees` says when.
"""

from __future__ import annotations

import re
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


def title_of(path: str, text: str) -> str:
    """The work's title. `path` is the name inside its source, `text` the raw text."""
    head = LINE_END.sub("\n", text[:20_000]).lstrip("\ufeff\n ")
    stated = TITLE_LINE.search(head[:6000])
    if stated:
        return tidy_title(stated.group(1))
    paragraphs = re.split(r"\n[ \t]*\n\s*", head, maxsplit=CREDITS_LIMIT + 1)
    while len(paragraphs) > 1 and _credit(paragraphs[0]):
        del paragraphs[0]
    first, _, rest = paragraphs[0].partition("\n")
    line = tidy_title(re.sub(r"^#+\s*", "", first))
    apart = not rest.strip() or rest.lstrip().lower().startswith("by ") or (line.isupper() and line.endswith(":"))
    line = line.rstrip(":;,") if line.isupper() else line
    return line if apart and _likely(line) else name_title(path)


def _credit(paragraph: str) -> bool:
    """Who typed or printed the text, which stands before many a title."""
    return len(paragraph) < 400 and CREDIT.match(paragraph) is not None


def _likely(line: str) -> bool:
    short = 2 < len(line) <= 80 and len(line.split()) <= 12 and any(c.isalpha() for c in line)
    saying = line.endswith((".", "!", "?")) and LOWER.search(line) is not None
    sentence = saying or SENTENCE.search(line[:-1]) is not None
    return short and not sentence and not line.startswith(UNLIKELY_START) and not line.endswith(UNLIKELY_END) and not HEADING.match(line)


def name_title(path: str) -> str:
    """A readable title from a file's name: extensions off, underscores to spaces; of a record, with what it is called in its file."""
    file, sign, record = path.rpartition("#")
    name = PurePosixPath(file if sign else path)
    name = name.with_suffix("") if name.suffix.lower() in PACKED else name
    return tidy_title(f"{name.stem} {record}".replace("_", " ") if sign else name.stem.replace("_", " ")) or path[-TITLE_LIMIT:]


def name_disagrees(path: str, text: str) -> bool:
    """Whether a file's name of several words shares no word of four letters or more with its text.

    Shows a Macbeth that is filed as Hamlet. It stays silent for names of one word, which are often catalogue numbers."""
    words = WORD.findall(PurePosixPath(path).stem.lower().replace("_", " "))
    if len(words) < 2:
        return False
    lowered = text.lower()
    return not any(word in lowered for word in words)


def tidy_title(title: str) -> str:
    """A title in one line and no longer than the limit."""
    return " ".join(title.replace("\0", " ").split())[:TITLE_LIMIT].strip()
