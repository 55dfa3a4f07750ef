"""The settings of cleaning: a switch for each rule, and its thresholds. Cheap to import.

Threads, memory and scratch space change no byte, so they are arguments of `clean` instead.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field


class CleanConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The rules of cleaning, in the order they run. Of programs and notebooks only the last, `minimum_characters`, is asked."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "boilerplate_lines": ("boilerplate",),
        "corrupted_share": ("corrupted",),
        "page_lines": ("repeated_pages", "page_numbers", "running_heads", "notes=drop", "notes=end"),
        "wrap_limit": ("unwrap", "hyphenation"),
        "roman_numbers": ("page_numbers",),
        "ocr_words": ("ocr",),
        "ocr_known": ("ocr",),
        "ocr_ratio": ("ocr",),
    }

    encoding: bool = Field(
        True, description="repair text that was decoded with the wrong encoding (mojibake), with ftfy, and entities such as &amp;"
    )
    characters: bool = Field(True, description="compose Unicode, open ligatures, drop control and invisible characters, tidy spaces")
    quotes: bool = Field(True, description="curly and low quotation marks and apostrophes to straight ones")
    long_s: bool = Field(False, description="the long s of old prints (ſ) to s")
    dashes: Literal["keep", "em"] = Field(
        "em", description="em: turn double hyphens, bars and spaced en dashes into em dashes; keep: leave them"
    )
    digits: bool = Field(False, description="letters that OCR read in numbers to digits: l9l4 to 1914, 18O5 to 1805; 50l. (pounds) stays")
    stamps: bool = Field(
        False, description="remove notices and stamps of Google, the Internet Archive, HathiTrust and Faded Page, wherever they are"
    )
    boilerplate: bool = Field(True, description="remove notices of libraries, scanners and Project Gutenberg at a document's head and foot")
    boilerplate_lines: int = Field(600, ge=0, description="how far from head and foot Project Gutenberg's markers are searched for; lines")
    corrupted: bool = Field(True, description="remove lines that are not language: symbol soup, replacement characters")
    corrupted_share: float = Field(
        0.25, gt=0, le=1, description="a line with at least this share of symbols is corrupted; fraction of its characters"
    )
    repeated_pages: bool = Field(True, description="remove a page that equals the one before it, as when scanned twice")
    page_numbers: bool = Field(True, description="remove page numbers that are alone on a line and count up at the distance of a page")
    roman_numbers: bool = Field(False, description="page numbers may be small Roman numerals, too (xii), as in prefaces")
    page_lines: int = Field(15, ge=2, description="fewest lines of text on a page; numbers closer together are not page numbers; lines")
    running_heads: bool = Field(True, description="remove running heads and feet: lines that repeat next to page numbers or once a page")
    notes: Literal["keep", "end", "drop"] = Field(
        "keep",
        description="notes at a page's foot, and bracketed ones ([Footnote 1: ...]): keep them where they are, set each as a paragraph "
        "of its own at the end of its document, or drop them with their marks in the text",
    )
    contents: bool = Field(True, description="remove tables of contents: lists of titles that occur again or lead to page numbers")
    chapter_titles: Literal["keep", "mark", "drop"] = Field(
        "keep", description="lines such as CHAPTER IV. and ACT II: keep them, mark them as Markdown headings (# CHAPTER IV.), or drop them"
    )
    hyphenation: bool = Field(True, description="join words broken at a line end, unless the shard writes them with a hyphen more often")
    unwrap: bool = Field(True, description="join hard-wrapped lines of prose; verse keeps its lines")
    wrap_limit: int = Field(120, ge=40, description="a longer line is a whole paragraph, not a hard-wrapped line; characters")
    ocr: bool = Field(True, description="correct words that OCR misread, using the words of the shard")
    ocr_words: bool = Field(
        False,
        description="correct also forms that are in no English word list, in documents with many such, by a model of words and of shapes "
        "that OCR confuses (pip install -e '.[ocr]')",
    )
    ocr_known: int = Field(3, ge=2, description="how often a word must occur in the shard to serve as a correction; occurrences")
    ocr_ratio: float = Field(3.0, gt=1, description="how many times more frequent than the misread form a correction must be; ratio")
    minimum_characters: int = Field(200, ge=0, description="a document that is shorter after cleaning is removed; characters")
    rounds: int = Field(6, ge=1, le=20, description="the rules are repeated until nothing changes, at most this often; rounds")
