"""Which cleaning rules apply, and how sure each must be. Cheap to import.

Every rule has a switch of its own name. The thresholds hold what can change a byte; threads, memory and scratch space
are arguments of `clean`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field


class CleanConfig(BaseModel, frozen=True, extra="forbid"):
    """Cleaning, rule by rule, in the order they run."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "boilerplate_lines": ("boilerplate",),
        "corrupted_share": ("corrupted",),
        "page_lines": ("repeated_pages", "page_numbers", "running_heads"),
        "wrap_limit": ("unwrap", "hyphenation"),
        "ocr_known": ("ocr",),
        "ocr_ratio": ("ocr",),
    }

    encoding: bool = Field(
        True, description="repair text that was decoded with the wrong encoding (mojibake), with ftfy, and entities such as &amp;"
    )
    characters: bool = Field(True, description="compose Unicode, open ligatures, drop control and invisible characters, tidy spaces")
    quotes: bool = Field(True, description="curly and low quotation marks and apostrophes to straight ones")
    dashes: Literal["keep", "em"] = Field(
        "em", description="em: typed double hyphens, bars and spaced en dashes become em dashes; keep: leave them"
    )
    boilerplate: bool = Field(True, description="remove notices of libraries, scanners and Project Gutenberg at a document's head and foot")
    boilerplate_lines: int = Field(600, ge=0, description="how far from head and foot Project Gutenberg's markers are looked for; lines")
    corrupted: bool = Field(True, description="remove lines that are not language: symbol soup, replacement characters")
    corrupted_share: float = Field(
        0.25, gt=0, le=1, description="a line with at least this share of symbols is corrupted; fraction of its characters"
    )
    repeated_pages: bool = Field(True, description="remove a page that repeats the one before it to the letter, as scanned twice")
    page_numbers: bool = Field(True, description="remove page numbers that stand alone and count up at page rhythm")
    page_lines: int = Field(15, ge=2, description="the fewest lines of text that a page has; nearer numbers are no page numbers")
    running_heads: bool = Field(True, description="remove heads and feet of pages: lines that repeat beside page numbers or at page rhythm")
    contents: bool = Field(True, description="remove tables of contents: lists of titles that come again or lead to page numbers")
    chapter_titles: Literal["keep", "mark", "drop"] = Field(
        "keep", description="lines such as CHAPTER IV. and ACT II: keep them, mark them as Markdown headings (# CHAPTER IV.), or drop them"
    )
    hyphenation: bool = Field(True, description="mend words broken at a line's end, unless its shard writes them with a hyphen more often")
    unwrap: bool = Field(True, description="join hard-wrapped lines of prose; verse stays in lines")
    wrap_limit: int = Field(120, ge=40, description="a longer line is a whole paragraph, not a hard-wrapped line; characters")
    ocr: bool = Field(True, description="mend words misread by machine, by words that the shard itself knows")
    ocr_known: int = Field(3, ge=2, description="how often a word must occur in the shard to be trusted as a correction; occurrences")
    ocr_ratio: float = Field(3.0, gt=1, description="how many times commoner than the misread form the correction must be")
    minimum_characters: int = Field(200, ge=0, description="a document shorter than this after cleaning is removed; characters")
    rounds: int = Field(6, ge=1, le=20, description="the rules are applied again until nothing changes, at most this often")
