"""Text before and after a change, with what differs marked: by colours on a terminal, by `-` and `+` elsewhere.

Control characters in a text are replaced, so they never reach the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from itertools import takewhile

Span = tuple[str, str]
Line = tuple[Span, ...]
NAME, DIM, OLD, NEW, CUT = "bold", "dim", "bold white on dark_red", "bold white on dark_green", "red strike"
COMPARED = 600  # characters; a longer difference is marked as a whole
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return the text with each control character replaced by its picture or number; tabs and line ends stay."""
    return _HARMFUL.sub(lambda found: chr(0x2400 + ord(found[0])) if found[0] < " " else f"<U+{ord(found[0]):04X}>", text)


def differing(before: str, after: str, room: int = 0) -> tuple[Line, Line]:
    """Return both texts as spans, what differs styled. `room`: characters kept around that, with dots for the rest; 0: all."""
    # Only what lies between the common beginning and end is compared: SequenceMatcher takes quadratic time.
    start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
    shorter = min(len(before), len(after)) - start
    end = sum(1 for _ in takewhile(lambda k: before[-1 - k] == after[-1 - k], range(shorter)))
    inner_before, inner_after = before[start : len(before) - end], after[start : len(after) - end]
    blocks: Sequence[tuple[str, int, int, int, int]] = [("replace", 0, len(inner_before), 0, len(inner_after))]
    if max(len(inner_before), len(inner_after)) <= COMPARED:
        blocks = SequenceMatcher(None, inner_before, inner_after, autojunk=False).get_opcodes()
    head, tail = before[:start], before[len(before) - end :]
    if room:
        head = f"…{head[-room:]}" if len(head) > room else head
        tail = f"{tail[:room]}…" if len(tail) > room else tail
    old = [(inner_before[a:b], OLD if how != "equal" else "") for how, a, b, _, _ in blocks]
    new = [(inner_after[a:b], NEW if how != "equal" else "") for how, _, _, a, b in blocks]
    return _line([(head, ""), *old, (tail, "")]), _line([(head, ""), *new, (tail, "")])


def _line(spans: Iterable[Span]) -> Line:
    return tuple((printable(text), style) for text, style in spans if text)


def plain(lines: Iterable[Line]) -> str:
    """Return the lines without their styles."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def print_styled(lines: list[Line]) -> None:
    """Print the lines, styled if standard output is a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    if console.is_terminal:
        for line in lines:
            console.print(Text.assemble(*line))
    else:
        print(plain(lines))
