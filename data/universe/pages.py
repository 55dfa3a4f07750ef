"""Renders a clean book as a bad scan: hard wraps, pages with running heads and numbers, and faults inside words.

The same book, config and seed give the same bytes, and every difference from the clean text is among the returned faults. Takes about 5 ms
per book.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from data.universe.boilerplate import boilerplate
from data.universe.book import Book
from data.universe.config import UniverseSource
from data.universe.faults import Fault, break_word, curl_quotes, garbage, misread, mojibake


@dataclass
class PrintedLine:
    """A printed line: its text, the words [start, end) that begin on it, and whether it starts inside a hyphenated word."""

    text: str
    start: int
    end: int
    paragraph: int
    broken: bool = False


@dataclass(frozen=True)
class ScanProfile:
    """How one book was printed and scanned."""

    quotes: str  # plain, curly or mojibake
    misread: bool
    width: int  # columns; 0: one line a paragraph
    pages: str  # formfeed, blank, bracket or none
    running_heads: bool
    duplicate_page: bool  # one page was scanned twice
    corrupted_blocks: int
    boilerplate: bool
    charset: str
    newline: str

    @staticmethod
    def draw(rng: Random) -> ScanProfile:
        """Return a random profile, in the proportions of a collection of old scans."""
        quotes = rng.choices(("plain", "curly", "mojibake"), (35, 35, 30))[0]
        charset = "utf-8" if quotes == "mojibake" else rng.choices(("utf-8", "utf-8-sig", "cp1252"), (60, 10, 30))[0]
        width = rng.choices((0, rng.randint(64, 72)), (12, 88))[0]
        pages = "none" if width == 0 else rng.choices(("formfeed", "blank", "bracket", "none"), (35, 30, 20, 15))[0]
        return ScanProfile(
            quotes=quotes, misread=rng.random() < 0.45, width=width, pages=pages,
            running_heads=pages in ("formfeed", "blank") and rng.random() < 0.8,
            duplicate_page=pages != "none" and rng.random() < 0.3, corrupted_blocks=rng.choices((0, 1, 2, 3), (60, 20, 12, 8))[0],
            boilerplate=rng.random() < 0.8, charset=charset,
            newline="\r\n" if charset == "cp1252" or rng.random() < 0.1 else "\n",
        )  # fmt: skip


def print_with_faults(book: Book, config: UniverseSource) -> tuple[bytes, list[Fault]]:
    """Return the scanned file and the list of its faults."""
    rng = Random(f"press:{config.seed}:{book.path}")
    scan = ScanProfile.draw(rng)
    faults: list[Fault] = []
    words = [text.split() for text in book.paragraphs]
    dirty = _corrupt_words(words, scan, config, rng, faults)
    blocks = set(rng.sample(range(3, len(words)), scan.corrupted_blocks))
    lines = _break_lines(words, dirty, scan, config, rng, faults, blocks)
    body = _paginate(lines, book.title, scan, config, rng, faults)
    if scan.boilerplate:
        head, foot = boilerplate(rng, book.title, book.paragraphs[1])
        last = sum(map(len, words))
        faults.append(Fault("boilerplate", 0, 0, 0, "\n\n".join(head), ""))
        faults.append(Fault("boilerplate", len(words), last, last, "\n\n".join(foot), ""))
        above, below = ([_wrap(text, scan.width) for text in part] for part in (head, foot))
        body = "\n\n".join([*above, body, *below])
    return f"{body}\n".replace("\n", scan.newline).encode(scan.charset), faults


def _corrupt_words(words: list[list[str]], scan: ScanProfile, config: UniverseSource, rng: Random, faults: list[Fault]) -> list[list[str]]:
    """Return the words with faults in quotes, encoding and letter shapes; headings keep their letters."""
    dirty: list[list[str]] = []
    at = 0
    for number, paragraph in enumerate(words):
        heading = number < 2 or paragraph[0] == "Chapter"
        row: list[str] = []
        for word in paragraph:
            new = word
            if scan.misread and not heading and rng.random() < config.ocr_rate:
                new = misread(word, rng) or word
                if new != word:
                    faults.append(Fault("misread", number, at, at + 1, new, word))
            if scan.quotes != "plain" and curl_quotes(new) != new:
                new = curl_quotes(new)
                if scan.quotes == "curly":
                    faults.append(Fault("curly_quote", number, at, at + 1, new, word))
            if scan.quotes == "mojibake" and mojibake(new) != new:
                new = mojibake(new)
                faults.append(Fault("mojibake", number, at, at + 1, new, word))
            if scan.charset == "cp1252" and not new.isascii():
                faults.append(Fault("cp1252", number, at, at + 1, new, word))
            row.append(new)
            at += 1
        dirty.append(row)
    return dirty


def _break_lines(
    words: list[list[str]], dirty: list[list[str]], scan: ScanProfile, config: UniverseSource, rng: Random,
    faults: list[Fault], blocks: set[int],
) -> list[PrintedLine]:  # fmt: skip
    """Return lines of at most `width` columns, a blank one after each paragraph, long words hyphenated at some line ends."""
    lines: list[PrintedLine] = []
    at = 0
    for number, row in enumerate(dirty):
        if number in blocks:
            block = garbage(rng)
            faults.append(Fault("corrupted_block", number, at, at, "\n".join(block), ""))
            lines += [PrintedLine(text, at, at, number) for text in (*block, "")]
        first, current, column, start = len(lines), list[str](), 0, at
        broken = False
        for offset, (clean, word) in enumerate(zip(words[number], row, strict=True)):
            room = scan.width - column - 1
            if scan.width and column and len(word) > room:
                cut = break_word(word, room)
                if clean == word and cut and rng.random() < config.hyphen_rate:
                    lines.append(PrintedLine(" ".join([*current, word[:cut] + "-"]), start, at + offset, number, broken))
                    faults.append(Fault("hyphenation", number, at + offset, at + offset + 1, f"{word[:cut]}-\n{word[cut:]}", word))
                    word, broken = word[cut:], True
                else:
                    lines.append(PrintedLine(" ".join(current), start, at + offset, number, broken))
                    broken = False
                current, column, start = [], 0, at + offset
            column += len(word) + (1 if current else 0)
            current.append(word)
        lines.append(PrintedLine(" ".join(current), start, at + len(row), number, broken))
        if len(lines) - first > 1:
            faults.append(Fault("hard_wrap", number, at, at + len(row), str(len(lines) - first), ""))
        at += len(row)
        lines.append(PrintedLine("", at, at, number))
    return lines[:-1]


def _paginate(lines: list[PrintedLine], title: str, scan: ScanProfile, config: UniverseSource, rng: Random, faults: list[Fault]) -> str:
    """Return the lines as pages with numbers, perhaps running heads, and one page twice where the profile says so."""
    if scan.pages == "none":
        return "\n".join(line.text for line in lines)
    pages: list[list[PrintedLine]] = []
    at = 0
    while at < len(lines):
        size = config.lines_per_page + rng.randint(-2, 2)
        pages.append(lines[at : at + size])
        at += size
    duplicate = rng.randrange(1, len(pages) - 1) if scan.duplicate_page and len(pages) > 2 else -1
    number = rng.randint(1, 12)
    printed: list[str] = []
    for index, page in enumerate(pages):
        texts = [line.text for line in page]
        first = page[0]
        span = (first.start, first.start + 1) if first.broken else (first.start, first.start)
        text = _page(texts, title, number + index, scan, head=scan.running_heads and index > 0)
        if index == duplicate:
            faults.append(Fault("duplicate_page", first.paragraph, page[0].start, page[-1].end, text, ""))
            printed.append(text)
        if scan.running_heads and index > 0:
            faults.append(Fault("running_head", first.paragraph, *span, title.upper(), ""))
        end = page[-1]
        splits_word = index + 1 < len(pages) and pages[index + 1][0].broken
        # The number is below its page, so it comes before the first word of the next one.
        position = (end.end, end.end + 1) if splits_word else (end.end, end.end)
        faults.append(Fault("page_number", end.paragraph, *position, str(number + index), ""))
        printed.append(text)
    return ("\n\f" if scan.pages == "formfeed" else "\n\n").join(printed)


def _page(texts: list[str], title: str, number: int, scan: ScanProfile, *, head: bool) -> str:
    """Return one page with its running head above and its number below."""
    label = {"formfeed": f"{number}".center(scan.width), "blank": f"{number}", "bracket": f"[{number}]"}[scan.pages]
    above = [title.upper().center(scan.width).rstrip(), ""] if head else []
    return "\n".join([*above, *texts, "", label.rstrip()])


def _wrap(text: str, width: int) -> str:
    """Wrap a text that is not part of the book."""
    lines = [""]
    for word in text.split():
        if width and lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
