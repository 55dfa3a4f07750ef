"""Parts of a section: figures, tables, conversations and passages, as plain data that the template lays out.

Everything is text, which the template escapes, or a drawing that is escaped already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from tasks.reporting.charts import LEAST_BAR, LETTER, Bar, Share, bar_chart, letters, share_chart
from tasks.reporting.page_cache import cached

WIDE, NARROW = 520.0, 320.0


@dataclass(frozen=True)
class Figure:
    """A drawing at two widths. The page shows the one that fits, which keeps text readable on a phone."""

    caption: str
    wide: Markup
    narrow: Markup
    note: str = ""


def figure(caption: str, draw: Callable[[float], Markup], note: str = "") -> Figure:
    """Return a figure drawn for both widths."""
    return Figure(caption, draw(WIDE), draw(NARROW), note)


def bars_figure(caption: str, bars: Sequence[Bar], note: str = "", most: float = 0.0) -> Figure:
    """Return a bar chart at both widths, with as much room for labels as numbers and bars leave."""
    numbers = LETTER * max((letters(f"{bar.shown}  {bar.remark}") for bar in bars), default=0) + 12

    def draw(width: float) -> Markup:
        room = _label_width([bar.label for bar in bars], width - numbers - LEAST_BAR)
        short = [replace(bar, label=_shortened(bar.label, room)) for bar in bars]
        return cached(bar_chart, short, width=width, label_width=room, most=most, description=caption)

    return figure(caption, draw, note)


def shares_figure(caption: str, shares: Sequence[Share], note: str = "") -> Figure:
    """Return a chart of shares with their intervals at both widths."""

    def draw(width: float) -> Markup:
        room = _label_width([share.label for share in shares], width / 2)
        short = [replace(share, label=_shortened(share.label, room)) for share in shares]
        return cached(share_chart, short, width=width, label_width=room, description=caption)

    return figure(caption, draw, note)


def _label_width(labels: Sequence[str], most: float) -> float:
    return min(LETTER * max((letters(label) for label in labels), default=0) + 16, most)


def _shortened(label: str, room: float) -> str:
    fits = int((room - 12) / LETTER)
    if letters(label) <= fits:
        return label
    while label and letters(label) >= fits:
        label = label[:-1]
    return f"{label.rstrip()}…"


@dataclass(frozen=True)
class Row:
    """A row of cells; `tone` is good, bad, warned or quiet, `anchor` the id that links point to."""

    cells: tuple[str, ...]
    tone: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under a header.

    `right` and `code` are the columns, from 0, of numbers and of digests and paths. `widths` are in percent, so that the columns of
    several tables line up. A `half` table takes the room of a figure.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    right: frozenset[int] = frozenset()
    code: frozenset[int] = frozenset()
    mark: str = ""
    tone: str = ""
    note: str = ""
    widths: tuple[int, ...] = ()
    half: bool = False


@dataclass(frozen=True)
class Talk:
    """A conversation as (role, content) turns; `mark` judges its last answer."""

    label: str
    turns: tuple[tuple[str, str], ...]
    mark: str = ""
    tone: str = ""


@dataclass(frozen=True)
class ModelText:
    """A text that the model wrote after a prompt; `book` is how the book continues."""

    label: str
    prompt: str
    text: str
    book: str = ""


@dataclass(frozen=True)
class Token:
    """The text of one token; `unknown` if the token stands for any text that the vocabulary lacks."""

    number: int
    text: str
    unknown: bool = False


@dataclass(frozen=True)
class TokenizedText:
    """A text cut into its tokens."""

    label: str
    tokens: tuple[Token, ...]


@dataclass(frozen=True)
class Section:
    """A part of the page: a heading, a sentence or two, and what it shows."""

    anchor: str
    title: str
    lead: str
    figures: tuple[Figure, ...] = ()
    talks: tuple[Talk, ...] = ()
    passages: tuple[ModelText, ...] = ()
    drawing: Markup | None = None
    tables: tuple[Table, ...] = ()
    tokenized: tuple[TokenizedText, ...] = ()


def spread(number: int, shown: int) -> list[int]:
    """Return at most `shown` places among so many rows, the first and the last among them, as evenly spread as whole numbers are."""
    return sorted({round(place * (number - 1) / (shown - 1)) for place in range(shown)}) if number else []
