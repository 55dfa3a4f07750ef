"""What a work is called: by its own text where it says so, else by its file's name.

Guarantees: never empty; at most 120 characters; a function of name and text alone. A title line is believed when it is
short, stands apart from what follows and does not read like a sentence's beginning; Project Gutenberg's "Title:" line
comes first. The text wins over the file's name, because names lie: `name_disagrees` says when.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

TITLE_LIMIT = 120
TITLE_LINE = re.compile(r"^\s*Title:\s*(\S.*)$", re.MULTILINE)
UNLIKELY_END = (",", ";", ":", "-", "--", "\N{EM DASH}")
HEADING = re.compile(r"^(chapter|book|part|act|scene|canto|letter|section|volume|persons|dramatis|contents)\b", re.IGNORECASE)
WORD = re.compile(r"[a-z]{4,}")


def title_of(path: str, text: str) -> str:
    """The work's title. `path` is the name inside its source, `text` the raw text."""
    head = text[:20_000].replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff\n ")
    stated = TITLE_LINE.search(head[:6000])
    if stated:
        return _tidy(stated.group(1))
    first, _, rest = head.partition("\n")
    apart = rest.lstrip(" \t")[:1] in ("\n", "") or rest.lstrip().lower().startswith("by ")
    line = _tidy(re.sub(r"^#+\s*", "", first))
    likely = 2 < len(line) <= 80 and len(line.split()) <= 12 and any(c.isalpha() for c in line)
    if likely and apart and not line.endswith(UNLIKELY_END) and not HEADING.match(line) and not line.lower().startswith("by "):
        return line
    return name_title(path)


def name_title(path: str) -> str:
    """A readable title from a file's name: extension off, underscores to spaces."""
    return _tidy(PurePosixPath(path).stem.replace("_", " ")) or path[-TITLE_LIMIT:]


def name_disagrees(path: str, text: str) -> bool:
    """Whether a file's name of several words shares no word of four letters or more with its text.

    Shows a Macbeth that is filed as Hamlet. It stays silent for names of one word, which are often catalogue numbers."""
    words = WORD.findall(PurePosixPath(path).stem.lower().replace("_", " "))
    if len(words) < 2:
        return False
    lowered = text.lower()
    return not any(word in lowered for word in words)


def _tidy(title: str) -> str:
    return " ".join(title.replace("\0", " ").split())[:TITLE_LIMIT].strip()
