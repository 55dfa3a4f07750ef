"""Printing a clean book badly: hard wraps, pages with heads and numbers, and the faults of the scan.

Guarantees: the same book, config and seed give the same bytes; every departure from the clean text is among the
returned faults. Costs about 5 ms a book.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from data.universe.boilerplate import boilerplate
from data.universe.book import Book
from data.universe.config import UniverseSource
from data.universe.faults import Fault, break_word, curl, garbage, misread, mojibake


@dataclass
class Line:
    """A printed line: its text, the words [start, end) it begins, and whether it goes on with a broken word."""

    text: str
    start: int
    end: int
    paragraph: int
    broken: bool = False


@dataclass(frozen=True)
class Press:
    """How one book came down to us."""

    quotes: str  # plain, curly or mojibake
    misread: bool
    width: int  # columns; 0: one line a paragraph
    pages: str  # formfeed, blank, bracket or none
    heads: bool
    twice: bool  # one page was scanned twice
    blocks: int  # corrupted blocks
    wrapped_in_boilerplate: bool
    charset: str
    newline: str

    @staticmethod
    def draw(rng: Random) -> Press:
        """A press at random, in proportions that resemble a shelf of old scans."""
        quotes = rng.choices(("plain", "curly", "mojibake"), (35, 35, 30))[0]
        charset = "utf-8" if quotes == "mojibake" else rng.choices(("utf-8", "utf-8-sig", "cp1252"), (60, 10, 30))[0]
        width = rng.choices((0, rng.randint(64, 72)), (12, 88))[0]
        pages = "none" if width == 0 else rng.choices(("formfeed", "blank", "bracket", "none"), (35, 30, 20, 15))[0]
        return Press(
            quotes=quotes, misread=rng.random() < 0.45, width=width, pages=pages,
            heads=pages in ("formfeed", "blank") and rng.random() < 0.8,
            twice=pages != "none" and rng.random() < 0.3, blocks=rng.choices((0, 1, 2, 3), (60, 20, 12, 8))[0],
            wrapped_in_boilerplate=rng.random() < 0.8, charset=charset,
            newline="\r\n" if charset == "cp1252" or rng.random() < 0.1 else "\n",
        )  # fmt: skip


def print_badly(book: Book, config: UniverseSource) -> tuple[bytes, list[Fault]]:
    """The file as it was found, and the list of what is wrong with it."""
    rng = Random(f"press:{config.seed}:{book.path}")
    press = Press.draw(rng)
    faults: list[Fault] = []
    words = [text.split() for text in book.paragraphs]
    spoilt = _spoil(words, press, config, rng, faults)
    blocks = set(rng.sample(range(3, len(words)), press.blocks))
    lines = _set_lines(words, spoilt, press, config, rng, faults, blocks)
    body = _paginate(lines, book.title, press, config, rng, faults)
    if press.wrapped_in_boilerplate:
        head, foot = boilerplate(rng, book.title, book.paragraphs[1])
        last = sum(map(len, words))
        faults.append(Fault("boilerplate", 0, 0, 0, "\n\n".join(head), ""))
        faults.append(Fault("boilerplate", len(words), last, last, "\n\n".join(foot), ""))
        above, below = ([_wrap(text, press.width) for text in part] for part in (head, foot))
        body = "\n\n".join([*above, body, *below])
    return f"{body}\n".replace("\n", press.newline).encode(press.charset), faults


def _spoil(words: list[list[str]], press: Press, config: UniverseSource, rng: Random, faults: list[Fault]) -> list[list[str]]:
    """The words with quotes, encoding and letter shapes spoilt; headings keep their letters."""
    spoilt: list[list[str]] = []
    at = 0
    for number, paragraph in enumerate(words):
        heading = number < 2 or paragraph[0] == "Chapter"
        row: list[str] = []
        for word in paragraph:
            new = word
            if press.misread and not heading and rng.random() < config.ocr_rate:
                new = misread(word, rng) or word
                if new != word:
                    faults.append(Fault("misread", number, at, at + 1, new, word))
            if press.quotes != "plain" and curl(new) != new:
                new = curl(new)
                if press.quotes == "curly":
                    faults.append(Fault("curly_quote", number, at, at + 1, new, word))
            if press.quotes == "mojibake" and mojibake(new) != new:
                new = mojibake(new)
                faults.append(Fault("mojibake", number, at, at + 1, new, word))
            if press.charset == "cp1252" and not new.isascii():
                faults.append(Fault("cp1252", number, at, at + 1, new, word))
            row.append(new)
            at += 1
        spoilt.append(row)
    return spoilt


def _set_lines(
    words: list[list[str]], spoilt: list[list[str]], press: Press, config: UniverseSource, rng: Random,
    faults: list[Fault], blocks: set[int],
) -> list[Line]:  # fmt: skip
    """Lines of at most `width` columns, a blank one after each paragraph, long words broken at some line ends."""
    lines: list[Line] = []
    at = 0
    for number, row in enumerate(spoilt):
        if number in blocks:
            block = garbage(rng)
            faults.append(Fault("corrupted_block", number, at, at, "\n".join(block), ""))
            lines += [Line(text, at, at, number) for text in (*block, "")]
        first, current, column, start = len(lines), list[str](), 0, at
        broken = False
        for offset, (clean, word) in enumerate(zip(words[number], row, strict=True)):
            room = press.width - column - 1
            if press.width and column and len(word) > room:
                cut = break_word(word, room)
                if clean == word and cut and rng.random() < config.hyphen_rate:
                    lines.append(Line(" ".join([*current, word[:cut] + "-"]), start, at + offset, number, broken))
                    faults.append(Fault("hyphenation", number, at + offset, at + offset + 1, f"{word[:cut]}-\n{word[cut:]}", word))
                    word, broken = word[cut:], True
                else:
                    lines.append(Line(" ".join(current), start, at + offset, number, broken))
                    broken = False
                current, column, start = [], 0, at + offset
            column += len(word) + (1 if current else 0)
            current.append(word)
        lines.append(Line(" ".join(current), start, at + len(row), number, broken))
        if len(lines) - first > 1:
            faults.append(Fault("hard_wrap", number, at, at + len(row), str(len(lines) - first), ""))
        at += len(row)
        lines.append(Line("", at, at, number))
    return lines[:-1]


def _paginate(lines: list[Line], title: str, press: Press, config: UniverseSource, rng: Random, faults: list[Fault]) -> str:
    """The lines with a page number, and perhaps the title, at page rhythm; one page twice where the press says so."""
    if press.pages == "none":
        return "\n".join(line.text for line in lines)
    pages: list[list[Line]] = []
    at = 0
    while at < len(lines):
        size = config.lines_per_page + rng.randint(-2, 2)
        pages.append(lines[at : at + size])
        at += size
    twice = rng.randrange(1, len(pages) - 1) if press.twice and len(pages) > 2 else -1
    number = rng.randint(1, 12)
    printed: list[str] = []
    for index, page in enumerate(pages):
        texts = [line.text for line in page]
        first = page[0]
        span = (first.start, first.start + 1) if first.broken else (first.start, first.start)
        text = _page(texts, title, number + index, press, head=press.heads and index > 0)
        if index == twice:
            faults.append(Fault("duplicate_page", first.paragraph, page[0].start, page[-1].end, text, ""))
            printed.append(text)
        if press.heads and index > 0:
            faults.append(Fault("running_head", first.paragraph, *span, title.upper(), ""))
        end = page[-1]
        splits_word = index + 1 < len(pages) and pages[index + 1][0].broken
        # The number stands below its page, so it falls before the first word of the next one.
        place = (end.end, end.end + 1) if splits_word else (end.end, end.end)
        faults.append(Fault("page_number", end.paragraph, *place, str(number + index), ""))
        printed.append(text)
    return ("\n\f" if press.pages == "formfeed" else "\n\n").join(printed)


def _page(texts: list[str], title: str, number: int, press: Press, *, head: bool) -> str:
    """One page with its head above and its number below."""
    label = {"formfeed": f"{number}".center(press.width), "blank": f"{number}", "bracket": f"[{number}]"}[press.pages]
    above = [title.upper().center(press.width).rstrip(), ""] if head else []
    return "\n".join([*above, *texts, "", label.rstrip()])


def _wrap(text: str, width: int) -> str:
    """Plain wrapping, for text that is not part of the book."""
    lines = [""]
    for word in text.split():
        if width and lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
